//! OpenTelemetry log records in JSON (`opentelemetry-proto`, `logs.proto`): the value of `resourceLogs`.

use super::attributes::AttributeWriter;
use super::json_index::{JsonIndex, NodeKind};
use super::jsonb_source::JsonbSource;
use super::otlp::{id, nanoseconds, other, resource_attributes};
use super::step::{LogFormat, Sink, StepDraft, StepKind, StepStatus};
use super::text_span::{TextSpan, own_key};

/// Severity numbers from this one on are errors.
const FIRST_ERROR: u32 = 17;

/// Reads the records of an export.
pub fn export(
    writer: &mut AttributeWriter<'_>,
    json: &JsonIndex,
    resources: u32,
    known: StepDraft,
    sink: &mut impl Sink,
) {
    let log = writer.log;
    for each in json.elements(resources) {
        let resource = resource_attributes(log, json, each);
        let elements = |object: u32, spellings: [&[u8]; 2]| {
            let array = spellings.into_iter().find_map(|key| json.get(log, object, key));
            array.into_iter().flat_map(|array| json.elements(array))
        };
        for scope in elements(each, [b"scopeLogs", b"scope_logs"]) {
            for each in elements(scope, [b"logRecords", b"log_records"]) {
                record(writer, json, each, resource, known, sink);
            }
        }
    }
}

fn record(
    writer: &mut AttributeWriter<'_>,
    json: &JsonIndex,
    object: u32,
    resource: Option<u32>,
    known: StepDraft,
    sink: &mut impl Sink,
) {
    let log = writer.log;
    let mut draft = StepDraft { format: Some(LogFormat::Otlp), kind: Some(StepKind::Message), ..known };
    let (mut is_error, mut body) = (false, None);
    for (key, value) in json.members(object) {
        match json.source(log, key) {
            b"traceId" | b"trace_id" => draft.run = id(writer, json, value),
            b"spanId" | b"span_id" => draft.parent = id(writer, json, value),
            b"timeUnixNano" | b"time_unix_nano" => {
                draft.started_us = nanoseconds(json.source(log, value)).or(draft.started_us);
            }
            b"observedTimeUnixNano" | b"observed_time_unix_nano" => {
                draft.started_us = draft.started_us.or(nanoseconds(json.source(log, value)));
            }
            b"severityNumber" | b"severity_number" => is_error |= is_severe(json.source(log, value)),
            b"severityText" | b"severity_text" => writer.member(own_key("level"), JsonbSource::Node(value)),
            b"body" => body = Some(value),
            b"attributes" => writer.key_values_of(json, value),
            b"flags" => {}
            _ => other(writer, json, key, value),
        }
    }
    if let Some(resource) = resource {
        writer.member(own_key("resource"), JsonbSource::KeyValues(resource));
    }
    let said = body.map_or(JsonbSource::Nothing, JsonbSource::Any);
    let text = body.and_then(|body| json.members(body).next()).map(|(_, value)| value);
    let text = text.filter(|text| matches!(json.node(*text).kind, NodeKind::Plain | NodeKind::Escaped));
    match text.filter(|_| is_error) {
        Some(text) => draft.error = writer.text(json, text),
        None => draft.output = said,
    }
    if is_error {
        (draft.kind, draft.status) = (Some(StepKind::Error), Some(StepStatus::Error));
    }
    let node = json.node(object);
    draft.emit(writer, json, TextSpan::log(node.start as usize, node.end as usize), sink);
}

/// True for the numbers and names of ERROR and FATAL.
fn is_severe(severity: &[u8]) -> bool {
    let number = std::str::from_utf8(severity).ok().and_then(|text| text.parse::<u32>().ok());
    number.is_some_and(|number| number >= FIRST_ERROR)
        || severity.starts_with(b"SEVERITY_NUMBER_ERROR")
        || severity.starts_with(b"SEVERITY_NUMBER_FATAL")
}
