#!/usr/bin/env python3
"""Extracts passages and queries from the documentation that packages install.

usage: passages.py FOLDER OUT      for each page below FOLDER; writes OUT/passages.tsv (number, page, text) and OUT/queries.tsv
                                   (number of words, query)

A passage is a run of 150 words of a page; each text is taken once. Queries are headings of the pages: 40 of each length from one word to
eight, and 40 of nine to fourteen words, whose length is written as 9. The order is random but always the same.
"""

import gzip
import hashlib
import html
import pathlib
import random
import re
import sys
from collections import defaultdict

WORDS_OF_A_PASSAGE = 150
MOST_CHARACTERS = 3_000
LEAST_CHARACTERS = 200
MOST_PAGE_BYTES = 3_000_000
QUERIES_OF_A_LENGTH = 40
LONGEST = 9
SUFFIXES = (".html", ".htm", ".rst", ".txt", ".rst.gz", ".txt.gz")

HIDDEN = re.compile(r"<(script|style|head|nav)\b.*?</\1>", re.DOTALL | re.IGNORECASE)
TAG = re.compile(r"<[^>]+>")
HEADING = re.compile(r"<h[1-4][^>]*>(.*?)</h[1-4]>", re.DOTALL)


def digest(text):
    """Returns a number whose order is random but always the same."""
    return hashlib.sha256(text.encode("utf8", "surrogateescape")).digest()


def plain(markup):
    """Returns the text of an HTML fragment."""
    return html.unescape(TAG.sub(" ", markup))


def read(page):
    """Returns the text of a page with its markup."""
    opened = gzip.open if page.name.endswith(".gz") else open
    with opened(page, "rb") as file:
        return file.read().decode("utf8", "replace").replace("\0", "")


def passages(page, text):
    """Cuts a page into runs of words."""
    words = (plain(HIDDEN.sub(" ", text)) if ".htm" in page.name else text).split()
    for first in range(0, len(words), WORDS_OF_A_PASSAGE):
        passage = " ".join(words[first : first + WORDS_OF_A_PASSAGE])[:MOST_CHARACTERS]
        if len(passage) >= LEAST_CHARACTERS:
            yield passage


def headings(text):
    """Returns the headings of a page as plain words."""
    for heading in HEADING.findall(text):
        words = re.sub(r"[^A-Za-z0-9_ \-]", " ", plain(heading)).split()
        if 1 <= len(words) <= 14 and len(" ".join(words)) > 3:
            yield words


def main():
    """Writes both files."""
    folder, out = map(pathlib.Path, sys.argv[1:])
    pages = [
        page for page in folder.rglob("*") if page.name.endswith(SUFFIXES) and page.is_file() and not page.is_symlink()
    ]
    pages.sort(key=lambda page: digest(str(page.relative_to(folder))))
    seen, queries = set(), defaultdict(set)
    with open(out / "passages.tsv", "w", encoding="utf8") as file:
        for page in pages:
            if page.stat().st_size > MOST_PAGE_BYTES:
                continue
            try:
                text = read(page)
            except (OSError, EOFError):
                continue
            for passage in passages(page, text):
                if digest(passage) not in seen:
                    seen.add(digest(passage))
                    file.write(f"{len(seen)}\t{page.name}\t{passage}\n")
            for words in headings(text):
                queries[min(len(words), LONGEST)].add(" ".join(words))
    chosen = random.Random(1)
    with open(out / "queries.tsv", "w", encoding="utf8") as file:
        for length, found in sorted(queries.items()):
            some = chosen.sample(sorted(found), min(len(found), QUERIES_OF_A_LENGTH))
            file.writelines(f"{length}\t{query}\n" for query in some)


main()
