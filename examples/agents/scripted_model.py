#!/usr/bin/env python3
"""A scripted "language model" that plays a support agent, behind OpenAI's interface: for trying an agent without a provider.

usage: scripted_model.py [port]

It prints its address, serves on the loopback until SIGTERM or Ctrl-C, and knows three tools by their names: it looks into
the manual and at a setting, opens a ticket if it is asked for one, and answers from the tools' results.
"""

import http.server
import json
import re
import sys
import time

MODEL = "scripted"


def decide(messages, tools):
    """Returns the model's next reply: a text, and tool calls with their names and arguments."""
    question = next(message["content"] for message in reversed(messages) if message["role"] == "user")
    names, results = {}, {}
    for message in messages:
        names |= {call["id"]: call["function"]["name"] for call in message.get("tool_calls") or []}
        if message["role"] == "tool":
            # The result is marked as data, and is JSON.
            result = re.sub(r"</?tool_result>", "", message["content"]).strip()
            results[names[message["tool_call_id"]]] = result.strip('"')
    wanted = [("search_manual", {"query": question}), ("setting", {"name": setting_in(question)})]
    if "ticket" in question:
        wanted.append(("open_ticket", {"title": question[:60], "body": f"A user asks: {question}"}))
    calls = [(name, arguments) for name, arguments in wanted if name in tools and name not in results]
    # Calls that only read come first, all in one reply.
    reading = [call for call in calls if call[0] != "open_ticket"]
    if calls:
        return "", reading or calls
    return answer(results), []


def setting_in(question):
    named = re.search(r"\b[a-z]+_[a-z_]+\b", question)
    return named.group() if named else "wal_level"


def answer(results):
    said = []
    if title := re.search(r'"title"\s*:\s*"([^"]+)"', results.get("search_manual") or ""):
        said.append(f"See “{title.group(1)}” in the manual.")
    if "setting" in results:
        said.append(f"The setting is {results['setting']}.")
    if "open_ticket" in results:
        said.append(f"Ticket: {results['open_ticket']}")
    return " ".join(said) or "I have no tools to look that up with."


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers POST /v1/chat/completions, as one response or streamed."""

    protocol_version = "HTTP/1.1"

    def do_POST(self):
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        tools = {tool["function"]["name"] for tool in request.get("tools") or []}
        text, calls = decide(request["messages"], tools)
        tool_calls = [
            {
                "index": number,
                "id": f"call_{time.monotonic_ns()}_{number}",
                "type": "function",
                "function": {"name": name, "arguments": json.dumps(arguments)},
            }
            for number, (name, arguments) in enumerate(calls)
        ]
        message = {"role": "assistant", "content": text} | ({"tool_calls": tool_calls} if tool_calls else {})
        finish = "tool_calls" if tool_calls else "stop"
        usage = {"prompt_tokens": len(json.dumps(request["messages"])) // 4, "completion_tokens": 1 + len(text) // 4}
        common = {"id": "scripted", "created": int(time.time()), "model": MODEL}
        if request.get("stream"):
            delta = {"index": 0, "delta": message, "finish_reason": finish}
            events = [
                common | {"object": "chat.completion.chunk", "choices": [delta]},
                common | {"object": "chat.completion.chunk", "choices": [], "usage": usage},
            ]
            body = "".join(f"data: {json.dumps(event)}\n\n" for event in events) + "data: [DONE]\n\n"
            self.reply("text/event-stream", body)
        else:
            choice = {"index": 0, "message": message, "finish_reason": finish}
            self.reply(
                "application/json",
                json.dumps(common | {"object": "chat.completion", "choices": [choice], "usage": usage}),
            )

    def reply(self, kind, body):
        body = body.encode()
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        """Suppresses the request log; rag.steps has the requests."""


def main():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1]) if len(sys.argv) > 1 else 0), Handler)
    print(f"http://127.0.0.1:{server.server_port}/v1", flush=True)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        pass


if __name__ == "__main__":
    main()
