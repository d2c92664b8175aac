"""Reads server-sent events as a browser does."""

import json


def stream(client, address, **headers):
    """Yields the events of a URL as pairs of name and data, as they arrive."""
    reply = client.get(address, headers=headers)
    assert reply["Content-Type"] == "text/event-stream"
    for chunk in reply.streaming_content:
        lines = dict(line.split(": ", 1) for line in chunk.decode().strip().splitlines() if not line.startswith(":"))
        if lines:
            yield lines["event"], json.loads(lines["data"])
