"""Functions of schema rag as expressions for annotate(), filter() and values_list()."""

from __future__ import annotations

from typing import Any

from django.db.models import BigIntegerField, Field, Func, TextField, Value

from ragstone.searches import Filter, as_json


class Search(Func):
    """A column of the best result of a search, for each row: `annotate(page=Search("manual", F("question")))`.

    `query` is a string, or an expression that is not NULL. `column` is one of rag.search; `output_field` is its type.
    Each row costs a search.
    """

    COLUMNS = ("score", "source_key", "title", "heading", "content", "metadata", "chunk_id", "similarity")

    function = "rag.search"
    output_field = TextField(null=True)

    def __init__(
        self,
        collection: str,
        query: Any,
        column: str = "content",
        mode: str = "hybrid",
        filter: Filter | None = None,
        output_field: Field[Any, Any] | None = None,
        **extra: Any,
    ) -> None:
        if column not in self.COLUMNS:
            raise ValueError(f"{column!r} is none of {', '.join(self.COLUMNS)}")
        if isinstance(query, str):
            query = Value(query)
        options = [Value(collection), query, Value(1), Value(mode), Value(as_json(filter))]
        super().__init__(*options, output_field=output_field or TextField(null=True), column=column, **extra)

    template = "(SELECT hit.%(column)s FROM %(function)s(%(expressions)s::jsonb) AS hit)"


class RetryFailed(Func):
    """Retries all rows of a collection that could not be indexed; returns their number."""

    function = "rag.retry_failed"
    output_field = BigIntegerField()


class Feedback(Func):
    """Stores a reader's rating of an answer: message, score (-1 or 1), comment."""

    function = "rag.feedback"
    output_field = TextField()


class Trace(Func):
    """Returns a run as a tree, one row per line."""

    function = "rag.trace"
    output_field = TextField()
    set_returning = True


class Approve(Func):
    """Approves a tool call: step, comment. Returns the job that continues the run, or NULL while other calls wait."""

    function = "rag.approve"
    output_field = BigIntegerField(null=True)


class Reject(Func):
    """Rejects a tool call, and the run continues without it: step, reason. Returns the job, as Approve does."""

    function = "rag.reject"
    output_field = BigIntegerField(null=True)
