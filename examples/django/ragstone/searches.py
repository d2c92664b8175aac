"""Searches, counts and facets of one collection, as calls: their rows are passages, values and numbers, not models."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from django.core.serializers.json import DjangoJSONEncoder
from django.db import DEFAULT_DB_ALIAS, connections

Filter = Mapping[str, Any]


class Facet(NamedTuple):
    """A value of a metadata column, None for rows without one, and the number of rows that have it."""

    value: Any
    rows: int


def as_json(filter: Filter | None) -> str | None:
    """Returns a filter as JSON; dates, times, decimals and uuids in it become strings, which the server reads."""
    return None if filter is None else json.dumps(filter, cls=DjangoJSONEncoder)


def count(
    collection: str,
    query: str | None = None,
    filter: Filter | None = None,
    min_similarity: float | None = None,
    using: str = DEFAULT_DB_ALIAS,
) -> int:
    """Returns the number of rows that fit the query and the filter: rag.count."""
    with connections[using].cursor() as cursor:
        values = [collection, query, as_json(filter), min_similarity]
        cursor.execute("SELECT rag.count(%s, %s, %s::jsonb, %s)", values)
        return cursor.fetchone()[0]


def facets(
    collection: str,
    query: str | None = None,
    columns: Sequence[str] | None = None,
    filter: Filter | None = None,
    k: int = 10,
    min_similarity: float | None = None,
    using: str = DEFAULT_DB_ALIAS,
) -> dict[str, list[Facet]]:
    """Returns the `k` most frequent values of each metadata column among the rows that `count` counts: rag.facets."""
    found: dict[str, list[Facet]] = {}
    with connections[using].cursor() as cursor:
        cursor.execute(
            "SELECT column_name, value::text, rows FROM rag.facets(%s, %s, %s::text[], %s::jsonb, %s, %s)",
            [collection, query, None if columns is None else list(columns), as_json(filter), k, min_similarity],
        )
        for column, value, rows in cursor.fetchall():
            found.setdefault(column, []).append(Facet(None if value is None else json.loads(value), rows))
    return found
