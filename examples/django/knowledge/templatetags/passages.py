"""Passages as HTML, with what is marked in them."""

import re

from django import template
from django.utils.html import escape, format_html_join
from django.utils.safestring import SafeString, mark_safe

from ragstone.models import MARK_BEGIN, MARK_END

register = template.Library()
# Of Markdown, what only disturbs in a few lines of a text.
MARKUP = re.compile(r"^\s*#+\s+|`|\*\*|^\|[-\s|]+\|$", re.MULTILINE)


@register.filter
def marked(passage: str) -> SafeString:
    """Words between the marks of Passage.marked as <mark>, all else escaped."""
    html = escape(MARKUP.sub("", passage))
    return mark_safe(html.replace(MARK_BEGIN, "<mark>").replace(MARK_END, "</mark>"))


@register.filter
def with_quote(text: str, quote: str | None) -> SafeString:
    """A text with the quoted places marked, the first of them as #passage; all else escaped."""
    places = sorted(place for part in (quote or "").split(" … ") if (place := find(text, part)))
    pieces, end = [], 0
    for begin, after in places:
        if begin >= end:
            attribute = "" if pieces else ' id="passage" tabindex="-1"'
            pieces.append((text[end:begin], mark_safe(attribute), text[begin:after]))
            end = after
    return format_html_join("", "{}<mark{}>{}</mark>", pieces) + escape(text[end:])


def find(text: str, part: str) -> tuple[int, int] | None:
    """Where a text has a part, whatever the white space between its words."""
    words = part.split()
    found = words and re.search(r"\s+".join(map(re.escape, words)), text)
    return found.span() if found else None


@register.simple_tag(takes_context=True)
def search_url(context, **changes) -> str:
    """The address of this search with other parameters; an empty value takes one away."""
    parameters = context["request"].GET.copy()
    parameters.pop("all", None)
    for name, value in changes.items():
        parameters.pop(name.rstrip("_"), None)
        if value:
            parameters[name.rstrip("_")] = value
    return "?" + parameters.urlencode()
