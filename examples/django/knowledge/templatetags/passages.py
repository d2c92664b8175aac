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
    """Returns the URL of this search with other parameters; an empty value removes one."""
    parameters = context["request"].GET.copy()
    parameters.pop("all", None)
    for name, value in changes.items():
        parameters.pop(name.rstrip("_"), None)
        if value:
            parameters[name.rstrip("_")] = value
    return "?" + parameters.urlencode()
