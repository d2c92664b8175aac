"""Converts uploaded files to text."""

from pathlib import Path

from bs4 import BeautifulSoup
from django.core.exceptions import ValidationError
from markdownify import MarkdownConverter

KINDS = {".txt": "text", ".md": "markdown", ".markdown": "markdown", ".html": "html", ".htm": "html"}
MAX_BYTES = 5 * 1024 * 1024
# Elements that are not part of the document's text.
SKIPPED = ["script", "style", "noscript", "template", "nav", "head"]


def read(name: str, content: bytes) -> tuple[str, str, str]:
    """Returns the kind, title and text of a file. Raises ValidationError with a message for the user who uploaded it."""
    kind = KINDS.get(Path(name).suffix.lower())
    if kind is None:
        raise ValidationError(f"“{name}” is none of the files that can be read: {', '.join(KINDS)}.")
    if len(content) > MAX_BYTES:
        raise ValidationError(f"The file has more than {MAX_BYTES // 1024 // 1024} MB.")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ValidationError("The file is not UTF-8 text. Save it as UTF-8 and upload it again.") from None
    if "\0" in text:
        raise ValidationError("The file is binary, not text.")
    title = Path(name).stem
    if kind == "html":
        title, text = from_html(text, title)
    if not text.strip():
        raise ValidationError("The file has no text.")
    return kind, title[:200], text


def from_html(html: str, title: str) -> tuple[str, str]:
    """Returns the title and text of an HTML page, as Markdown with its headings, so that passages have heading paths."""
    page = BeautifulSoup(html, "html.parser")
    if page.title and page.title.get_text(strip=True):
        title = " ".join(page.title.get_text().split())
    for element in page.find_all(SKIPPED):
        element.decompose()
    return title, MarkdownConverter(heading_style="ATX", strip=["img", "a"]).convert_soup(page).strip()
