"""Jobs as server-sent events, which section 9.2 of the HTML standard describes."""

import json
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

from asgiref.sync import sync_to_async
from django.db import DatabaseError
from django.http import HttpRequest, StreamingHttpResponse

from ragstone import jobs
from ragstone.problems import UNFORESEEN, explain

# A proxy that buffers responses would hold back the pieces until the last one.
HEADERS = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}


def stream(request: HttpRequest, job: int, render: Callable[[Any], str]) -> StreamingHttpResponse:
    """Yields the events of a job: `piece`; `anew`, if the pieces before it are to be discarded; at the end `done` with
    the HTML of the result, or `failed`. A browser that reconnects sends the number of its last piece. For WSGI."""
    return respond(events(job, last_piece(request), render))


def astream(request: HttpRequest, job: int, render: Callable[[Any], str]) -> StreamingHttpResponse:
    """Yields the events of `stream` under ASGI, where no thread waits between two of them. `render` runs in a thread."""
    return respond(aevents(job, last_piece(request), render))


def respond(content: Iterator[str] | AsyncIterator[str]) -> StreamingHttpResponse:
    return StreamingHttpResponse(content, content_type="text/event-stream", headers=HEADERS)


def last_piece(request: HttpRequest) -> int:
    """Returns the number of the last piece that the browser has, or 0."""
    after = request.headers.get("Last-Event-ID", "")
    # Numbers of pieces have the type integer.
    return int(after) if after.isdecimal() and len(after) < 10 else 0


def events(job: int, after: int, render: Callable[[Any], str]) -> Iterator[str]:
    try:
        for piece in jobs.follow(job, after):
            yield of_piece(piece)
        html = render(jobs.result(job))
    except DatabaseError as error:
        yield failed(error)
    else:
        yield event("done", {"html": html})


async def aevents(job: int, after: int, render: Callable[[Any], str]) -> AsyncIterator[str]:
    try:
        async for piece in jobs.afollow(job, after):
            yield of_piece(piece)
        html = await sync_to_async(render)(await jobs.aresult(job))
    except DatabaseError as error:
        yield failed(error)
    else:
        yield event("done", {"html": html})


def of_piece(piece: jobs.Piece) -> str:
    # A comment: writing fails if the client has disconnected.
    if piece.text is None:
        return ": waiting\n\n"
    return event("anew" if piece.begins_anew else "piece", {"text": piece.text}, piece.number)


def failed(error: DatabaseError) -> str:
    return event("failed", {"message": (explain(error) or UNFORESEEN).message})


def event(name: str, data: dict[str, Any], number: int | None = None) -> str:
    # JSON has no line breaks outside its strings, and inside them they are escaped.
    identity = "" if number is None else f"id: {number}\n"
    return f"event: {name}\n{identity}data: {json.dumps(data)}\n\n"
