"""Vector search and full-text search, with both lists fused in Python."""

import re
from functools import reduce
from operator import or_

from django.contrib.postgres.search import SearchHeadline, SearchQuery, SearchRank
from pgvector.django import CosineDistance

from plain.embedding import embed
from plain.models import CHUNKS, Chunk
from ragstone.models import MARK_BEGIN, MARK_END

CANDIDATES = 50
# The value from the paper by Cormack, Clarke and Büttcher.
RRF_K = 60


def search(collection: str, query: str, k: int, filter: dict | None = None, vector=None) -> list[Chunk]:
    """Returns the best passages, with their scores and with the query's words marked."""
    chunks = CHUNKS[collection].objects.defer("embedding", "words")
    if filter:
        chunks = chunks.filter(metadata__contains=filter)
    vector = embed([query])[0] if vector is None else vector
    nearest = chunks.order_by(CosineDistance("embedding", vector))[:CANDIDATES].values_list("pk", flat=True)
    scores: dict[int, float] = {}
    for ranking in (nearest, by_words(chunks, query)):
        for rank, pk in enumerate(ranking, 1):
            scores[pk] = scores.get(pk, 0) + 1 / (RRF_K + rank)
    best = sorted(scores, key=scores.get, reverse=True)[:k]
    marked = SearchHeadline(
        "content", any_word(query), config="english", start_sel=MARK_BEGIN, stop_sel=MARK_END, highlight_all=True
    )
    found = chunks.annotate(marked=marked, distance=CosineDistance("embedding", vector)).in_bulk(best)
    passages = [found[pk] for pk in best if pk in found]
    for passage in passages:
        passage.score = scores[passage.pk]
    return passages


def by_words(chunks, query: str):
    words = any_word(query)
    ranked = chunks.filter(words=words).annotate(rank=SearchRank("words", words, cover_density=True))
    return ranked.order_by("-rank")[:CANDIDATES].values_list("pk", flat=True)


def any_word(query: str) -> SearchQuery:
    words = re.findall(r"\w+", query) or [query]
    return reduce(or_, (SearchQuery(word, config="english") for word in words))
