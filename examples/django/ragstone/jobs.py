"""Long calls as jobs: each function here runs short statements, outside a transaction."""

import json
from collections.abc import Iterator
from typing import Any, NamedTuple

from django.db import connection
from psycopg.types.json import Jsonb

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
        cursor.execute("SELECT rag.submit(%s, %s, %s)", [kind, Jsonb(arguments), key])
        return cursor.fetchone()[0]


def follow(job: int, after: int = 0, timeout_ms: int = 1000) -> Iterator[Piece]:
    """Yields the pieces of a job's answer after a number, and one without text if none came within `timeout_ms`."""
    status = None
    while status not in ENDED:
        with connection.cursor() as cursor:
            cursor.execute("SELECT seq, piece, status FROM rag.job_pieces(%s, %s, %s)", [job, after, timeout_ms])
            rows = cursor.fetchall()
        for piece in map(Piece._make, rows):
            after = piece.number or after
            status = piece.status
            yield piece


def result(job: int) -> dict | None:
    """Returns the job's result, or None while it has not ended. Raises the error that ended it."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT rag.job_result(%s)::text", [job])
        value = cursor.fetchone()[0]
    return None if value is None else json.loads(value)
