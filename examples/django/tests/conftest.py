"""The tests' database: created by the migrations, with a few pages of a manual, and only the local models."""

import threading
import time

import psycopg
import pytest
from django.db import connection

from tests.provider import Provider

PAGES = [
    ("Routine Vacuuming", "vacuum.html", "# Vacuuming\n\nVACUUM makes the space of dead rows usable again. It also keeps transaction ids from running out."),
    ("Backup", "backup.html", "# Backup\n\nThe program pg_basebackup takes a base backup of a running server. The copy can become a standby."),
    ("Indexes", "indexes.html", "# Indexes\n\nA GIN index finds the rows whose arrays or documents contain certain words."),
    ("Write-ahead log", "wal.html", "# Log\n\nThe log is written before the data. A base backup needs the log of its time."),
]  # fmt: skip


def execute(statement, *values):
    """Executes a statement, and returns the first column of the first row, if there is one."""
    with connection.cursor() as cursor:
        cursor.execute(statement, values or None)
        row = cursor.fetchone() if cursor.description else None
    return row and row[0]


def eventually(condition, seconds=30):
    """Waits until a condition holds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "this did not happen in time"
        time.sleep(0.05)


def reader():
    """A role that only this database's tests use, because the tests of another database may run on the same server."""
    return f"reader_of_{connection.settings_dict['NAME']}"


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup, django_db_blocker):
    with django_db_blocker.unblock():
        execute("CREATE TABLE pages (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, title text, url text, body text)")
        for page in PAGES:
            execute("INSERT INTO pages (title, url, body) VALUES (%s, %s, %s)", *page)
        execute(
            "SELECT rag.create_collection('manual', source => 'pages', content => 'body', title => 'title',"
            " metadata => '{url}', splitter => 'markdown')"
        )
        execute("SELECT rag.wait_until_current('manual')")
        execute(f"CREATE ROLE {reader()} LOGIN")
    yield
    with django_db_blocker.unblock():
        execute(f"DROP OWNED BY {reader()}; DROP ROLE {reader()}")


@pytest.fixture(autouse=True)
def committed(transactional_db):
    """Tests commit their data, because jobs run in other processes."""


@pytest.fixture
def provider():
    """A provider named `stub`, and the model of conversations that start in the test."""
    server = Provider()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    options = '{"retries": 0, "timeout_ms": 30000}'
    execute(
        "SELECT rag.create_provider('stub', kind => 'compatible', base_url => %s, model => 'stub', options => %s)",
        server.url,
        options,
    )
    yield server
    execute("DROP SERVER stub CASCADE")
    server.shutdown()
    server.server_close()


@pytest.fixture
def with_provider(provider, settings):
    settings.RAGSTONE_MODEL = "stub"
    return provider


@pytest.fixture
def engine_away():
    """A server whose engine cannot start, as after a broken installation."""
    execute("SELECT count(*) FROM rag.status()")
    execute("ALTER SYSTEM SET rag.engine_path = '/nowhere'")
    execute("SELECT pg_reload_conf()")
    eventually(lambda: not embeds())
    yield
    execute("ALTER SYSTEM RESET rag.engine_path")
    execute("SELECT pg_reload_conf()")
    eventually(embeds)


def embeds():
    # A new connection uses the new settings at once.
    with psycopg.connect(connect_timeout=10, dbname=connection.settings_dict["NAME"]) as other:
        try:
            other.execute("SELECT rag.embed('word')")
        except psycopg.errors.CannotConnectNow:
            return False
    return True


@pytest.fixture
def database_away(monkeypatch):
    """Simulates an unavailable server, with a short connection timeout."""
    options = connection.settings_dict["OPTIONS"]
    forget_connections()
    with monkeypatch.context() as changed:
        changed.setitem(connection.settings_dict, "HOST", "/nowhere")
        changed.setitem(options, "pool", options["pool"] | {"timeout": 0.2})
        yield
        forget_connections()


def forget_connections():
    connection.close()
    connection.close_pool()


@pytest.fixture
def as_reader():
    """Runs the views' connection as a role that may use the application, but neither the manual nor a provider."""
    execute(f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {reader()}")
    execute(f"GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO {reader()}")
    execute(f"REVOKE ALL ON pages FROM {reader()}")
    execute(f"SET ROLE {reader()}")
    yield
    execute("RESET ROLE")


@pytest.fixture
def librarian(django_user_model):
    """A user who may upload documents."""
    from django.contrib.auth.models import Permission

    user = django_user_model.objects.create_user("librarian", password="reading")
    user.user_permissions.add(Permission.objects.get(codename="add_document"))
    return user
