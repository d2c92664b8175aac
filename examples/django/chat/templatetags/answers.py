"""Answers as HTML: Markdown, with the numbers in brackets as links to the cited passages."""

import re

from django import template
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString, mark_safe
from markdown_it import MarkdownIt
from markdown_it.token import Token

from ragstone.models import Message

register = template.Library()
# A passage may make the model write anything, so HTML, and addresses to follow or to load from, are disabled.
markdown = MarkdownIt("commonmark", {"html": False}).disable(["html_inline", "html_block", "image", "link", "autolink"])
NUMBER = re.compile(r"\[(\d{1,4})\]")


@register.simple_tag
def answer(message: Message) -> SafeString:
    """Returns the HTML of an answer whose numbers open the passages that they cite."""
    known = {citation["number"]: citation for citation in message.citations or []}
    tokens = markdown.parse(message.content)
    for token in tokens:
        token.children = token.children and [new for child in token.children for new in linked(child, message, known)]
    return mark_safe(markdown.renderer.render(tokens, markdown.options, {}))


def linked(token: Token, message: Message, known: dict[int, dict]) -> list[Token]:
    """Splits a token's text at its citation numbers; code is not changed."""
    if token.type != "text":
        return [token]
    # The odd parts are the matches of the expression's group.
    parts = NUMBER.split(token.content)
    return [
        Token("html_inline", "", 0, content=link(int(part), message, known))
        if index % 2 and int(part) in known
        else Token("text", "", 0, content=f"[{part}]" if index % 2 else part)
        for index, part in enumerate(parts)
    ]


def link(number: int, message: Message, known: dict[int, dict]) -> str:
    address = reverse("citation", args=[message.session_id, message.pk, number])
    title = known[number]["title"] or "the passage"
    return format_html(
        '<a class="cite" href="{}#passage" aria-label="Source {}: {}">[{}]</a>', address, number, title, number
    )
