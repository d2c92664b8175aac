"""Reads spans in OpenTelemetry's JSON with OpenTelemetry's own definitions, and lists them.

usage: psql --no-align --tuples-only --command='SELECT rag.otlp(1)' | read_spans.py

A field that the definitions lack, or that has another type, is an error. Trace and span ids are hexadecimal in this JSON, and base64
in Protobuf's own mapping, so they are converted first (https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding).
"""

import base64
import json
import sys

from google.protobuf import json_format
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

IDS = {"traceId": 16, "spanId": 8, "parentSpanId": 8}


def with_ids(value):
    """Returns the same JSON with ids in base64; raises ValueError for an id of the wrong length."""
    if isinstance(value, list):
        return [with_ids(each) for each in value]
    if not isinstance(value, dict):
        return value
    return {key: in_base64(key, each) if key in IDS and each else with_ids(each) for key, each in value.items()}


def in_base64(key, text):
    id_bytes = bytes.fromhex(text)
    if len(id_bytes) != IDS[key]:
        raise ValueError(f"{key} has {len(id_bytes)} bytes and not {IDS[key]}: {text}")
    return base64.b64encode(id_bytes).decode()


def main():
    request = json_format.ParseDict(with_ids(json.load(sys.stdin)), ExportTraceServiceRequest())
    for resource in request.resource_spans:
        for scope in resource.scope_spans:
            for span in scope.spans:
                operation = [each.value.string_value for each in span.attributes if each.key == "gen_ai.operation.name"]
                milliseconds = (span.end_time_unix_nano - span.start_time_unix_nano) / 1e6
                print(f"{span.name}: {operation[0] if operation else '-'}, {milliseconds:.1f} ms, {span.span_id.hex()}")


if __name__ == "__main__":
    main()
