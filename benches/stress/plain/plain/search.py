"""Vector search and full-text search with both lists fused in Python, and the facets of what they find."""

import re
from functools import reduce
from operator import or_

from django.conf import settings
from django.contrib.postgres.search import SearchHeadline, SearchQuery, SearchRank
from django.db.models import Count, Q, QuerySet
from django.db.models.fields.json import KT
from pgvector.django import CosineDistance

from plain.embedding import embed
from plain.models import CHUNKS, Chunk
from ragstone.models import MARK_BEGIN, MARK_END

CANDIDATES = 50
# The value from the paper by Cormack, Clarke and Büttcher.
RRF_K = 60
# Number of values of a facet.
VALUES = 8

# The values that were chosen of each facet.
Chosen = dict[str, list[str]]


def page(collection: str, query: str, chosen: Chosen, offset: int, size: int) -> tuple[list[Chunk], dict]:
    """Returns the best passage of each of `size` rows, with the query's words marked, and the facets."""
    vector = embed([query])[0]
    distance = CosineDistance("embedding", vector)
    narrowed = narrow(CHUNKS[collection].objects.all(), chosen)
    is_near = Q(distance__lte=1 - settings.MIN_SIMILARITY)
    scores = fused(nearest(narrowed.alias(distance=distance).filter(is_near), vector), by_words(narrowed, query))
    best: dict[int, int] = {}
    keys = dict(narrowed.filter(pk__in=scores).values_list("pk", "key"))
    for pk in sorted(keys, key=scores.get, reverse=True):
        best.setdefault(keys[pk], pk)
    shown = list(best.values())[offset : offset + size]
    return passages(collection, query, shown, scores, vector), facets(collection, query, chosen, vector)


def search(collection: str, query: str, k: int, vector) -> list[Chunk]:
    """Returns the best passages, with their scores and with the query's words marked."""
    chunks = CHUNKS[collection].objects.all()
    scores = fused(nearest(chunks, vector), by_words(chunks, query))
    return passages(collection, query, sorted(scores, key=scores.get, reverse=True)[:k], scores, vector)


def narrow(chunks: QuerySet[Chunk], chosen: Chosen) -> QuerySet[Chunk]:
    """Keeps the chunks that have, of each facet, one of the chosen values."""
    return reduce(lambda left, name: left.filter(**{f"metadata__{name}__in": chosen[name]}), chosen, chunks)


def nearest(chunks: QuerySet[Chunk], vector):
    return chunks.order_by(CosineDistance("embedding", vector))[:CANDIDATES].values_list("pk", flat=True)


def by_words(chunks: QuerySet[Chunk], query: str):
    words = any_word(query)
    ranked = chunks.filter(words=words).annotate(rank=SearchRank("words", words, cover_density=True))
    return ranked.order_by("-rank")[:CANDIDATES].values_list("pk", flat=True)


def any_word(query: str) -> SearchQuery:
    words = re.findall(r"\w+", query) or [query]
    return reduce(or_, (SearchQuery(word, config="english") for word in words))


def fused(*rankings) -> dict[int, float]:
    """Returns the sum of the reciprocal ranks of each chunk."""
    scores: dict[int, float] = {}
    for ranking in rankings:
        for rank, pk in enumerate(ranking, 1):
            scores[pk] = scores.get(pk, 0) + 1 / (RRF_K + rank)
    return scores


def passages(collection: str, query: str, best: list[int], scores: dict[int, float], vector) -> list[Chunk]:
    marked = SearchHeadline(
        "content", any_word(query), config="english", start_sel=MARK_BEGIN, stop_sel=MARK_END, highlight_all=True
    )
    chunks = CHUNKS[collection].objects.defer("embedding", "words")
    found = chunks.annotate(marked=marked, distance=CosineDistance("embedding", vector)).in_bulk(best)
    in_order = [found[pk] for pk in best if pk in found]
    for passage in in_order:
        passage.score = scores[passage.pk]
    return in_order


def facets(collection: str, query: str, chosen: Chosen, vector) -> dict[str, list[tuple[str, int, bool]]]:
    """Returns the most frequent values of the metadata, their numbers of rows and whether they are chosen. A facet counts
    the rows that fit the values chosen of the others."""
    model = CHUNKS[collection]
    fits = Q(words=any_word(query)) | Q(distance__lte=1 - settings.MIN_SIMILARITY)
    fitting = model.objects.alias(distance=CosineDistance("embedding", vector)).filter(fits)
    found = {}
    for name in model.FACETS:
        others = narrow(fitting, {other: values for other, values in chosen.items() if other != name})
        counted = others.values(value=KT(f"metadata__{name}")).annotate(rows=Count("key", distinct=True))
        most = counted.filter(value__isnull=False).order_by("-rows", "value")[:VALUES].values_list("value", "rows")
        found[name] = [(value, rows, value in chosen.get(name, ())) for value, rows in most]
    return found
