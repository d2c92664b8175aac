#!/usr/bin/env python3
"""Parses agent logs as a plain Python program would: with json, re and datetime, into one record per step.

usage: parse_log.py FILE [dump]

Prints `ready`, then for each line of standard input the seconds that the whole file took, and what was found. With `dump` it
writes the steps as JSON lines instead.
"""

import json
import re
import sys
import time
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any


@dataclass(slots=True)
class Step:
    line: int
    syntax: str | None
    kind: str = "custom"
    status: str = "ok"
    run: str | None = None
    span: str | None = None
    parent: str | None = None
    name: str | None = None
    started: datetime | None = None
    duration_ms: float | None = None
    input: Any = None
    output: Any = None
    model: str | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    cost: float | None = None
    error: str | None = None
    attributes: dict | None = None
    raw: str | None = None


def moment(text):
    try:
        if isinstance(text, str):
            when = datetime.fromisoformat(text)
            return when if when.tzinfo else when.replace(tzinfo=UTC)
        return datetime.fromtimestamp(text, UTC)
    except (ValueError, TypeError, OverflowError, OSError):
        return None


UNITS = {"ns": 1e-6, "us": 1e-3, "µs": 1e-3, "ms": 1.0, "s": 1000.0, "m": 60_000.0, "h": 3_600_000.0}
DURATION = re.compile(r"([0-9.]+)\s*(ns|us|µs|ms|s|m|h)?")


def duration(value):
    if isinstance(value, (int, float)):
        return float(value)
    found = DURATION.fullmatch(value)
    return float(found[1]) * UNITS[found[2] or "ms"] if found else None


# The column for each field name. The first field of a column fills it; others become attributes.
NAMES = {
    "started": "started",
    "ts": "started",
    "time": "started",
    "timestamp": "started",
    "@timestamp": "started",
    "asctime": "started",
    "duration_ms": "duration",
    "elapsed_ms": "duration",
    "duration": "duration",
    "elapsed": "duration",
    "latency": "duration",
    "level": "level",
    "severity": "level",
    "levelname": "level",
    "lvl": "level",
    "msg": "message",
    "message": "message",
    "event": "message",
    "run": "run",
    "run_id": "run",
    "trace_id": "run",
    "traceId": "run",
    "request_id": "run",
    "span": "span",
    "span_id": "span",
    "spanId": "span",
    "parent": "parent",
    "parent_id": "parent",
    "parent_span_id": "parent",
    "kind": "kind",
    "name": "name",
    "logger": "name",
    "tool": "tool",
    "tool_name": "tool",
    "input": "input",
    "arguments": "input",
    "args": "input",
    "prompt": "input",
    "output": "output",
    "result": "output",
    "response": "output",
    "model": "model",
    "input_tokens": "input_tokens",
    "prompt_tokens": "input_tokens",
    "output_tokens": "output_tokens",
    "completion_tokens": "output_tokens",
    "cost": "cost",
    "cost_usd": "cost",
    "status": "status",
    "error": "error",
    "exception": "error",
}
GRAVE = {"error", "critical", "fatal", "ERROR", "CRITICAL", "FATAL"}
KINDS = {"message", "model", "tool", "retrieval", "error", "custom"}
STATUSES = {"ok": "ok", "success": "ok", "completed": "ok", "error": "error", "failed": "error", "running": "running"}


def from_fields(line, syntax, fields):
    found, attributes = {}, {}
    for key, value in fields.items():
        column = NAMES.get(key)
        if column is None or column in found:
            attributes[key] = value
        elif value is not None:
            found[column] = value
    step = Step(
        line, syntax, run=found.get("run"), span=found.get("span"), parent=found.get("parent"), name=found.get("name")
    )
    step.input = found.get("input")
    step.output = found.get("output")
    step.model = found.get("model")
    step.input_tokens = found.get("input_tokens")
    step.output_tokens = found.get("output_tokens")
    step.cost = found.get("cost")
    if (value := found.get("started")) is not None and (when := moment(value)):
        step.started = when
    if (value := found.get("duration")) is not None:
        step.duration_ms = duration(value)
    level = found.get("level")
    if level is not None:
        attributes["level"] = level
    error, message = found.get("error"), found.get("message")
    status = STATUSES.get(found.get("status"))
    failed = level in GRAVE or bool(error) or status == "error"
    if failed and not error:
        step.error = message
    else:
        step.error = error
        if step.output is None:
            step.output = message
        elif message is not None:
            attributes["message"] = message
    step.status = status or ("error" if failed else "ok")
    if found.get("kind") in KINDS:
        step.kind = found["kind"]
    elif "tool" in found:
        if step.name is not None:
            attributes["name"] = step.name
        step.name = found["tool"]
        step.kind = "tool"
    elif step.model or step.input_tokens is not None:
        step.kind = "model"
    elif failed:
        step.kind = "error"
    elif message is not None:
        step.kind = "message"
    step.attributes = attributes or None
    return step


PAIR = re.compile(r'([\w.\-/@:]+)=(?:"((?:[^"\\]|\\.)*)"|(\S*))(?:\s+|$)')
NUMBER = re.compile(r"-?(?:0|[1-9]\d*)(?:\.\d+)?")
WORDS = {"true": True, "false": False, "null": None}


def bare(text):
    if text in WORDS:
        return WORDS[text]
    if NUMBER.fullmatch(text):
        return float(text) if "." in text else int(text)
    return text


def logfmt(line, text):
    fields, at = {}, 0
    for pair in PAIR.finditer(text):
        if pair.start() != at:
            return None
        key, quoted, plain = pair.groups()
        fields[key] = quoted.replace('\\"', '"') if quoted is not None else bare(plain)
        at = pair.end()
    if at != len(text) or not fields:
        return None
    return from_fields(line, "logfmt", fields)


RECORD = re.compile(
    r"(?P<time>\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d(?:[.,]\d+)?)"
    r"(?: - (?P<name>[\w.]+) - (?P<level>[A-Z]+) - | (?P<level2>DEBUG|INFO|WARNING|ERROR|CRITICAL) (?P<name2>[\w.]+): | )"
    r"(?P<message>.*)"
)
BASIC = re.compile(r"(?P<level>DEBUG|INFO|WARNING|ERROR|CRITICAL):(?P<name>[\w.]+):(?P<message>.*)")
EXCEPTION = re.compile(r"[A-Za-z_][\w.]*(?::|$)")


def logging_record(line, text):
    found = RECORD.match(text)
    if found:
        when, name, level, level2, name2, message = found.groups()
        level, name = level or level2, name or name2
        started = datetime.fromisoformat(when.replace(",", ".")).replace(tzinfo=UTC)
    else:
        found = BASIC.match(text)
        if not found:
            return None
        level, name, message = found.groups()
        started = None
    step = Step(line, "python", "message", name=name, started=started)
    step.attributes = {"level": level} if level else None
    if level in GRAVE:
        step.kind = step.status = "error"
        step.error = message
    else:
        step.output = message
    return step


RUN_KINDS = {"llm": "model", "chat_model": "model", "tool": "tool", "retriever": "retrieval"}


def usage_of(output):
    message = output.get("kwargs", output) if isinstance(output, dict) else {}
    return message.get("usage_metadata") or (message.get("response_metadata") or {}).get("token_usage") or {}


class LangChain:
    def __init__(self):
        self.open = {}

    def event(self, line, event):
        name, run_id = event["event"], event.get("run_id")
        data, parents = event.get("data") or {}, event.get("parent_ids") or []
        when = moment(event.get("timestamp"))
        if name.endswith("_start"):
            self.open[run_id] = [line, when, data.get("input"), event.get("name"), 0]
            return None
        if name.endswith("_stream"):
            if run_id in self.open:
                self.open[run_id][4] += 1
            return None
        line, started, given, first_name, count = self.open.pop(run_id, (line, None, None, None, 0))
        sort = name[3:].rpartition("_")[0]
        step = Step(line, "langchain", RUN_KINDS.get(sort, "custom"), span=run_id)
        step.parent = parents[-1] if parents else event.get("parent_run_id")
        step.run = parents[0] if parents else step.parent or run_id
        step.name = event.get("name") or first_name
        step.started = started or when
        if started and when and when >= started:
            step.duration_ms = (when - started).total_seconds() * 1000
        step.input = data.get("input", given)
        step.output = data.get("output")
        if name.endswith("_error"):
            step.status = "error"
            error = data.get("error")
            step.error = error.get("repr") if isinstance(error, dict) else error
        metadata = event.get("metadata") or {}
        if step.kind == "model":
            usage = usage_of(step.output)
            step.model = metadata.get("ls_model_name")
            step.input_tokens, step.output_tokens = usage.get("input_tokens"), usage.get("output_tokens")
        known = {"event", "data", "run_id", "parent_ids", "name", "timestamp"}
        step.attributes = {key: value for key, value in event.items() if key not in known and value}
        if count:
            step.attributes["pieces"] = count
        return step

    def rest(self):
        for run_id, (line, started, given, name, _) in self.open.items():
            yield Step(line, "langchain", status="running", span=run_id, started=started, input=given, name=name)


def any_value(value):
    for sort, inner in value.items():
        if sort == "intValue":
            return int(inner)
        if sort == "arrayValue":
            return [any_value(each) for each in inner.get("values", ())]
        if sort == "kvlistValue":
            return {each["key"]: any_value(each["value"]) for each in inner.get("values", ())}
        return inner
    return None


def maybe_json(value):
    if isinstance(value, str) and value[:1] in ("{", "[", '"'):
        try:
            return json.loads(value)
        except ValueError:
            pass
    return value


OPERATIONS = {
    "chat": "model",
    "text_completion": "model",
    "generate_content": "model",
    "embeddings": "model",
    "execute_tool": "tool",
    "retrieval": "retrieval",
}


def otlp(line, document):
    for resource in document["resourceSpans"]:
        about = {each["key"]: any_value(each["value"]) for each in resource.get("resource", {}).get("attributes", ())}
        for scope in resource["scopeSpans"]:
            scope_name = scope.get("scope", {}).get("name")
            for span in scope["spans"]:
                attributes = {each["key"]: any_value(each["value"]) for each in span.get("attributes", ())}
                step = Step(line, "otlp", OPERATIONS.get(attributes.get("gen_ai.operation.name"), "custom"))
                step.run, step.span, step.parent = span["traceId"], span["spanId"], span.get("parentSpanId") or None
                step.name = span.get("name")
                start, end = int(span["startTimeUnixNano"]), int(span["endTimeUnixNano"])
                step.started = datetime.fromtimestamp(start / 1e9, UTC)
                step.duration_ms = (end - start) / 1e6
                status = span.get("status") or {}
                if status.get("code") in (2, "STATUS_CODE_ERROR"):
                    step.status, step.error = "error", status.get("message")
                take = attributes.pop
                if step.kind == "model":
                    step.model = take("gen_ai.request.model", None)
                    step.input_tokens = take("gen_ai.usage.input_tokens", None)
                    step.output_tokens = take("gen_ai.usage.output_tokens", None)
                    step.input = maybe_json(take("gen_ai.input.messages", None))
                    step.output = maybe_json(take("gen_ai.output.messages", None))
                elif step.kind == "tool":
                    step.name = take("gen_ai.tool.name", step.name)
                    step.input = maybe_json(take("gen_ai.tool.call.arguments", None))
                    step.output = maybe_json(take("gen_ai.tool.call.result", None))
                attributes["resource"], attributes["scope"] = about, scope_name
                for key in ("kind", "events"):
                    if span.get(key):
                        attributes[key] = span[key]
                step.attributes = attributes
                yield step


def parse(text):
    steps, langchain, record, in_traceback = [], LangChain(), None, False
    for number, line in enumerate(text.split("\n"), 1):
        if not line or line.isspace():
            continue
        if record is not None:
            begins = line.startswith("Traceback (")
            if begins or line[0] in " \t" or in_traceback and EXCEPTION.match(line):
                in_traceback = begins or in_traceback and line[0] in " \t"
                record.kind = record.status = "error"
                record.error = f"{record.error or record.output}\n{line}"
                continue
            record = None
        if line[0] == "{":
            try:
                document = json.loads(line)
            except ValueError:
                document = None
            if document is not None:
                if "resourceSpans" in document:
                    steps.extend(otlp(number, document))
                elif str(document.get("event", "")).startswith("on_"):
                    step = langchain.event(number, document)
                    if step is not None:
                        steps.append(step)
                else:
                    steps.append(from_fields(number, "json", document))
                continue
        record = logging_record(number, line)
        if record is not None:
            steps.append(record)
            in_traceback = False
            continue
        step = logfmt(number, line)
        steps.append(step or Step(number, None, raw=line, attributes={"unparsed": True}))
    steps.extend(langchain.rest())
    return steps


def digest(steps):
    return {
        "steps": len(steps),
        "unknown": sum(step.syntax is None for step in steps),
        "models": sum(step.kind == "model" for step in steps),
        "tools": sum(step.kind == "tool" for step in steps),
        "errors": sum(step.status == "error" for step in steps),
        "input_tokens": sum(step.input_tokens or 0 for step in steps),
        "duration_ms": round(sum(step.duration_ms or 0 for step in steps)),
        "inputs": sum(step.input is not None for step in steps),
        "outputs": sum(step.output is not None for step in steps),
        "runs": sum(step.run is not None for step in steps),
        "started": round(sum(step.started.timestamp() for step in steps if step.started)),
    }


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        text = file.read()
    if sys.argv[2:] == ["dump"]:
        for step in parse(text):
            print(json.dumps(asdict(step), default=datetime.isoformat, ensure_ascii=False))
        return
    print("ready", flush=True)
    for _ in sys.stdin:
        start = time.perf_counter()
        steps = parse(text)
        seconds = time.perf_counter() - start
        print(json.dumps({"seconds": seconds} | digest(steps)), flush=True)
        del steps


if __name__ == "__main__":
    main()
