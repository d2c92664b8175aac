import json
from typing import Any

from django import template

register = template.Library()


@register.filter
def as_json(value: Any) -> str:
    """Formats a jsonb value as text on several lines."""
    return json.dumps(value, indent=2, ensure_ascii=False)
