"""Translates Ragstone's SQLSTATEs for visitors."""

from typing import NamedTuple

from django.db import DatabaseError, DataError
from django.forms import Form


class Problem(NamedTuple):
    """An HTTP status and a sentence for the page."""

    status: int
    message: str


PROBLEMS = {
    "57P03": Problem(503, "The search engine is away at the moment. Please try again in a minute."),
    "53400": Problem(429, "The budget for language models is spent, or too many wait. Please try again later."),
    "38000": Problem(502, "The language model's provider refused to answer."),
    "08001": Problem(502, "The language model's provider cannot be reached."),
    "08006": Problem(502, "The connection to the language model's provider broke off."),
    "08P01": Problem(502, "The language model's provider gave a reply that makes no sense."),
    "42501": Problem(403, "You have no right to do this."),
    "42704": Problem(404, "There is no such collection, persona, model or job."),
    "54000": Problem(413, "The text is longer than the model reads."),
    "55000": Problem(409, "This is not possible at the moment."),
    "57014": Problem(503, "This was cancelled, or took too long."),
}
UNFORESEEN = Problem(500, "This could not be answered.")
UNREACHABLE = Problem(503, "The database cannot be reached. Please try again in a minute.")
UNSTORABLE = Problem(400, "The request has a character that no text in the database can have (U+0000).")
# Prefixes of the SQLSTATEs that concern the values of a form: invalid data, a constraint, a name that does
# not exist, RAISE EXCEPTION in a trigger.
REFUSALS = ("22", "23", "42704", "P0001")


def sqlstate(error: DatabaseError) -> str | None:
    """Returns PostgreSQL's code for the error, or None if the driver raised it."""
    return getattr(error.__cause__, "sqlstate", None)


def explain(error: DatabaseError) -> Problem | None:
    """Returns the problem for an error that pages expect."""
    state = sqlstate(error)
    # The driver does not send a text that contains U+0000. In JSON the character is escaped, and the server
    # refuses it.
    if isinstance(error, DataError) and state in (None, "22021", "22P05"):
        return UNSTORABLE
    if state is None or state in ("57P01", "57P02"):
        return UNREACHABLE if is_connection(error) else None
    return PROBLEMS.get(state)


def invalid(form: Form) -> Problem:
    """Returns the problem for an invalid form that its page does not show again."""
    return Problem(422, " ".join(str(error) for errors in form.errors.values() for error in errors))


def refusal(error: DatabaseError) -> str | None:
    """Returns the message and hint of an error about the values of a form; None for any other error."""
    if not (sqlstate(error) or "").startswith(REFUSALS):
        return None
    said = getattr(error.__cause__, "diag")  # noqa: B009  (the driver's exceptions have it, and this one is such)
    # In PostgreSQL, hints end with a full stop, messages do not.
    return f"{said.message_primary}. {said.message_hint}" if said.message_hint else said.message_primary


def is_connection(error: DatabaseError) -> bool:
    return type(error).__name__ in ("OperationalError", "InterfaceError")
