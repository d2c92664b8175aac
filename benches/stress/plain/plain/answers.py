"""Answers in the passages' own words, as local/extractive gives them: the sentences that are most like the question."""

import re
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from plain.embedding import embed
from plain.models import Chunk
from plain.search import search

PASSAGES = 5
MOST_SENTENCES = 3
# How much a passage's place counts beside the sentence; what is further below the best is left out; least similarity.
PASSAGE_WEIGHT, MARGIN, LEAST = 0.4, 0.15, 0.4
SENTENCE = re.compile(r"(?<=[.!?])\s+|\n\n+")
NOTHING = "The collection does not answer this question."


class Sentence(NamedTuple):
    score: float
    text: str
    passage: Chunk


def best_sentences(collection: str, question: str) -> list[Sentence]:
    """The best ones, none where no passage is about the question."""
    vector = embed([question])[0]
    passages = search(collection, question, PASSAGES, vector=vector)
    if not passages or 1 - min(passage.distance for passage in passages) < LEAST:
        return []
    cut = [(part.strip(), passage) for passage in passages for part in SENTENCE.split(passage.content) if part.strip()]
    similarities = np.array(embed([text for text, _ in cut])) @ vector
    highest = max(passage.score for passage in passages)
    scored = [
        Sentence(similarity + PASSAGE_WEIGHT * passage.score / highest, text, passage)
        for similarity, (text, passage) in zip(similarities, cut, strict=True)
    ]
    scored.sort(key=lambda sentence: sentence.score, reverse=True)
    return [sentence for sentence in scored[:MOST_SENTENCES] if sentence.score >= scored[0].score - MARGIN]


def answer(collection: str, question: str) -> Iterator[tuple[str, dict | None]]:
    """Pieces of the answer, each with its citation."""
    sentences = best_sentences(collection, question)
    for number, sentence in enumerate(sentences, 1):
        passage = sentence.passage
        citation = {
            "number": number,
            "source_key": {"id": passage.key},
            "title": passage.title,
            "quote": sentence.text,
            "chunk_id": passage.pk,
        }
        yield f"{sentence.text} [{number}]\n\n", citation
    if not sentences:
        yield NOTHING, None
