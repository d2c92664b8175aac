#!/usr/bin/env python3
"""Writes sample logs of a shop's support agent, generated from a seed.

usage: make_log.py LINES SEED FOLDER

Writes json.log, logfmt.log, python.log and langchain.log with about LINES lines each, otlp.log with a tenth, and mixed.log with as many
lines of all of them, shuffled in pieces that belong together.
"""

import json
import pathlib
import random
import sys
from datetime import UTC, datetime, timedelta

WORDS = [
    "order",
    "shipped",
    "customer",
    "refund",
    "café",
    "status",
    "agent",
    "retry",
    "invoice",
    "address",
    "München",
    "found",
    "waiting",
    "session",
    "parcel",
]
TOOLS = ["order_status", "refund", "search_manual", "send_mail"]
LOGGERS = ["shop.agent", "shop.tools", "shop.http", "django.request"]
START = datetime(2026, 5, 3, 9, 30, tzinfo=UTC)


class Log:
    def __init__(self, seed):
        self.random = random.Random(seed)
        self.now = START

    def tick(self):
        self.now += timedelta(microseconds=self.random.randrange(100, 200_000))
        return self.now

    def text(self, least=4, most=14):
        return " ".join(self.random.choices(WORDS, k=self.random.randint(least, most)))

    def hex(self, digits):
        return f"{self.random.getrandbits(4 * digits):0{digits}x}"

    def uuid(self):
        h = self.hex(32)
        return f"{h[:8]}-{h[8:12]}-{h[12:16]}-{h[16:20]}-{h[20:]}"

    def json(self):
        r, now = self.random, self.tick()
        record = {
            "ts": now.isoformat().replace("+00:00", "Z"),
            "level": "info",
            "logger": r.choice(LOGGERS),
            "msg": self.text(),
        }
        what = r.random()
        if what < 0.3:
            record |= {
                "run_id": self.hex(16),
                "tool": r.choice(TOOLS),
                "duration_ms": round(r.uniform(1, 900), 3),
                "args": {"order": r.randrange(10_000), "strict": True},
            }
        elif what < 0.6:
            record |= {
                "run_id": self.hex(16),
                "model": "gpt-4o-mini",
                "input_tokens": r.randrange(4000),
                "output_tokens": r.randrange(800),
                "duration_ms": round(r.uniform(100, 5000), 3),
                "cost": round(r.uniform(0, 0.01), 6),
            }
        elif what < 0.65:
            record |= {"level": "error", "error": "TimeoutError: no answer within 30 s", "attempt": r.randrange(5)}
        else:
            record |= {
                "request_id": self.hex(16),
                "user": r.randrange(100_000),
                "path": f"/orders/{r.randrange(10_000)}",
                "status_code": 200,
                "pid": 4711,
            }
        return [json.dumps(record, ensure_ascii=False)]

    def logfmt(self):
        r, now = self.random, self.tick()
        line = f'ts={now.isoformat().replace("+00:00", "Z")} level={r.choice(["info", "info", "warn", "error"])} logger={r.choice(LOGGERS)} msg="{self.text()}"'
        return [
            line
            + f" run_id={self.hex(16)} duration={r.randrange(1, 900)}ms user={r.randrange(100_000)} path=/orders/{r.randrange(10_000)} status_code=200"
        ]

    def python(self):
        r, now = self.random, self.tick()
        stamp = f"{now:%Y-%m-%d %H:%M:%S},{now.microsecond // 1000:03d}"
        if r.random() < 0.05:
            return [
                f"{stamp} - shop.tools - ERROR - tool {r.choice(TOOLS)} failed",
                "Traceback (most recent call last):",
                '  File "/srv/shop/agent/tools.py", line 118, in call',
                "    result = function(**arguments)",
                "             ^^^^^^^^^^^^^^^^^^^^^",
                '  File "/srv/shop/orders/status.py", line 42, in order_status',
                '    raise ValueError(f"no such order: {order}")',
                f"ValueError: no such order: {r.randrange(10_000)}",
            ]
        level = r.choice(["DEBUG", "INFO", "INFO", "WARNING"])
        return [f"{stamp} - {r.choice(LOGGERS)} - {level} - {self.text()}"]

    def langchain(self):
        r, run, parent = self.random, self.uuid(), self.uuid()
        metadata = {
            "ls_integration": "langgraph",
            "langgraph_step": r.randrange(9),
            "langgraph_node": "answer",
            "langgraph_triggers": ["branch:to:answer"],
            "langgraph_path": ["__pregel_pull", "answer"],
            "langgraph_checkpoint_ns": f"answer:{self.uuid()}",
        }
        lines = []

        def event(name, data, kind, **more):
            lines.append(
                json.dumps(
                    {
                        "event": name,
                        "data": data,
                        "name": kind,
                        "tags": ["seq:step:1"],
                        "run_id": run,
                        "metadata": metadata | more,
                        "parent_ids": [parent],
                        "timestamp": self.tick().isoformat(),
                    },
                    ensure_ascii=False,
                )
            )

        if r.random() < 0.5:
            tool, given = r.choice(TOOLS), {"order": r.randrange(10_000)}
            event("on_tool_start", {"input": given}, tool)
            event("on_tool_end", {"input": given, "output": self.text()}, tool)
            return lines
        question = {
            "messages": [
                [
                    {
                        "lc": 1,
                        "type": "constructor",
                        "id": ["langchain", "schema", "messages", "HumanMessage"],
                        "kwargs": {"content": self.text(8, 30), "type": "human", "id": self.uuid()},
                    }
                ]
            ]
        }
        model = {"ls_provider": "openai", "ls_model_name": "gpt-4o-mini", "ls_model_type": "chat"}
        event("on_chat_model_start", {"input": question}, "ChatOpenAI", **model)
        for _ in range(3):
            event(
                "on_chat_model_stream",
                {"chunk": {"content": self.text(1, 4), "type": "AIMessageChunk", "id": f"run--{run}"}},
                "ChatOpenAI",
                **model,
            )
        usage = {"input_tokens": r.randrange(4000), "output_tokens": r.randrange(800)}
        answer = {
            "lc": 1,
            "type": "constructor",
            "id": ["langchain", "schema", "messages", "AIMessage"],
            "kwargs": {
                "content": self.text(20, 80),
                "type": "ai",
                "id": f"run--{run}",
                "usage_metadata": usage,
                "tool_calls": [],
            },
        }
        event("on_chat_model_end", {"input": question, "output": answer}, "ChatOpenAI", **model)
        return lines

    def otlp(self):
        r, trace = self.random, self.hex(32)

        def value(v):
            return (
                {"intValue": str(v)}
                if isinstance(v, int)
                else {"doubleValue": v}
                if isinstance(v, float)
                else {"stringValue": v}
            )

        def span(name, attributes):
            start = self.tick()
            nanoseconds = int(start.timestamp() * 1_000_000) * 1000
            listed = [{"key": k, "value": value(v)} for k, v in attributes.items()]
            return {
                "traceId": trace,
                "spanId": self.hex(16),
                "parentSpanId": self.hex(16),
                "flags": 256,
                "name": name,
                "kind": 1,
                "startTimeUnixNano": str(nanoseconds),
                "endTimeUnixNano": str(nanoseconds + r.randrange(1, 3_000_000) * 1000),
                "attributes": listed,
                "status": {},
            }

        spans = []
        for _ in range(2):
            tool = r.choice(TOOLS)
            messages = json.dumps(
                [{"role": "user", "parts": [{"type": "text", "content": self.text(8, 30)}]}], ensure_ascii=False
            )
            spans.append(
                span(
                    "chat gpt-4o-mini",
                    {
                        "gen_ai.operation.name": "chat",
                        "gen_ai.provider.name": "openai",
                        "gen_ai.request.model": "gpt-4o-mini",
                        "gen_ai.request.temperature": 0.2,
                        "gen_ai.usage.input_tokens": r.randrange(4000),
                        "gen_ai.usage.output_tokens": r.randrange(800),
                        "gen_ai.input.messages": messages,
                    },
                )
            )
            spans.append(
                span(
                    f"execute_tool {tool}",
                    {
                        "gen_ai.operation.name": "execute_tool",
                        "gen_ai.tool.name": tool,
                        "gen_ai.tool.call.id": f"call_{self.hex(8)}",
                        "gen_ai.tool.call.arguments": json.dumps({"order": r.randrange(10_000)}),
                        "gen_ai.tool.call.result": self.text(),
                    },
                )
            )
        resource = {
            "attributes": [
                {"key": "service.name", "value": {"stringValue": "shop"}},
                {"key": "host.name", "value": {"stringValue": "web-1"}},
            ]
        }
        return [
            json.dumps(
                {
                    "resourceSpans": [
                        {
                            "resource": resource,
                            "scopeSpans": [{"scope": {"name": "shop.agent", "version": "1.0"}, "spans": spans}],
                        }
                    ]
                },
                ensure_ascii=False,
            )
        ]

    def unknown(self):
        return ["-- " + self.text()]


def pieces(log, make, lines):
    count = 0
    while count < lines:
        piece = make()
        count += len(piece)
        yield piece


def main():
    lines, seed, folder = int(sys.argv[1]), int(sys.argv[2]), pathlib.Path(sys.argv[3])
    log = Log(seed)
    for name in ["json", "logfmt", "python", "langchain", "otlp"]:
        with open(folder / f"{name}.log", "w", encoding="utf-8") as file:
            file.writelines(
                "\n".join(piece) + "\n"
                for piece in pieces(log, getattr(log, name), lines // 10 if name == "otlp" else lines)
            )
    shares = {"json": 0.35, "logfmt": 0.15, "python": 0.3, "langchain": 0.14, "otlp": 0.05, "unknown": 0.01}
    mixed = [piece for name, share in shares.items() for piece in pieces(log, getattr(log, name), int(lines * share))]
    log.random.shuffle(mixed)
    with open(folder / "mixed.log", "w", encoding="utf-8") as file:
        file.writelines("\n".join(piece) + "\n" for piece in mixed)


if __name__ == "__main__":
    main()
