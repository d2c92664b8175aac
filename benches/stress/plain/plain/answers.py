"""Extractive answers, like those of local/extractive: the sentences that are most similar to the question."""

import re
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from plain.embedding import embed
from plain.models import Chunk
from plain.search import search

PASSAGES = 5
MOST_SENTENCES = 3
# Weight of a passage's score compared with the sentence's; margin below the best score; minimum similarity.
PASSAGE_WEIGHT, MARGIN, LEAST = 0.4, 0.15, 0.4
# A fenced block, or the lines up to the next empty line or fence.
BLOCK = re.compile(r"```.*?(?:```|\Z)|(?:[^\n]|\n(?!\n|```))+", re.DOTALL)
LIST = ("```", "- ", "* ", "1. ", "|")
END = re.compile(r"(?<=[.!?])\s+")
NOTHING = "The collection does not answer this question."


class Sentence(NamedTuple):
    score: float
    text: str
    passage: Chunk


def sentences(passage: str) -> list[str]:
    """Returns what can be quoted: sentences, and whole blocks of code, lists and tables, but no headings, captions or introductions."""
    blocks = BLOCK.findall(passage)
    cut = [part for block in blocks for part in ([block] if block.lstrip().startswith(LIST) else END.split(block))]
    stripped = [part.strip() for part in cut]
    return [part for part in stripped if len(part.split()) >= 3 and part[0] != "#" and part[-1] != ":"]


def best_sentences(collection: str, question: str) -> list[Sentence]:
    """Returns the most similar sentences, or none if no passage is about the question."""
    vector = embed([question])[0]
    passages = search(collection, question, PASSAGES, vector)
    if not passages or 1 - min(passage.distance for passage in passages) < LEAST:
        return []
    cut = [(text, passage) for passage in passages for text in sentences(passage.content)]
    if not cut:
        return []
    similarities = np.array(embed([text for text, _ in cut])) @ vector
    highest = max(passage.score for passage in passages)
    scored = [
        Sentence(similarity + PASSAGE_WEIGHT * passage.score / highest, text, passage)
        for similarity, (text, passage) in zip(similarities, cut, strict=True)
    ]
    scored.sort(key=lambda sentence: sentence.score, reverse=True)
    return [sentence for sentence in scored[:MOST_SENTENCES] if sentence.score >= scored[0].score - MARGIN]


def answer(collection: str, question: str) -> Iterator[tuple[str, dict | None]]:
    """Yields the parts of the answer, each with its citation."""
    best = best_sentences(collection, question)
    for number, sentence in enumerate(best, 1):
        passage = sentence.passage
        citation = {
            "number": number,
            "source_key": {"id": passage.key},
            "title": passage.title,
            "quote": sentence.text,
            "chunk_id": passage.pk,
        }
        yield f"{sentence.text} [{number}]\n\n", citation
    if not best:
        yield NOTHING, None
