"""Both applications: their databases with the same content, and their web servers."""

import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
from psycopg.types.json import Jsonb

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "examples/django"
# The same for both sides. Each streamed answer holds a thread, and a connection of the process's pool.
PROCESSES, THREADS = 2, 40

LOGIN = """
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
from django.contrib.auth.models import User
from django.contrib.sessions.backends.db import SessionStore
user = User.objects.create_superuser("editor")
kept = {{
    SESSION_KEY: str(user.pk),
    BACKEND_SESSION_KEY: "django.contrib.auth.backends.ModelBackend",
    HASH_SESSION_KEY: user.get_session_auth_hash(),
}}
for _ in range({count}):
    store = SessionStore()
    store.update(kept)
    store.create()
    print(store.session_key)
"""


@dataclass
class Side:
    name: str
    database: str
    folder: Path
    package: str
    # The app label of the reports in the URLs of Django's admin.
    admin: str
    has_jobs: bool
    more: dict[str, str] = field(default_factory=dict)

    @property
    def environment(self) -> dict[str, str]:
        own = {"PGDATABASE": self.database, "DJANGO_SECRET_KEY": "of no secret: this server is on loopback"}
        own["DJANGO_POOL"] = str(THREADS)
        # A thread pool for linear algebra in each process would be added to the threads that are compared.
        return os.environ | own | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"} | self.more

    def manage(self, *arguments: str) -> str:
        command = [sys.executable, self.folder / "manage.py", *arguments]
        return subprocess.run(command, env=self.environment, check=True, stdout=subprocess.PIPE, text=True).stdout

    def sessions(self, count: int) -> list[str]:
        """Returns cookies of logged-in browsers."""
        return self.manage("shell", "--verbosity", "0", "--command", LOGIN.format(count=count)).split()

    def connect(self) -> psycopg.Connection:
        return psycopg.connect(dbname=self.database, autocommit=True)


def ragstone() -> Side:
    return Side("Ragstone", "stress_ragstone", EXAMPLE, "website", "ragstone", has_jobs=True)


def plain(model: Path) -> Side:
    more = {"PYTHONPATH": str(EXAMPLE), "STRESS_MODEL": str(model)}
    return Side(
        "plain Python", "stress_plain", Path(__file__).parent / "plain", "plain", "plain", has_jobs=False, more=more
    )


def fill_ragstone(side: Side, pages: list[tuple], runs: int):
    """Creates the collection of the pages, the application's tables, and a month of agent runs."""
    with side.connect() as session:
        session.execute("CREATE EXTENSION ragstone CASCADE")
        session.execute("CREATE TABLE pages (id int PRIMARY KEY, title text, url text UNIQUE, body text)")
        with session.cursor() as cursor, cursor.copy("COPY pages FROM STDIN") as copy:
            for page in pages:
                copy.write_row(page)
        session.execute(
            "SELECT rag.create_collection('manual', source => 'pages', content => 'body', title => 'title',"
            " metadata => '{url}', splitter => 'markdown')"
        )
        session.execute("SELECT rag.wait_until_current('manual')")
        for number in range(runs):
            log_run(session, number, datetime.now(UTC) - timedelta(hours=number * 720 / runs))
    side.manage("migrate", "--verbosity", "0")


def log_run(session: psycopg.Connection, number: int, started: datetime):
    name = f"agent {number % 3}"
    run = session.execute("SELECT rag.start_run(%s, started => %s)", [name, started]).fetchone()[0]
    kinds = ("retrieval", "model", "tool", "model", "tool", "model")
    steps = [
        {
            "kind": kind,
            "name": kind,
            "input": {"text": "How do I take a base backup?"},
            "output": {"text": "By pg_basebackup. " * 20},
            "started": (started + timedelta(milliseconds=100 * place)).isoformat(),
            "duration_ms": 100 + number % 50,
            "status": "error" if number % 20 == 0 and kind == "tool" else "ok",
            **(
                {"model": "a model", "input_tokens": 800, "output_tokens": 60, "cost": 0.002} if kind == "model" else {}
            ),
        }
        for place, kind in enumerate(kinds)
    ]
    session.execute("SELECT rag.log_steps(%s, %s)", [run, Jsonb(steps)])
    session.execute("SELECT rag.finish_run(%s, status => %s)", [run, "failed" if number % 20 == 0 else "done"])


# The plain version uses the data that the other one has created: the same passages, embeddings and runs.
PASSAGES = """
SELECT key_1, title, heading, content, chunk.metadata, embedding::vector
FROM manual_chunks AS chunk JOIN pages ON id = key_1
"""
RUN = "id, agent, status, started, finished"
STEP = "id, run_id, kind, name, input, output, model, input_tokens, output_tokens, cost, started, duration_ms, status"
COPIES = (
    (PASSAGES, "plain_pagechunk (key, title, heading, content, metadata, embedding)"),
    (f"SELECT {RUN} FROM rag.run_summary", f"plain_run ({RUN})"),
    (f"SELECT {STEP} FROM rag.steps", f"plain_step ({STEP})"),
)


def fill_plain(side: Side, other: Side):
    with side.connect() as session:
        session.execute("CREATE EXTENSION vector")
        side.manage("migrate", "--run-syncdb", "--verbosity", "0")
        session.execute((side.folder / "plain/days.sql").read_text())
        with other.connect() as source:
            for query, table in COPIES:
                copy(source, query, session, table)
        session.execute("VACUUM ANALYZE")


def copy(source: psycopg.Connection, query: str, target: psycopg.Connection, table: str):
    with (
        source.cursor() as reader,
        target.cursor() as writer,
        reader.copy(f"COPY ({query}) TO STDOUT") as given,
        writer.copy(f"COPY {table} FROM STDIN") as taken,
    ):
        for block in given:
            taken.write(block)


class Web:
    """A web server on loopback, as a context manager."""

    def __init__(self, side: Side, log: Path):
        self.side, self.log = side, log

    def __enter__(self):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        options = f"--bind 127.0.0.1:{port} --worker-class gthread --workers {PROCESSES} --threads {THREADS}"
        # Browsers keep their connections open while users read; a worker whose connections are all open still
        # accepts more.
        options += " --keep-alive 75 --worker-connections 2000 --timeout 120 --graceful-timeout 5 --log-level warning"
        command = [
            sys.executable,
            "-m",
            "gunicorn",
            "--chdir",
            self.side.folder,
            *options.split(),
            f"{self.side.package}.wsgi",
        ]
        with self.log.open("a") as log:
            self.process = subprocess.Popen(command, env=self.side.environment, stdout=log, stderr=log)
        try:
            self.wait_until_it_answers()
        except BaseException:
            self.__exit__()
            raise
        return self

    def wait_until_it_answers(self, seconds=60):
        deadline = time.monotonic() + seconds
        while True:
            try:
                # Repeated so that each process has most likely served a request.
                for _ in range(5 * PROCESSES):
                    urllib.request.urlopen(f"{self.url}/?q=backup", timeout=seconds).read()
                return
            except urllib.error.HTTPError as error:
                raise RuntimeError(f"{self.side.name} answers with {error.code}; see {self.log}") from None
            except OSError:
                if self.process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError(f"{self.side.name} does not start; see {self.log}") from None
                time.sleep(0.2)

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait()


def tell(what: dict, file: Path) -> Path:
    file.write_text(json.dumps(what))
    return file
