"""Whole texts as HTML, with the passage highlighted that a search or an answer links to."""

import re
from collections.abc import Iterable
from itertools import groupby

from django import template
from django.utils.html import escape
from django.utils.safestring import SafeString, mark_safe
from markdown_it import MarkdownIt
from markdown_it.token import Token

register = template.Library()
# A text may come from any user: HTML in it is escaped, and nothing is loaded from other hosts.
markdown = MarkdownIt("commonmark", {"html": False}).enable("table")
markdown.add_render_rule("image", lambda renderer, tokens, place, options, env: escape(tokens[place].content))
ADDRESS = re.compile(r"https?://", re.IGNORECASE)


@register.simple_tag
def whole_text(text, quote: str | None) -> SafeString:
    """Returns the text of a page or document with the lines or blocks of the quotes marked, the first one as #passage."""
    body = re.sub(r"\r\n?", "\n", text.body)
    lines = quoted_lines(body, quote or "")
    blocks = of_plain(body, lines) if getattr(text, "kind", None) == "text" else of_markdown(body, lines)
    html, attributes = "", ' id="passage" tabindex="-1"'
    # What is marked side by side is one piece.
    for is_quoted, group in groupby(blocks, lambda block: block[0]):
        content = "".join(block[1] for block in group)
        if is_quoted:
            content, attributes = f'<div class="quoted"{attributes}>{content}</div>', ""
        html += content
    return mark_safe(html)


def quoted_lines(body: str, quote: str) -> set[int]:
    """Returns the lines, counted from 0, that a quote covers."""
    places = [place for part in quote.split(" … ") if (place := find(body, part))]
    return {line for begin, end in places for line in range(body.count("\n", 0, begin), body.count("\n", 0, end) + 1)}


def find(text: str, part: str) -> tuple[int, int] | None:
    """Returns where a text contains a part; white space between words may differ."""
    words = part.split()
    found = words and re.search(r"\s+".join(map(re.escape, words)), text)
    return found.span() if found else None


def of_plain(body: str, lines: set[int]) -> Iterable[tuple[bool, str]]:
    """Groups adjacent lines by whether they are marked."""
    for is_quoted, group in groupby(enumerate(body.split("\n")), lambda line: line[0] in lines):
        # A browser leaves out a line feed at the end.
        content = "".join(line + "\n" for _, line in group)
        yield is_quoted, f'<div class="plain">{escape(content)}</div>'


def of_markdown(body: str, lines: set[int]) -> Iterable[tuple[bool, str]]:
    """Yields whole blocks with whether they are marked, because a passage may end in the middle of one."""
    env: dict = {}
    block: list[Token] = []
    for token in markdown.parse(body, env):
        block.append(shown(token))
        if token.level == 0 and token.nesting <= 0:
            begin, end = block[0].map or (0, 0)
            yield not lines.isdisjoint(range(begin, end)), markdown.renderer.render(block, markdown.options, env)
            block = []


def shown(token: Token) -> Token:
    """Adapts a token to the page: headings below the page's own, and links only to other sites."""
    if token.type in ("heading_open", "heading_close"):
        token.tag = f"h{min(int(token.tag[1:]) + 1, 6)}"
    if token.children:
        token.children = list(without_local_links(token.children))
    return token


def without_local_links(tokens: list[Token]) -> Iterable[Token]:
    """Removes relative links, for example within the manual, because their targets are not pages of this site."""
    is_kept = True
    for token in tokens:
        if token.type == "link_open":
            is_kept = bool(ADDRESS.match(str(token.attrGet("href"))))
            token.attrSet("rel", "nofollow noreferrer")
        if is_kept or token.type not in ("link_open", "link_close"):
            yield token
