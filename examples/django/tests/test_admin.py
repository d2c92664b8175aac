import json
from datetime import date

import pytest
from django.contrib.auth.models import Permission
from django.urls import reverse

from agents.reports import charts, tree
from knowledge.models import Document
from ragstone.functions import Trace
from ragstone.models import Budget, Collection, Day, ErrorGroup, FailedRow, Run, Step
from tests.conftest import eventually, execute

BUDGET_ADD = reverse("admin:ragstone_budget_add")
LISTS = ["run", "step", "day", "errorgroup", "messagefeedback", "collection", "budget"]


def page(client, name, *arguments, **query):
    reply = client.get(reverse(f"admin:ragstone_{name}", args=arguments), query)
    assert reply.status_code == 200
    return reply.content.decode()


@pytest.fixture
def run():
    """A run that failed in a tool that its model called."""
    number = execute("""SELECT rag.start_run('support', input => '"where is order 17?"')""")
    think = execute(
        "SELECT rag.log_step(%s, 'model', 'chat', model => 'stub/large', input_tokens => 812, output_tokens => 12,"
        " cost => 0.25, duration_ms => 900)",
        number,
    )
    execute(
        "SELECT rag.log_step(%s, 'tool', 'get_order', input => '{\"id\": \"<17>\"}', parent => %s, duration_ms => 12,"
        " status => 'error', error => 'order 17 not found')",
        number,
        think,
    )
    execute("SELECT rag.finish_run(%s, status => 'failed', error => 'order 17 not found')", number)
    return Run.objects.get(pk=number)


def test_runs_are_listed_and_filtered(admin_client, run):
    listed = page(admin_client, "run_changelist")
    assert "order 17 not found" in listed
    assert "812\N{NO-BREAK SPACE}+\N{NO-BREAK SPACE}12" in listed
    change = reverse("admin:ragstone_run_change", args=[run.pk])
    assert change in page(admin_client, "run_changelist", status="failed", agent="support")
    assert change not in page(admin_client, "run_changelist", status="done")
    assert change in page(admin_client, "run_changelist", q="order 17")


def test_a_run_is_shown_as_a_tree(admin_client, run):
    shown = page(admin_client, "run_change", run.pk)
    assert shown.index("stub/large") < shown.index("get_order")
    assert "&lt;17&gt;" in shown
    # The tree is the purpose of the page, so the fields come after it.
    assert shown.index("get_order") < shown.index("field-owner")
    assert "└─" in shown
    assert "icon-no" not in shown


@pytest.mark.parametrize("number", ["0", "nothing"])
def test_a_run_that_there_is_not_is_told(admin_client, number):
    reply = admin_client.get(reverse("admin:ragstone_run_change", args=[number]), follow=True)
    assert "doesn’t exist" in reply.content.decode()


def test_a_tree_has_steps_under_their_parents(run):
    (root,) = tree(Step.objects.filter(run=run))
    assert (root.step.kind, [child.step.name for child in root.children]) == ("model", ["get_order"])
    # A step whose parent is missing (for example because it is on another page) is not lost.
    (orphan,) = tree(Step.objects.filter(run=run, kind="tool"))
    assert orphan.step.name == "get_order"


def test_a_trace_has_a_line_for_each_step(run):
    lines = Run.objects.filter(pk=run.pk).values_list(Trace("pk"), flat=True)
    assert len(lines) == 3


def test_steps_are_listed_and_filtered(admin_client, run):
    assert "get_order" in page(admin_client, "step_changelist", kind="tool", status="error")
    assert "get_order" not in page(admin_client, "step_changelist", kind="retrieval")
    step = Step.objects.filter(run=run).first()
    shown = page(admin_client, "step_change", step.pk)
    assert "stub/large" in shown
    assert "icon-no" not in shown


def test_days_are_charted(admin_client, run):
    eventually(lambda: ErrorGroup.objects.filter(run_id=run.pk).exists())
    eventually(lambda: Day.objects.filter(agent="support", failed__gte=1).exists())
    listed = page(admin_client, "day_changelist", agent="support")
    data = json.loads(listed.split('<script id="charts" type="application/json">')[1].split("</script>")[0])
    # There is more than one day if the tests started on the day before.
    days = Day.objects.filter(agent="support").order_by("day")
    assert data["days"] == [day.day.isoformat() for day in days]
    assert data["sums"]["failed"] == [day.failed for day in days]
    assert data["sums"]["cost"] == [pytest.approx(day.cost) for day in days]
    assert set(data["latency"]) == {"support p50", "support p95"}
    assert listed.count("data-chart=") == 5
    assert "order # not found" in page(admin_client, "errorgroup_changelist")


def test_charts_add_up_agents_but_not_their_percentiles():
    def row(agent, day, done, p95):
        counts = dict.fromkeys(("failed", "cancelled", "input_tokens", "output_tokens", "cost", "errors"), 1)
        return Day(agent=agent, day=day, done=done, p50_ms=None, p95_ms=p95, **counts)

    first, second = date(2026, 3, 1), date(2026, 3, 2)
    shown = charts([row("b", second, 5, 20.0), row("a", second, 2, 10.0), row("a", first, 1, 9.0)])
    assert shown["days"] == ["2026-03-01", "2026-03-02"]
    assert shown["sums"]["done"] == [1, 7]
    assert shown["latency"]["a p95"] == [9.0, 10.0]
    assert shown["latency"]["b p95"] == [None, 20.0]


def test_collections_are_shown_with_their_state(admin_client):
    listed = page(admin_client, "collection_changelist")
    assert "manual" in listed
    assert "\N{NO-BREAK SPACE}KB" in listed
    shown = page(admin_client, "collection_change", "manual")
    assert "No row has failed" in shown
    assert "Try failed rows again" not in shown


@pytest.fixture
def failed_row():
    """A document that cannot be indexed."""
    # The owner's check on the chunk table stands for any error that a row can cause.
    execute(
        "CREATE FUNCTION refuse() RETURNS boolean LANGUAGE plpgsql AS $$BEGIN RAISE EXCEPTION 'not this one'; END$$"
    )
    execute("ALTER TABLE documents_chunks ADD CONSTRAINT refuse CHECK (refuse()) NOT VALID")
    document = Document.objects.create(title="Fees", kind="text", body="Two a day.", uploaded_by="x")
    eventually(FailedRow.objects.filter(collection="documents").exists)
    yield document
    execute("ALTER TABLE documents_chunks DROP CONSTRAINT IF EXISTS refuse")
    execute("DROP FUNCTION refuse()")


def test_failed_rows_are_shown_and_tried_again(admin_client, failed_row):
    shown = page(admin_client, "collection_change", "documents")
    assert "not this one" in shown
    assert "Try failed rows again" in shown
    assert "not this one" in admin_client.get(reverse("documents")).content.decode()
    execute("ALTER TABLE documents_chunks DROP CONSTRAINT refuse")
    retry = reverse("admin:ragstone_collection_retry", args=["documents"])
    reply = admin_client.post(retry, follow=True)
    assert "1 failed rows of documents are tried again" in reply.content.decode()
    eventually(lambda: Collection.objects.get(pk="documents").chunks == 1)
    assert not FailedRow.objects.filter(collection="documents").exists()
    assert admin_client.get(retry).status_code == 405
    assert admin_client.post(reverse("admin:ragstone_collection_retry", args=["none"])).status_code == 404


@pytest.fixture
def no_budgets():
    """Removes the budgets that a test created."""
    yield
    execute("DELETE FROM rag.budgets")


def test_budgets_are_made_and_show_what_was_taken(admin_client, provider, no_budgets):
    nothing = admin_client.post(BUDGET_ADD, {"period": "day"})
    assert "State at least one limit" in nothing.content.decode()
    admin_client.post(BUDGET_ADD, {"period": "day", "server": "stub", "max_calls": "7"})
    budget = Budget.objects.select_related("state").get()
    assert (budget.role, budget.server, budget.max_calls, budget.state.calls) == (None, "stub", 7, 0)
    assert "all roles, stub, each day" in page(admin_client, "budget_changelist")
    admin_client.post(reverse("admin:ragstone_budget_delete", args=[budget.pk]), {"post": "yes"})
    assert not Budget.objects.exists()


def errors_of(reply):
    """Returns the error messages of an admin form as one text."""
    assert reply.status_code == 200
    return " ".join(str(error) for errors in reply.context["adminform"].form.errors.values() for error in errors)


@pytest.mark.parametrize(
    ("name", "message", "hint"),
    [
        ("server", 'provider "nobody" does not exist', "See rag.providers"),
        ("role", 'role "nobody" does not exist', "by its name in pg_roles"),
    ],
)
def test_a_budget_of_a_name_that_does_not_exist_is_refused_in_the_form(admin_client, no_budgets, name, message, hint):
    reply = admin_client.post(BUDGET_ADD, {"period": "day", name: "nobody", "max_calls": "7"})
    assert message in errors_of(reply)
    assert hint in errors_of(reply)
    assert 'value="nobody"' in reply.content.decode()
    assert 'value="7"' in reply.content.decode()
    assert not Budget.objects.exists()
    # The same applies to an existing budget.
    execute("INSERT INTO rag.budgets (period, max_calls) VALUES ('day', 5)")
    change = reverse("admin:ragstone_budget_change", args=[Budget.objects.get().pk])
    assert message in errors_of(admin_client.post(change, {"period": "day", name: "nobody", "max_calls": "7"}))
    assert Budget.objects.get().max_calls == 5


@pytest.mark.parametrize("limit", ["max_cost", "max_tokens", "max_calls"])
def test_a_limit_below_zero_is_refused_at_its_field(admin_client, no_budgets, limit):
    reply = admin_client.post(BUDGET_ADD, {"period": "day", limit: "-1"})
    assert reply.context["adminform"].form.errors == {limit: ["Ensure this value is greater than or equal to 0."]}


@pytest.fixture
def kept_document():
    """A document that a trigger protects from changes and deletion."""
    document = Document.objects.create(title="Fees", kind="text", body="Two a day.", uploaded_by="x")
    execute(
        "CREATE FUNCTION keep() RETURNS trigger LANGUAGE plpgsql AS"
        " $$BEGIN RAISE EXCEPTION 'this one is kept' USING HINT = 'Ask the librarian.'; END$$"
    )
    execute("CREATE TRIGGER keep BEFORE UPDATE OR DELETE ON knowledge_document FOR EACH ROW EXECUTE FUNCTION keep()")
    yield document
    execute("DROP FUNCTION keep() CASCADE")


def test_what_a_trigger_refuses_is_said_in_the_admin(admin_client, kept_document):
    changed = {"title": "Fines", "kind": "text", "body": "Three a day.", "uploaded_by": "x"}
    change = reverse("admin:knowledge_document_change", args=[kept_document.pk])
    reply = admin_client.post(change, changed)
    assert "is kept. Ask the librarian." in errors_of(reply)
    assert "Three a day." in reply.content.decode()
    listed = reverse("admin:knowledge_document_changelist")
    chosen = {"action": "delete_selected", "_selected_action": kept_document.pk, "post": "yes"}
    for address, sent in [
        (reverse("admin:knowledge_document_delete", args=[kept_document.pk]), {"post": "yes"}),
        (listed, chosen),
    ]:
        reply = admin_client.post(address, sent, follow=True)
        assert reply.status_code == 200
        assert "is kept. Ask the librarian." in reply.content.decode()
    assert Document.objects.get().title == "Fees"


def test_a_budget_that_the_databases_role_may_not_make_is_refused(admin_client, as_reader):
    reply = admin_client.post(BUDGET_ADD, {"period": "day", "max_calls": "7"})
    assert reply.status_code == 403


@pytest.fixture
def assistant(client, django_user_model):
    """A staff user who may see everything and change nothing."""
    user = django_user_model.objects.create_user("assistant", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__startswith="view_"))
    client.force_login(user)
    return client


@pytest.mark.parametrize("name", LISTS)
def test_every_list_is_there_for_who_may_see_it(assistant, run, name):
    page(assistant, f"{name}_changelist")


def test_who_may_only_see_changes_nothing(assistant, run):
    for name in LISTS:
        assert assistant.get(reverse(f"admin:ragstone_{name}_add")).status_code == 403
    assert assistant.post(reverse("admin:ragstone_collection_retry", args=["documents"])).status_code == 403
    assert assistant.post(reverse("admin:ragstone_run_delete", args=[run.pk]), {"post": "yes"}).status_code == 403


@pytest.mark.parametrize("name", LISTS)
def test_the_admin_is_for_staff(client, librarian, name):
    client.force_login(librarian)
    assert client.get(reverse(f"admin:ragstone_{name}_changelist")).status_code == 302


@pytest.mark.parametrize(
    "address", ["ragstone/run/?agent=a%00b", "ragstone/collection/a%00b/change/", "ragstone/run/?q=a%00b"]
)
def test_a_nul_character_in_an_address_of_the_admin_is_no_fault_of_the_server(admin_client, address):
    assert admin_client.get(f"/admin/{address}", follow=True).status_code in (200, 400)


def test_the_admin_works_while_the_engine_is_away(admin_client, run, engine_away):
    for name in LISTS:
        page(admin_client, f"{name}_changelist")
    page(admin_client, "collection_change", "manual")
