import pytest
from django.contrib.auth.models import Permission
from django.urls import reverse

from ragstone.models import Approval, Job, Step
from tests.conftest import execute
from tests.streams import stream

AGENTS = reverse("agents")
TASK = {"agent": "desk", "task": "Book 3 never came back.", "key": "k"}


@pytest.fixture
def desk(provider):
    """An agent with a tool that needs approval, and a model that calls it."""
    execute("CREATE TABLE reminders (book int)")
    execute("CREATE FUNCTION remind(book int) RETURNS void LANGUAGE sql AS 'INSERT INTO reminders VALUES (book)'")
    execute("COMMENT ON FUNCTION remind IS 'reminds the reader of a book'")
    execute("SELECT rag.create_tool('remind(int)', writes => true, requires_approval => true)")
    execute("SELECT rag.create_agent('desk', 'You help at the desk.', 'stub', ARRAY['remind'])")
    provider.calls = [("remind", {"book": 3})]
    provider.pieces = ["The reader ", "has been told."]
    yield provider
    execute("SELECT rag.drop_agent('desk')")
    execute("SELECT rag.drop_tool('remind')")
    execute("DROP FUNCTION remind; DROP TABLE reminders")


@pytest.fixture
def clerk(client, django_user_model):
    """A user who may run agents and approve their tool calls."""
    user = django_user_model.objects.create_user("clerk")
    user.user_permissions.set(Permission.objects.filter(codename__in=["run_agent", "decide"]))
    client.force_login(user)
    return client


def begin(client, **changed):
    """Gives an agent a task; returns the job and its result."""
    reply = client.post(AGENTS, TASK | changed)
    assert reply.status_code == 302, reply.context["form"].errors
    return int(reply.url.split("/")[-2])


def follow(client, job):
    return list(stream(client, reverse("task-events", args=[job])))


def shown(client, job):
    return client.get(reverse("task", args=[job])).content.decode()


def test_an_answer_comes_as_events_with_the_steps(clerk, desk):
    desk.calls = []
    events = follow(clerk, begin(clerk))
    assert "".join(data["text"] for name, data in events[:-1]) == "The reader has been told."
    name, data = events[-1]
    assert name == "done"
    assert "The reader has been told." in data["html"]
    assert "model" in data["html"]


def test_a_call_waits_until_it_is_approved(clerk, desk):
    job = begin(clerk)
    _, data = follow(clerk, job)[-1]
    assert "wants to call <strong>remind</strong>" in data["html"]
    assert "wants to call" in clerk.get(AGENTS).content.decode()
    assert "desk waiting," in clerk.get(AGENTS).content.decode()
    assert execute("SELECT count(*) FROM reminders") == 0
    step = Approval.objects.get()
    decided = clerk.post(reverse("decide", args=[step.pk]), {"agreed": "yes", "comment": "it is late indeed"})
    later = int(decided.url.split("/")[-2])
    assert follow(clerk, later)[-1][0] == "done"
    assert execute("SELECT array_agg(book) FROM reminders") == [3]
    assert "The reader has been told." in shown(clerk, later)
    # The task that waited is done as well, because the run has continued.
    assert "waiting" not in clerk.get(AGENTS).content.decode()
    assert "waiting" not in shown(clerk, job)
    assert Step.objects.filter(attributes__comment="clerk: it is late indeed").exists()
    # A decision cannot be made twice.
    assert clerk.post(reverse("decide", args=[step.pk]), {"agreed": "no"}).status_code == 404


def test_a_call_that_is_refused_is_not_made(clerk, desk):
    follow(clerk, begin(clerk))
    step = Approval.objects.get()
    for sent, message in [
        ({"agreed": "perhaps"}, "Agree or refuse."),
        ({"agreed": "no", "comment": "a\0b"}, "Null characters are not allowed."),
    ]:
        reply = clerk.post(reverse("decide", args=[step.pk]), sent)
        assert reply.status_code == 422
        assert message in reply.content.decode()
    decided = clerk.post(reverse("decide", args=[step.pk]), {"agreed": "no", "comment": "it is here"})
    assert follow(clerk, int(decided.url.split("/")[-2]))[-1][0] == "done"
    assert execute("SELECT count(*) FROM reminders") == 0


def test_a_page_that_is_loaded_again_follows_the_same_task(clerk, desk):
    desk.calls = []
    with desk.held():
        job = begin(clerk)
        assert f'data-events="{reverse("task-events", args=[job])}"' in shown(clerk, job)
        desk.released.set()
        follow(clerk, job)
    assert "data-events" not in shown(clerk, job)
    assert TASK["task"] in clerk.get(AGENTS).content.decode()


def test_a_task_that_is_sent_twice_is_one(clerk, desk):
    assert begin(clerk) == begin(clerk)


def test_a_provider_that_refuses_is_named_as_the_reason(clerk, desk):
    desk.status = 500
    job = begin(clerk)
    message = "The language model&#x27;s provider refused to answer."
    assert follow(clerk, job)[-1] == ("failed", {"message": message.replace("&#x27;", "'")})
    assert message in shown(clerk, job)


def test_without_agents_the_page_says_how_they_are_made(clerk):
    assert "rag.create_agent" in clerk.get(AGENTS).content.decode()
    assert clerk.post(AGENTS, TASK).context["form"].errors


def test_agents_are_for_those_who_may_run_them(client, librarian, desk):
    client.force_login(librarian)
    job = Job.objects.order_by("id").values_list("pk", flat=True).first() or 1
    for address in [AGENTS, reverse("task", args=[job]), reverse("task-events", args=[job])]:
        assert client.get(address).status_code == 403
    assert client.post(reverse("decide", args=[1]), {"agreed": "yes"}).status_code == 403


@pytest.mark.parametrize("field", ["agent", "task", "key"])
def test_a_nul_character_in_a_task_is_refused_in_the_form(clerk, desk, field):
    reply = clerk.post(AGENTS, TASK | {field: "a\0b"})
    assert reply.status_code == 200
    assert reply.context["form"].errors.keys() == {field}


def test_a_job_that_is_no_agents_is_not_shown(clerk):
    job = execute("""SELECT rag.submit('search', '{"collection": "manual", "query": "backup"}')""")
    assert clerk.get(reverse("task", args=[job])).status_code == 404
