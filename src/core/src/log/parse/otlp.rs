//! OpenTelemetry spans in JSON: OTLP (`opentelemetry-proto`, `trace.proto`, in its JSON mapping), as whole exports or with
//! one resource or span per line, and the output of the SDK's console exporter.

use super::attributes::{AttributeWriter, key_value};
use super::json_index::{JsonIndex, NodeKind};
use super::jsonb_source::JsonbSource;
use super::otlp_columns::SpanColumns;
use super::step::{LogFormat, Sink, StepDraft};
use super::text_span::{TextSpan, own_key};
use super::time::moment;

/// The resource and scope that spans of one export share, as nodes.
#[derive(Debug, Clone, Copy, Default)]
pub struct Origin {
    resource: Option<u32>,
    scope: Option<u32>,
}

/// Reads the spans of an export: the value of `resourceSpans`.
pub fn export(
    writer: &mut AttributeWriter<'_>,
    json: &JsonIndex,
    resources: u32,
    known: StepDraft,
    sink: &mut impl Sink,
) {
    for each in json.elements(resources) {
        resource(writer, json, each, known, sink);
    }
}

/// Reads the spans of a resource: an object that has `scopeSpans`.
pub fn resource(
    writer: &mut AttributeWriter<'_>,
    json: &JsonIndex,
    object: u32,
    known: StepDraft,
    sink: &mut impl Sink,
) {
    let log = writer.log;
    let resource = resource_attributes(log, json, object);
    for scopes in [b"scopeSpans".as_slice(), b"scope_spans", b"instrumentationLibrarySpans"] {
        let scopes = json.get(log, object, scopes);
        for scope in scopes.into_iter().flat_map(|scopes| json.elements(scopes)) {
            let named = json.get(log, scope, b"scope");
            let origin = Origin { resource, scope: named.and_then(|scope| json.get(log, scope, b"name")) };
            let spans = json.get(log, scope, b"spans");
            for each in spans.into_iter().flat_map(|spans| json.elements(spans)) {
                span(writer, json, each, &origin, known, sink);
            }
        }
    }
}

/// Reads one OTLP span.
pub fn span(
    writer: &mut AttributeWriter<'_>,
    json: &JsonIndex,
    object: u32,
    origin: &Origin,
    known: StepDraft,
    sink: &mut impl Sink,
) {
    let log = writer.log;
    let mut draft = StepDraft { format: Some(LogFormat::Otlp), ..known };
    let mut columns = SpanColumns::typed();
    for (key, value) in json.members(object) {
        match json.source(log, key) {
            b"traceId" | b"trace_id" => draft.run = id(writer, json, value),
            b"spanId" | b"span_id" => draft.span = id(writer, json, value),
            b"parentSpanId" | b"parent_span_id" => draft.parent = id(writer, json, value),
            b"name" => draft.name = writer.text(json, value),
            b"startTimeUnixNano" | b"start_time_unix_nano" => {
                draft.started_us = nanoseconds(json.source(log, value));
            }
            b"endTimeUnixNano" | b"end_time_unix_nano" => {
                columns.ended_us = nanoseconds(json.source(log, value))
            }
            b"status" => columns.status(writer, json, value, &mut draft),
            b"attributes" => {
                for pair in json.elements(value) {
                    if let Some((key, value)) = key_value(json, log, pair) {
                        columns.attribute(writer, json, key, value);
                    }
                }
            }
            b"events" => columns.events = Some(value),
            b"flags" | b"traceState" | b"trace_state" => {}
            _ => other(writer, json, key, value),
        }
    }
    if let Some(resource) = origin.resource {
        writer.member(own_key("resource"), JsonbSource::KeyValues(resource));
    }
    if let Some(scope) = origin.scope {
        writer.member(own_key("scope"), JsonbSource::Node(scope));
    }
    let node = json.node(object);
    columns.finish(writer, json, &mut draft);
    draft.emit(writer, json, TextSpan::log(node.start as usize, node.end as usize), sink);
}

/// Reads one span of the Python SDK's console exporter.
pub fn console(
    writer: &mut AttributeWriter<'_>,
    json: &JsonIndex,
    object: u32,
    known: StepDraft,
    whole: TextSpan,
    sink: &mut impl Sink,
) {
    let log = writer.log;
    let mut draft = StepDraft { format: Some(LogFormat::Otlp), ..known };
    let mut columns = SpanColumns::default();
    for (key, value) in json.members(object) {
        match json.source(log, key) {
            b"context" => {
                let named = |name: &[u8]| json.get(log, value, name);
                draft.run = named(b"trace_id").map_or(TextSpan::NONE, |value| id(writer, json, value));
                draft.span = named(b"span_id").map_or(TextSpan::NONE, |value| id(writer, json, value));
            }
            b"parent_id" => draft.parent = id(writer, json, value),
            b"name" => draft.name = writer.text(json, value),
            b"start_time" => draft.started_us = moment(json.source(log, value), writer.zone),
            b"end_time" => columns.ended_us = moment(json.source(log, value), writer.zone),
            b"status" => columns.status(writer, json, value, &mut draft),
            b"attributes" => {
                for (key, value) in json.members(value) {
                    columns.attribute(writer, json, key, value);
                }
            }
            b"events" => columns.events = Some(value),
            b"resource" => {
                let attributes = json.get(log, value, b"attributes").unwrap_or(value);
                writer.member(own_key("resource"), JsonbSource::Node(attributes));
            }
            _ => other(writer, json, key, value),
        }
    }
    columns.finish(writer, json, &mut draft);
    draft.emit(writer, json, whole, sink);
}

/// The attributes of the resource of an object of an export.
pub fn resource_attributes(log: &[u8], json: &JsonIndex, object: u32) -> Option<u32> {
    json.get(log, object, b"resource").and_then(|resource| json.get(log, resource, b"attributes"))
}

/// Adds a member without a column as an attribute, unless it is empty.
pub fn other(writer: &mut AttributeWriter<'_>, json: &JsonIndex, key: u32, value: u32) {
    let node = json.node(value);
    let is_empty = matches!(node.kind, NodeKind::Object | NodeKind::Array) && node.next == value + 1;
    if node.kind != NodeKind::Null && !is_empty {
        let key = writer.text(json, key);
        writer.member(key, JsonbSource::Node(value));
    }
}

/// An id in hexadecimal, also if it is in base64, as Protobuf's own JSON mapping writes it; OTLP's empty id, and null, count
/// as no id.
pub fn id(writer: &mut AttributeWriter<'_>, json: &JsonIndex, value: u32) -> TextSpan {
    let log = writer.log;
    let node = json.node(value);
    let (mut start, end) = (node.start as usize, node.end as usize);
    if log[start..end].starts_with(b"0x") {
        start += 2;
    }
    if node.kind == NodeKind::Null || start == end {
        return TextSpan::NONE;
    }
    // 16 bytes of a trace and 8 of a span, which base64 pads.
    let padded = matches!(&log[start..end], [.., b'=', b'='] if end - start == 24)
        || matches!(&log[start..end], [.., b'='] if end - start == 12);
    match padded.then(|| hexadecimal(&log[start..end])).flatten() {
        Some(id) => writer.composed(&id),
        None => TextSpan::log(start, end),
    }
}

/// The bytes of a text in base64 as hexadecimal digits.
fn hexadecimal(text: &[u8]) -> Option<Vec<u8>> {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let (mut bits, mut count, mut out) = (0u32, 0, Vec::with_capacity(32));
    for byte in text.iter().take_while(|byte| **byte != b'=') {
        let six = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' | b'-' => 62,
            b'/' | b'_' => 63,
            _ => return None,
        };
        bits = bits << 6 | u32::from(six);
        count += 6;
        if count >= 8 {
            count -= 8;
            let byte = (bits >> count) as u8;
            out.extend([DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]);
        }
    }
    Some(out)
}

/// Microseconds from nanoseconds since 1970, which are a string because JSON has no 64-bit integers.
pub fn nanoseconds(text: &[u8]) -> Option<i64> {
    let value: u64 = std::str::from_utf8(text).ok()?.parse().ok()?;
    i64::try_from(value / 1000).ok().filter(|moment| *moment > 0)
}
