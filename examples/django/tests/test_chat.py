import pytest
from django.db import connection
from django.template.loader import render_to_string
from django.test import Client
from django.urls import reverse

from chat.models import Conversation
from chat.templatetags.answers import answer
from ragstone import jobs
from ragstone.models import Message, MessageFeedback, Persona
from tests import streams
from tests.conftest import execute, reader

DEAD_ROWS = "What does VACUUM do with the space of dead rows?"
ASK = {"persona": "Librarian", "collection": "manual"}


def ask(client, message, key="k", **changed):
    """Starts a conversation, and returns it."""
    reply = client.post(reverse("chat"), ASK | {"message": message, "key": key} | changed)
    assert reply.status_code == 302, reply.context["form"].errors
    return Conversation.objects.get(pk=reply.url.split("/")[-2])


def say(client, conversation, message, key, **changed):
    address = reverse("conversation", args=[conversation.pk])
    reply = client.post(address, ASK | {"message": message, "key": key} | changed)
    assert reply.status_code == 302, reply.context["form"].errors


def stream(client, conversation, **headers):
    return streams.stream(client, reverse("events", args=[conversation.pk]), **headers)


def shown(client, conversation):
    return client.get(reverse("conversation", args=[conversation.pk])).content.decode()


def test_an_answer_comes_as_events_with_its_citations(client):
    events = list(stream(client, ask(client, "How do I take a base backup?")))
    assert [name for name, _ in events] == ["anew", "done"]
    assert "pg_basebackup takes a base backup" in events[0][1]["text"]
    assert 'class="cite"' in events[1][1]["html"]


def test_pieces_come_before_the_answer_has_ended(client, with_provider):
    with with_provider.held():
        events = stream(client, ask(client, DEAD_ROWS))
        assert next(events) == ("anew", {"text": "VACUUM "})
        with_provider.released.set()
        rest = list(events)
    assert [name for name, _ in rest] == ["piece", "piece", "done"] or [name for name, _ in rest] == ["piece", "done"]
    assert "frees the space of dead rows" in rest[-1][1]["html"]


def test_a_question_that_has_to_wait_for_its_turn_is_answered(client, with_provider):
    with with_provider.held():
        before = [jobs.submit("generate", prompt="x", model="stub") for _ in range(6)]
        conversation = ask(client, DEAD_ROWS)
        assert next(jobs.follow(conversation.job, timeout_ms=100)).status == "queued"
        assert "data-events" in shown(client, conversation)
        events = client.get(reverse("events", args=[conversation.pk])).streaming_content
        assert next(events) == b": waiting\n\n"
        with_provider.released.set()
        assert b"event: done" in list(events)[-1]
    for job in before:
        list(jobs.follow(job))


def test_no_transaction_is_open_while_the_model_thinks(client, with_provider):
    with with_provider.held():
        events = stream(client, ask(client, DEAD_ROWS))
        next(events)
        assert not connection.in_atomic_block
        open_ones = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND xact_start IS NOT NULL AND pid <> pg_backend_pid()"
        assert execute(open_ones) == 0
        with_provider.released.set()
        list(events)


def test_a_lost_connection_goes_on_after_the_last_number(client, with_provider):
    conversation = ask(client, DEAD_ROWS)
    numbers = [piece.number for piece in jobs.follow(conversation.job) if piece.number]
    names = [name for name, _ in stream(client, conversation, last_event_id=str(numbers[0]))]
    assert "anew" not in names
    assert names[-1] == "done"


def test_a_page_that_is_loaded_again_follows_the_same_answer(client, with_provider):
    with with_provider.held():
        conversation = ask(client, DEAD_ROWS)
        page = shown(client, conversation)
        assert DEAD_ROWS in page
        assert f'data-events="/chat/{conversation.pk}/events/"' in page
        with_provider.released.set()
        list(stream(client, conversation))
    page = shown(client, conversation)
    assert "frees the space of dead rows" in page
    assert "data-events" not in page


def test_a_conversation_is_there_for_its_browser_after_a_restart(client):
    conversation = ask(client, "How do I take a base backup?")
    list(stream(client, conversation))
    connection.close()
    later = Client()
    later.cookies = client.cookies
    assert "pg_basebackup takes a base backup" in shown(later, conversation)
    assert "How do I take a base backup?" in later.get(reverse("chat")).content.decode()


def test_a_conversation_is_private(client):
    conversation = ask(client, "How do I take a base backup?")
    list(stream(client, conversation))
    message = conversation.messages.last()
    stranger = Client()
    for name, more in [("conversation", []), ("events", []), ("citation", [message.pk, 1])]:
        assert stranger.get(reverse(name, args=[conversation.pk, *more])).status_code == 404
    assert stranger.post(reverse("rate", args=[conversation.pk, message.pk]), {"score": 1}).status_code == 404
    assert "How do I take" not in stranger.get(reverse("chat")).content.decode()
    # A message of another user cannot be reached through the user's own conversation.
    own = ask(stranger, "What is a GIN index?")
    assert stranger.get(reverse("citation", args=[own.pk, message.pk, 1])).status_code == 404


def test_a_citation_opens_the_passage_that_it_cites(client):
    conversation = ask(client, "How do I take a base backup?")
    list(stream(client, conversation))
    message = conversation.messages.last()
    page = client.get(reverse("citation", args=[conversation.pk, message.pk, 1])).content.decode()
    passage = page.partition('<div class="quoted" id="passage" tabindex="-1">')[2]
    assert passage.startswith("<p>The program pg_basebackup takes a base backup")
    assert client.get(reverse("citation", args=[conversation.pk, message.pk, 9])).status_code == 404


def test_the_persona_can_be_another_in_the_middle(client):
    conversation = ask(client, "How do I take a base backup?")
    list(stream(client, conversation))
    say(client, conversation, "And what does VACUUM do?", "second", persona="Teacher")
    list(stream(client, conversation))
    assert [m.persona for m in conversation.messages.filter(role="assistant")] == ["Librarian", "Teacher"]
    assert '<option value="Teacher" selected>' in shown(client, conversation)


def test_a_form_that_is_sent_twice_is_one_question(client):
    conversation = ask(client, "How do I take a base backup?")
    assert list(stream(client, conversation))[-1][0] == "done"
    for _ in range(2):
        say(client, conversation, "And what does VACUUM do?", "twice")
        assert list(stream(client, conversation))[-1][0] == "done"
    assert conversation.messages.filter(role="user").count() == 2
    # The same applies to the first question, which creates the conversation.
    assert ask(client, "How do I take a base backup?") == conversation


def test_a_rating_is_kept_and_can_be_changed(client):
    conversation = ask(client, "How do I take a base backup?")
    list(stream(client, conversation))
    message = conversation.messages.last()
    address = reverse("rate", args=[conversation.pk, message.pk])
    client.post(address, {"score": "1", "comment": "short and right"})
    assert 'value="1" aria-pressed="true"' in shown(client, conversation)
    client.post(address, {"score": "-1", "comment": ""})
    given = MessageFeedback.objects.get(pk=message.pk)
    assert (given.score, given.comment) == (-1, None)
    assert client.post(address, {"score": "5"}).status_code == 422
    assert client.get(address).status_code == 405


@pytest.mark.parametrize("wrong", [{"message": ""}, {"persona": "nobody"}, {"collection": "secret"}, {"key": ""}])
def test_a_form_that_is_wrong_asks_nothing(client, wrong):
    reply = client.post(reverse("chat"), ASK | {"message": "x", "key": "wrong"} | wrong)
    assert reply.status_code == 200
    assert reply.context["form"].errors
    assert not Conversation.objects.exists()


def failure(client, conversation, message):
    """Checks how a failed question is shown, in the stream and after a reload."""
    assert list(stream(client, conversation))[-1] == ("failed", {"message": message})
    page = shown(client, conversation)
    assert message.replace("'", "&#x27;") in page
    assert conversation.latest_job.args["message"] in page
    assert not conversation.messages.exists()


@pytest.mark.parametrize("status", [400, 401, 429, 500])
def test_a_provider_that_refuses_is_named_as_the_reason(client, with_provider, status):
    with_provider.status = status
    failure(client, ask(client, DEAD_ROWS), "The language model's provider refused to answer.")
    # The next question is answered.
    with_provider.status = 200
    conversation = ask(client, DEAD_ROWS, "again")
    assert list(stream(client, conversation))[-1][0] == "done"


def test_a_provider_that_is_away_is_named_as_the_reason(client, with_provider):
    with_provider.shutdown()
    with_provider.server_close()
    failure(client, ask(client, DEAD_ROWS), "The language model's provider cannot be reached.")


def test_a_budget_that_is_spent_is_named_as_the_reason(client, with_provider):
    execute("INSERT INTO rag.budgets (server, period, max_calls) VALUES ('stub', 'day', 0)")
    try:
        message = "The budget for language models is spent, or too many wait. Please try again later."
        failure(client, ask(client, DEAD_ROWS), message)
    finally:
        execute("DELETE FROM rag.budgets")


def test_who_may_not_use_the_provider_is_told_so(client, with_provider, as_reader):
    execute("RESET ROLE")
    execute(f"GRANT SELECT ON pages TO {reader()}")
    execute(f"SET ROLE {reader()}")
    reply = client.post(reverse("chat"), ASK | {"message": DEAD_ROWS, "key": "k"})
    assert reply.status_code == 403
    assert "You have no right to do this." in reply.content.decode()
    execute("RESET ROLE")
    assert not Conversation.objects.exists()


def test_without_the_engine_a_question_fails_with_a_reason(client, engine_away):
    message = "The search engine is away at the moment. Please try again in a minute."
    failure(client, ask(client, "How do I take a base backup?"), message)


def test_a_conversation_without_a_question_has_no_events(client):
    conversation = ask(client, "How do I take a base backup?")
    Conversation.objects.update(job=None)
    assert client.get(reverse("events", args=[conversation.pk])).status_code == 404


@pytest.mark.parametrize("field", ["message", "persona", "collection", "key"])
def test_a_nul_character_in_a_question_is_refused_in_the_form(client, field):
    said = ASK | {"message": DEAD_ROWS, "key": "k"}
    reply = client.post(reverse("chat"), said | {field: "a\0b"})
    assert reply.status_code == 200
    assert reply.context["form"].errors.keys() == {field}
    assert not Conversation.objects.exists()


@pytest.mark.parametrize("number", ["1" * 5000, str(2**31), str(2**63)])
def test_a_last_number_that_there_cannot_be_begins_from_the_first(client, number):
    events = list(stream(client, ask(client, "How do I take a base backup?"), last_event_id=number))
    assert [name for name, _ in events] == ["anew", "done"]


def test_what_a_model_says_is_text():
    citations = [{"number": 1, "title": 'A "title"'}]
    said = "<script>x</script> ![i](http://a/b.png) [1](http://evil) [2] `[1]` **bold**"
    html = answer(Message(pk=5, session_id=3, content=said, citations=citations))
    assert "<script>" not in html
    assert "<img" not in html
    assert 'href="http' not in html
    assert html.count('href="/chat/3/messages/5/citations/1/#passage"') == 1
    assert "[2]" in html
    assert "<code>[1]</code>" in html
    assert "<strong>bold</strong>" in html


def test_personas_are_shown_in_their_latest_version():
    execute("SELECT rag.set_persona('Teacher', 'You explain even better.')")
    latest = Persona.objects.current().get(name="Teacher")
    assert (latest.version > 1, latest.instructions) == (True, "You explain even better.")


def test_a_persona_gets_another_version(admin_client):
    before = Persona.objects.current().get(name="Teacher").version
    said = {"name": "Teacher", "instructions": "You explain slowly.", "style": ""}
    page = admin_client.post(reverse("personas"), said, follow=True).content.decode()
    assert f"Teacher is kept as version {before + 1}." in page
    assert "You explain slowly." in page
    assert admin_client.post(reverse("personas"), {"name": "Teacher"}).context["form"].errors


def test_sources_of_one_text_are_told_apart_by_their_headings():
    cited = {"number": 1, "title": "pg_basebackup", "heading": "Options", "source_key": {"id": 2}}
    message = Message(pk=5, session_id=3, role="assistant", content="x [1]", citations=[cited])
    html = render_to_string("chat/message.html", {"message": message})
    assert 'pg_basebackup</a> <span class="heading">Options</span>' in html


def test_a_page_within_chat_is_marked_as_such(client):
    assert '<a href="/chat/" aria-current="page">' in client.get(reverse("chat")).content.decode()
    conversation = ask(client, "How do I take a base backup?")
    assert '<a href="/chat/" aria-current="true">' in shown(client, conversation)
    assert " minutes" not in client.get(reverse("chat")).content.decode()


def test_who_is_not_logged_in_is_offered_to(client, librarian):
    page = client.get(reverse("personas"))
    assert page.status_code == 403
    assert '"/accounts/login/?next=/chat/personas/"' in page.content.decode()
    client.force_login(librarian)
    assert "/accounts/login/" not in client.get(reverse("personas")).content.decode()


@pytest.mark.parametrize(
    ("sent", "message"),
    [
        ({}, "Choose one of both thumbs."),
        ({"score": "5"}, "Choose one of both thumbs."),
        ({"score": "1", "comment": "a\0b"}, "Null characters are not allowed."),
    ],
)
def test_a_rating_that_is_wrong_is_refused_with_a_reason(client, sent, message):
    conversation = ask(client, "How do I take a base backup?")
    list(stream(client, conversation))
    reply = client.post(reverse("rate", args=[conversation.pk, conversation.messages.last().pk]), sent)
    assert reply.status_code == 422
    assert message in reply.content.decode()


def test_personas_are_for_those_who_may_make_them(client, librarian):
    client.force_login(librarian)
    assert client.get(reverse("personas")).status_code == 403
    assert client.post(reverse("personas"), {"name": "x", "instructions": "y"}).status_code == 403


def test_a_persona_of_another_role_is_refused(admin_client, as_reader):
    said = {"name": "Teacher", "instructions": "You do what I say."}
    assert admin_client.post(reverse("personas"), said).status_code == 403


def test_a_result_that_is_not_there_yet_is_none(with_provider):
    with with_provider.held():
        job = jobs.submit("generate", prompt="x", model="stub")
        assert jobs.result(job) is None
        with_provider.released.set()
        assert [piece.status for piece in jobs.follow(job)][-1] == "done"
    assert jobs.result(job).startswith("VACUUM")
