"""Jobs as server-sent events, which section 9.2 of the HTML standard describes."""

import json
from collections.abc import Callable, Iterator
from typing import Any

from django.db import DatabaseError
from django.http import HttpRequest, StreamingHttpResponse

from ragstone import jobs
from ragstone.problems import UNFORESEEN, explain

# A proxy that buffers responses would hold back the pieces until the last one.
HEADERS = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}


def stream(request: HttpRequest, job: int, render: Callable[[Any], str]) -> StreamingHttpResponse:
    """Yields the events of a job: `piece`; `anew`, if the pieces before it are to be discarded; at the end `done` with
    the HTML of the result, or `failed`. A browser that reconnects sends the number of its last piece."""
    after = request.headers.get("Last-Event-ID", "")
    # Numbers of pieces have the type integer.
    is_number = after.isdecimal() and len(after) < 10
    pieces = events(job, int(after) if is_number else 0, render)
    return StreamingHttpResponse(pieces, content_type="text/event-stream", headers=HEADERS)


def events(job: int, after: int, render: Callable[[Any], str]) -> Iterator[str]:
    try:
        for piece in jobs.follow(job, after):
            if piece.text is None:
                # Writing fails if the client has disconnected.
                yield ": waiting\n\n"
            else:
                yield event("anew" if piece.begins_anew else "piece", {"text": piece.text}, piece.number)
        html = render(jobs.result(job))
    except DatabaseError as error:
        yield event("failed", {"message": (explain(error) or UNFORESEEN).message})
    else:
        yield event("done", {"html": html})


def event(name: str, data: dict, number: int | None = None) -> str:
    # JSON has no line breaks outside its strings, and inside them they are escaped.
    identity = "" if number is None else f"id: {number}\n"
    return f"event: {name}\n{identity}data: {json.dumps(data)}\n\n"
