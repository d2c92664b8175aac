#!/usr/bin/env python3
"""Converts the HTML pages of the PostgreSQL manual to CSV with the columns id, title, url and body (Markdown).

usage: manual.py /usr/share/doc/postgresql-doc-15/html > pages.csv

The navigation at the top and foot of each page, tables of contents and the back-of-book index are left out; the index
would answer any question with a list of links.
"""

import csv
import pathlib
import re
import sys
from html.parser import HTMLParser

SKIPPED_CLASSES = {"navheader", "navfooter", "toc"}
ASIDES = {"note", "tip", "warning", "caution", "important"}
SKIPPED_PAGES = {"bookindex.html", "index.html"}
VOID = {"area", "br", "col", "hr", "img", "input", "link", "meta"}
BLOCKS = {
    "p",
    "div",
    "dl",
    "dt",
    "dd",
    "ul",
    "ol",
    "li",
    "table",
    "pre",
    "blockquote",
    "h1",
    "h2",
    "h3",
    "h4",
    "h5",
    "h6",
}
NUMBERING = re.compile(r"^(?:(?:Chapter|Appendix|Part)\s+)?(?:\d+|[A-Z]|[IVX]+)(?:\.\d+)*\.\s+")


class Page(HTMLParser):
    """Collects the blocks of one page as Markdown paragraphs."""

    def __init__(self):
        super().__init__(convert_charrefs=True)
        self.title, self.blocks, self.text = "", [], []
        self.open, self.skipped = [], None
        self.classes, self.code_depth = [], 0
        self.lists, self.marker = [], ""
        self.verbatim = self.in_title = False
        self.rows = None

    # Elements

    def handle_starttag(self, tag, attributes):
        if tag in VOID:
            if tag == "br":
                self.text.append("\n" if self.verbatim else " ")
            return
        classes = set((dict(attributes).get("class") or "").split())
        self.open.append(tag)
        self.classes.append(classes)
        if self.skipped is None and (classes & SKIPPED_CLASSES or tag in ("script", "style")):
            self.skipped = len(self.open)
        if self.skipped is None:
            self.begin(tag)

    def handle_endtag(self, tag):
        if tag in VOID or tag not in self.open:
            return
        while self.open:
            closing = self.open.pop()
            self.classes.pop()
            if self.skipped is None:
                self.end(closing)
            elif len(self.open) < self.skipped:
                self.skipped = None
            if closing == tag:
                return

    def handle_data(self, data):
        if self.in_title:
            self.title += data
        elif self.skipped is None and "body" in self.open:
            self.text.append(data)

    def begin(self, tag):
        if tag == "title":
            self.in_title = True
        elif tag == "code" and not self.verbatim:
            self.code_depth += 1
            self.text.append("`" if self.code_depth == 1 else "")
        elif tag in ("td", "th"):
            self.text = []
        elif self.rows is not None and tag == "table":
            pass
        elif self.rows is not None and tag in BLOCKS:
            self.text.append(" ")
        elif tag == "table":
            self.flush()
            self.rows = []
        elif tag in BLOCKS:
            self.begin_block(tag)
        if tag == "tr" and self.rows is not None:
            self.rows.append([])

    def begin_block(self, tag):
        self.flush()
        if tag in ("ul", "ol"):
            self.lists.append(0 if tag == "ol" else None)
        elif tag == "li":
            self.marker = "- "
            if self.lists and self.lists[-1] is not None:
                self.lists[-1] += 1
                self.marker = f"{self.lists[-1]}. "
        elif tag == "pre":
            self.verbatim = True

    def end(self, tag):
        if tag == "title":
            self.in_title = False
        elif tag == "code" and not self.verbatim:
            self.text.append("`" if self.code_depth == 1 else "")
            self.code_depth -= 1
        elif tag in ("td", "th") and self.rows:
            self.rows[-1].append(self.inline())
        elif tag == "table" and self.rows is not None:
            rows, self.rows = self.rows, None
            self.blocks.append(markdown_table(rows))
        elif self.rows is not None:
            return
        elif re.fullmatch("h[1-6]", tag):
            self.heading(int(tag[1]))
        elif tag == "pre":
            self.verbatim = False
            self.code()
        elif tag == "dt":
            term = self.inline()
            self.blocks.append(f"**{term}**" if term else "")
        elif tag in BLOCKS:
            self.flush()
            if tag in ("ul", "ol"):
                self.lists.pop()

    # Blocks

    def inline(self):
        """Returns the text collected so far, on one line."""
        text = " ".join("".join(self.text).split())
        self.text = []
        return text

    def flush(self):
        """Ends a paragraph or a list item."""
        text = self.inline()
        if not text:
            return
        indent = "  " * max(len(self.lists) - 1, 0)
        if self.marker:
            text, self.marker = indent + self.marker + text, ""
        elif self.lists:
            text = indent + "  " + text
        self.blocks.append(text)

    def heading(self, level):
        text = NUMBERING.sub("", self.inline()).replace("`", "")
        if text and self.classes and self.classes[-1] & ASIDES:
            self.blocks.append(f"**{text}**")
        elif text:
            self.blocks.append("#" * level + " " + text)

    def code(self):
        text = "".join(self.text).strip("\n").rstrip()
        self.text = []
        if text:
            self.blocks.append(f"```\n{text}\n```")

    def markdown(self):
        self.flush()
        return "\n\n".join(block for block in self.blocks if block) + "\n"


def markdown_table(rows):
    """Returns a pipe table, or a list if the rows have one cell (the manual's tables of functions)."""
    rows = [row for row in rows if any(row)]
    if not rows:
        return ""
    width = max(map(len, rows))
    if width == 1:
        return "\n".join(f"- {row[0]}" for row in rows)
    cells = [[cell.replace("|", "\\|") for cell in row] + [""] * (width - len(row)) for row in rows]
    lines = ["| " + " | ".join(row) + " |" for row in cells]
    lines.insert(1, "|" + " --- |" * width)
    return "\n".join(lines)


def convert(html):
    """Return the title and the Markdown of a page."""
    page = Page()
    page.feed(html)
    page.close()
    return NUMBERING.sub("", " ".join(page.title.split())), page.markdown()


def main():
    if len(sys.argv) != 2:
        sys.exit("usage: manual.py folder-of-html-pages > pages.csv")
    paths = sorted(pathlib.Path(sys.argv[1]).glob("*.html"))
    if not paths:
        sys.exit(f"no HTML pages in {sys.argv[1]}: install the package postgresql-doc-15")
    writer = csv.writer(sys.stdout)
    writer.writerow(["id", "title", "url", "body"])
    kept = (path for path in paths if path.name not in SKIPPED_PAGES)
    for number, path in enumerate(kept, 1):
        title, body = convert(path.read_text(encoding="utf-8"))
        writer.writerow([number, title, path.name, body])


if __name__ == "__main__":
    main()
