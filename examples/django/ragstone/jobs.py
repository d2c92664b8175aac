"""Long calls as jobs: each function here runs short statements, outside a transaction. Those whose names begin with `a`
are for ASGI, as in Django itself."""

import json
from collections.abc import AsyncIterator, Iterator
from typing import Any, NamedTuple

from asgiref.sync import sync_to_async
from django.core.serializers.json import DjangoJSONEncoder
from django.db import connection

ENDED = ("done", "failed", "cancelled")


class Piece(NamedTuple):
    """A row of rag.job_pieces: a piece of an answer, or no text if none came in time."""

    number: int | None
    text: str | None
    status: str

    @property
    def begins_anew(self) -> bool:
        """Whether the pieces before this one are to be discarded."""
        return self.number is not None and self.number % 1_000_000 == 1


def submit(kind: str, key: str | None = None, **arguments: Any) -> int:
    """Submits a job, which starts when the transaction commits, and returns its number."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT rag.submit(%s, %s::jsonb, %s)", [kind, json.dumps(arguments, cls=DjangoJSONEncoder), key]
        )
        return cursor.fetchone()[0]


def pieces(job: int, after: int = 0, timeout_ms: int = 1000) -> list[Piece]:
    """Returns the pieces of a job's answer after a number: at least one, without text if none came within `timeout_ms`."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT seq, piece, status FROM rag.job_pieces(%s, %s, %s)", [job, after, timeout_ms])
        return [Piece(*row) for row in cursor.fetchall()]


def follow(job: int, after: int = 0, timeout_ms: int = 1000) -> Iterator[Piece]:
    """Yields the pieces of a job's answer after a number, and one without text if none came within `timeout_ms`."""
    status = None
    while status not in ENDED:
        for piece in pieces(job, after, timeout_ms):
            after = piece.number or after
            status = piece.status
            yield piece


async def afollow(job: int, after: int = 0, timeout_ms: int = 1000) -> AsyncIterator[Piece]:
    """Yields what `follow` yields. Between two statements the event loop and the connection's thread are free."""
    status = None
    while status not in ENDED:
        for piece in await sync_to_async(pieces)(job, after, timeout_ms):
            after = piece.number or after
            status = piece.status
            yield piece


def result(job: int) -> dict[str, Any] | None:
    """Returns the job's result, or None while it has not ended. Raises the error that ended it."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT rag.job_result(%s)::text", [job])
        value = cursor.fetchone()[0]
    return None if value is None else json.loads(value)


asubmit = sync_to_async(submit)
aresult = sync_to_async(result)
