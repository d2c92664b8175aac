"""rag.search as a joined table of a query."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import Field
from django.db.models.sql.compiler import SQLCompiler
from django.db.models.sql.constants import INNER
from django.db.models.sql.datastructures import Join

from ragstone.models import Passage

TABLE = "rag_search"


class Results:
    """Stands for the relation of a join of Django's: the model of the joined rows."""

    related_model = Passage


class SearchJoin(Join):
    """Joins the rows of a model to the results of a search by the source's key. Django's own joins have no parameters."""

    # Django reads these where it compares or changes joins.
    nullable = False
    filtered_relation = None
    join_field = Results  # type: ignore[assignment]

    def __init__(
        self, parent_alias: str, table_alias: str, keys: tuple[Field[Any, Any], ...], arguments: tuple
    ) -> None:
        self.table_name = TABLE
        self.parent_alias = parent_alias
        self.table_alias = table_alias
        self.join_type = INNER
        self.keys = keys
        # Pairs of an argument's name and its value: a join is hashable.
        self.arguments = arguments

    def as_sql(self, compiler: SQLCompiler, connection: BaseDatabaseWrapper) -> tuple[str, Any]:
        quote = compiler.quote_name_unless_alias
        named = ", ".join(f"{name} => %s{CASTS.get(name, '')}" for name, _ in self.arguments)
        hit, row = quote(str(self.table_alias)), quote(str(self.parent_alias))
        conditions: list[str] = []
        names: list[Any] = []
        for field in self.keys:
            # The type is that of Django's own column definition, never a value that a user gives.
            cast = field.db_type(connection)
            conditions.append(
                f"{row}.{connection.ops.quote_name(str(field.column))} = ({hit}.source_key ->> %s)::{cast}"
            )
            names.append(str(field.column))
        sql = f"{self.join_type} rag.search({named}) AS {hit} ON ({' AND '.join(conditions)})"
        return sql, [value for _, value in self.arguments] + names

    def relabeled_clone(self, change_map: Mapping[str | None, str]) -> SearchJoin:
        parent = change_map.get(self.parent_alias, self.parent_alias)
        alias = change_map.get(self.table_alias, self.table_alias)
        clone = SearchJoin(parent, str(alias), self.keys, self.arguments)
        clone.join_type = self.join_type
        return clone

    @property
    def identity(self) -> tuple[Any, ...]:
        return (self.__class__, self.table_name, self.parent_alias, self.keys, self.arguments)


CASTS = {"filter": "::jsonb"}
