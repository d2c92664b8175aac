"""Searches as querysets: `Document.objects.rag_search("how do I …")`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Self, TypeVar

from django.core.exceptions import FieldDoesNotExist, ImproperlyConfigured
from django.db import models
from django.db.models.expressions import Col

from ragstone import searches
from ragstone.joins import TABLE, SearchJoin
from ragstone.models import Passage

M = TypeVar("M", bound=models.Model)

# Columns of rag.search by the names of the annotations.
ANNOTATIONS = {
    "rag_rank": "rank",
    "rag_score": "score",
    "rag_similarity": "similarity",
    "rag_content": "content",
    "rag_heading": "heading",
    "rag_chunk": "chunk_id",
}
OPERATORS_OF_FILTERS = ("$and", "$or", "$not")


class SearchQuerySet(models.QuerySet[M]):
    """A queryset of the source of a collection."""

    def rag_search(
        self,
        query: str,
        *,
        filter: searches.Filter | None = None,
        k: int = 100,
        collection: str | None = None,
        **options: Any,
    ) -> Self:
        """Returns the rows of the best `k` results of rag.search, each once, the best first.

        `filter` has names of fields or columns and is part of the search. Conditions of the queryset, before or after,
        choose among the `k` results. `options` are further arguments of rag.search, such as `mode`, `min_similarity`,
        `page_offset` and `per_source`. Results have the annotations of ANNOTATIONS.
        """
        if self.query.is_sliced:
            raise TypeError("a sliced queryset cannot be searched")
        arguments: dict[str, Any] = {"collection": collection or collection_of(self.model), "query": query, "k": k}
        arguments |= {"filter": searches.as_json(by_columns(self.model, filter))}
        arguments |= {"per_source": True, **options}
        found = self.all()
        parent = found.query.get_initial_alias()
        join = SearchJoin(parent, TABLE, keys_of(self.model), checked(arguments))
        alias = found.query.join(join)
        fields = {field.name: field for field in Passage._meta.concrete_fields}
        hits = {name: Col(alias, fields[column]) for name, column in ANNOTATIONS.items()}
        return found.annotate(**hits).order_by("rag_rank")

    def rag_count(self, query: str | None = None, *, filter: searches.Filter | None = None, **options: Any) -> int:
        """Returns the number of rows of the collection that fit, whatever the conditions of the queryset: rag.count."""
        collection = options.pop("collection", None) or collection_of(self.model)
        return searches.count(collection, query, by_columns(self.model, filter), using=self.db, **options)

    def rag_facets(
        self,
        query: str | None = None,
        columns: Sequence[str] | None = None,
        *,
        filter: searches.Filter | None = None,
        **options: Any,
    ) -> dict[str, list[searches.Facet]]:
        """Returns the values of the collection's metadata columns with their numbers of rows, whatever the conditions of
        the queryset: rag.facets. The result has the names of columns."""
        collection = options.pop("collection", None) or collection_of(self.model)
        wanted = None if columns is None else [by_column(self.model, name) for name in columns]
        conditions = by_columns(self.model, filter)
        return searches.facets(collection, query, wanted, conditions, using=self.db, **options)


ManagerOfSearches = models.Manager.from_queryset(SearchQuerySet)


class SearchManager(ManagerOfSearches[M]):
    """A manager with the searches of SearchQuerySet: `objects = SearchManager("documents")` names the collection."""

    def __init__(self, collection: str | None = None) -> None:
        super().__init__()
        self.collection = collection


def collection_of(model: type[models.Model]) -> str:
    """Returns the collection that one of the model's managers names. Managers of relations name none of their own."""
    for manager in model._meta.managers:
        if name := getattr(manager, "collection", None):
            return name
    raise ImproperlyConfigured(f"{model.__name__} has no SearchManager with a collection; give collection=…")


def keys_of(model: type[models.Model]) -> tuple[models.Field[Any, Any], ...]:
    """Returns the fields of the model's primary key, which is the source's key."""
    # Composite primary keys are Django's since 5.2.
    return tuple(getattr(model._meta, "pk_fields", None) or (model._meta.pk,))


def by_columns(model: type[models.Model], filter: Any) -> Any:
    """Returns a filter with columns in place of fields."""
    if isinstance(filter, list | tuple):
        return [by_columns(model, part) for part in filter]
    if not isinstance(filter, Mapping):
        return filter
    changed = {}
    for name, condition in filter.items():
        if name in OPERATORS_OF_FILTERS:
            changed[name] = by_columns(model, condition)
        else:
            changed[by_column(model, name)] = condition
    return changed


def by_column(model: type[models.Model], name: str) -> str:
    """Returns the column of a field or of a path into one, such as `attributes.color`."""
    first, dot, rest = name.partition(".")
    try:
        field = model._meta.get_field(first)
    except FieldDoesNotExist:
        return name
    return (getattr(field, "column", None) or first) + dot + rest


def checked(arguments: Mapping[str, Any]) -> tuple[tuple[str, Any], ...]:
    """Returns the arguments as pairs. Their names become part of the statement, so only plain names are accepted."""
    for name in arguments:
        if not (name.isascii() and name.isidentifier()):
            raise TypeError(f"{name!r} is not the name of an argument of rag.search")
    return tuple(arguments.items())
