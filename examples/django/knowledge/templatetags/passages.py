"""Passages as HTML, with the marked words highlighted."""

import re

from django import template
from django.utils.html import escape
from django.utils.safestring import SafeString, mark_safe

from ragstone.models import MARK_BEGIN, MARK_END

register = template.Library()
# Markdown syntax that only disturbs in a short excerpt.
MARKUP = re.compile(r"^\s*#+\s+|`|\*\*|^\|[-\s|]+\|$", re.MULTILINE)


@register.filter
def marked(passage: str) -> SafeString:
    """Puts the words between the marks of Passage.marked into <mark>, and escapes everything else."""
    html = escape(MARKUP.sub("", passage))
    return mark_safe(html.replace(MARK_BEGIN, "<mark>").replace(MARK_END, "</mark>"))


@register.simple_tag(takes_context=True)
def search_url(context, **changes) -> str:
    """Returns the URL of this search with other parameters, on its first page; an empty value removes one."""
    parameters = context["request"].GET.copy()
    parameters.pop("page", None)
    for name, value in changes.items():
        parameters.pop(name.rstrip("_"), None)
        if value:
            parameters[name.rstrip("_")] = value
    return "?" + parameters.urlencode()


@register.simple_tag(takes_context=True)
def toggled(context, name: str, value: str) -> str:
    """Returns the URL of this search, on its first page, with a value of a facet added or removed."""
    parameters = context["request"].GET.copy()
    parameters.pop("page", None)
    facet, chosen = f"{name}:{value}", parameters.getlist("facet")
    parameters.setlist("facet", [other for other in chosen if other != facet] if facet in chosen else [*chosen, facet])
    return "?" + parameters.urlencode()
