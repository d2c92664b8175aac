"""A provider that stands in for a real one in the examples of the reference: it has OpenAI's protocol for chats and
that of Text Embeddings Inference for reranking, and always answers a question in the same way.
"""

import json
import re
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

ANSWERS = {
    "Say hello.": "Hello.",
    "Say goodbye.": "Goodbye.",
    "Who wrote the first program?": '{"name": "Ada Lovelace", "year": 1843}',
    "How can I copy a running server?": "Use pg_basebackup. [1]",
    "Is order 2 late?": "Order 2 is lost.",
}


def answer(request):
    """Returns the message that a model would send."""
    said = request["messages"]
    question = [message["content"] for message in said if message["role"] == "user"][-1]
    if request.get("tools") and said[-1]["role"] == "user":
        function = {"name": request["tools"][0]["function"]["name"], "arguments": '{"id": 2}'}
        call = {"id": "call_1", "type": "function", "function": function}
        return {"role": "assistant", "content": None, "tool_calls": [call]}
    known = [text for words, text in ANSWERS.items() if words in question]
    return {"role": "assistant", "content": known[-1] if known else f"You said {len(question.split())} words."}


def usage(request, message):
    words = sum(len((said.get("content") or "").split()) for said in request["messages"])
    return {"prompt_tokens": words, "completion_tokens": len((message["content"] or "").split())}


class Provider(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.path.endswith("/rerank"):
            self.reply("application/json", json.dumps(ranking(request)))
            return
        message = answer(request)
        reason = "tool_calls" if message.get("tool_calls") else "stop"
        if not request.get("stream"):
            choice = {"index": 0, "message": message, "finish_reason": reason}
            self.reply("application/json", json.dumps({"choices": [choice], "usage": usage(request, message)}))
            return
        pieces = [{"delta": {"content": piece}} for piece in re.findall(r"\S+\s*", message["content"] or "")]
        if message.get("tool_calls"):
            pieces = [{"delta": {"tool_calls": [{"index": 0, **message["tool_calls"][0]}]}}]
        events = [{"choices": [{"index": 0, **piece}]} for piece in pieces]
        end = {"index": 0, "delta": {}, "finish_reason": reason}
        events.append({"choices": [end], "usage": usage(request, message)})
        lines = [f"data: {json.dumps(event)}\n\n" for event in events]
        self.reply("text/event-stream", "".join(lines) + "data: [DONE]\n\n")

    def reply(self, kind, text):
        body = text.encode()
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def ranking(request):
    """Ranks documents by how many of the query's words they contain."""
    wanted = set(re.findall(r"\w+", request["query"].lower()))
    scores = [len(wanted & set(re.findall(r"\w+", text.lower()))) / len(wanted) for text in request["texts"]]
    found = [{"index": index, "score": score} for index, score in enumerate(scores)]
    return sorted(found, key=lambda it: -it["score"])


class Server(ThreadingHTTPServer):
    def handle_error(self, request, client_address):
        # A client that has disconnected, for example because its timeout has passed, needs no answer.
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


def start():
    """Starts the provider at a free port and returns its URL."""
    server = Server(("127.0.0.1", 0), Provider)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"http://127.0.0.1:{server.server_port}"
