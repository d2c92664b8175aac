"""Jobs as server-sent events, which the HTML standard describes in section 9.2."""

import json
from collections.abc import Callable, Iterator
from typing import Any

from django.db import DatabaseError
from django.http import HttpRequest, StreamingHttpResponse

from ragstone import jobs
from ragstone.problems import UNFORESEEN, explain

# A proxy that collects a reply before it passes it on would keep the pieces until the last.
HEADERS = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}


def stream(request: HttpRequest, job: int, render: Callable[[Any], str]) -> StreamingHttpResponse:
    """The events of a job: `piece`, `anew` where what came before is to be forgotten, and at the end `done` with the HTML
    of the result, or `failed`. A browser that has lost the connection says what it had last."""
    after = request.headers.get("Last-Event-ID", "")
    # Numbers of pieces are of type integer.
    is_number = after.isdecimal() and len(after) < 10
    pieces = events(job, int(after) if is_number else 0, render)
    return StreamingHttpResponse(pieces, content_type="text/event-stream", headers=HEADERS)


def events(job: int, after: int, render: Callable[[Any], str]) -> Iterator[str]:
    try:
        for piece in jobs.follow(job, after):
            if piece.text is None:
                # Shows whether anybody still listens.
                yield ": waiting\n\n"
            else:
                yield event("anew" if piece.begins_anew else "piece", {"text": piece.text}, piece.number)
        html = render(jobs.result(job))
    except DatabaseError as error:
        yield event("failed", {"message": (explain(error) or UNFORESEEN).message})
    else:
        yield event("done", {"html": html})


def event(name: str, data: dict, number: int | None = None) -> str:
    # JSON has no line breaks outside of its strings, and in these they are escaped.
    identity = "" if number is None else f"id: {number}\n"
    return f"event: {name}\n{identity}data: {json.dumps(data)}\n\n"
