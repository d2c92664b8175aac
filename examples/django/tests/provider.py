"""A stub provider with OpenAI's interface on loopback, which answers, waits or refuses as a test needs."""

import contextlib
import http.server
import json
import threading

PIECES = ["VACUUM ", "frees the space ", "of dead rows. [1]"]


class Provider(http.server.ThreadingHTTPServer):
    """Answers with `pieces`, for an agent after tool `calls`; with a `status` it refuses. While `held`, it sends only the
    first piece."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.pieces = PIECES
        self.calls: list[tuple[str, dict]] = []
        self.status = 200
        self.released = threading.Event()
        self.released.set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v1"

    @contextlib.contextmanager
    def held(self):
        """Delays the end of every answer within the block, unless `released` is set."""
        self.released.clear()
        try:
            yield
        finally:
            self.released.set()


class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.server.status != 200:
            self.reply(json.dumps({"error": {"message": "not today", "code": "busy"}}))
        elif request.get("stream"):
            self.stream(request)
        else:
            self.server.released.wait(60)
            message = {"role": "assistant", "content": "".join(self.server.pieces)}
            self.reply(
                json.dumps({"choices": [{"index": 0, "message": message, "finish_reason": "stop"}], "usage": USAGE})
            )

    def stream(self, request):
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.end_headers()
        if self.server.calls and request.get("tools") and request["messages"][-1]["role"] != "tool":
            self.call()
        else:
            self.say()
        self.event({"choices": [], "usage": USAGE})
        self.wfile.write(b"data: [DONE]\n\n")

    def call(self):
        calls = [
            {
                "index": number,
                "id": f"call_{number}",
                "type": "function",
                "function": {"name": name, "arguments": json.dumps(arguments)},
            }
            for number, (name, arguments) in enumerate(self.server.calls)
        ]
        delta = {"role": "assistant", "tool_calls": calls}
        self.event({"choices": [{"index": 0, "delta": delta, "finish_reason": "tool_calls"}]})

    def say(self):
        for number, piece in enumerate(self.server.pieces):
            if number == 1:
                self.server.released.wait(60)
            self.event({"choices": [{"index": 0, "delta": {"content": piece}, "finish_reason": None}]})
        self.event({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})

    def event(self, data):
        self.wfile.write(f"data: {json.dumps(data)}\n\n".encode())
        self.wfile.flush()

    def reply(self, body):
        self.send_response(self.server.status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *_):
        """Suppresses the request log; failing tests report what went wrong."""


USAGE = {"prompt_tokens": 100, "completion_tokens": 10}
