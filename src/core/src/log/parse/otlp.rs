//! Spans of OpenTelemetry in JSON: as OTLP has them (`opentelemetry-proto`, `trace.proto`, in its mapping to JSON), whole
//! exports or one resource or span in a line, and as the SDK's console exporter shows them.

use super::attributes::{AttributeWriter, key_value};
use super::fields::count;
use super::json_index::{JsonIndex, NodeKind};
use super::jsonb_source::JsonbSource;
use super::step::{LogFormat, Sink, StepDraft, StepKind, StepStatus};
use super::text_span::{TextSpan, own_key};
use super::time::moment;
use crate::log::semconv::{self, former, operation};

/// What the spans of one export have in common, as nodes.
#[derive(Debug, Clone, Copy, Default)]
pub struct Origin {
    resource: Option<u32>,
    scope: Option<u32>,
}

/// The spans of an export: the value of `resourceSpans`.
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

/// The spans of a resource: an object that has `scopeSpans`.
pub fn resource(
    writer: &mut AttributeWriter<'_>,
    json: &JsonIndex,
    object: u32,
    known: StepDraft,
    sink: &mut impl Sink,
) {
    let log = writer.log;
    let resource =
        json.get(log, object, b"resource").and_then(|resource| json.get(log, resource, b"attributes"));
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

/// One span as OTLP has it.
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
    let mut columns = SpanColumns { is_typed: true, ..SpanColumns::default() };
    for (key, value) in json.members(object) {
        match json.source(log, key) {
            b"traceId" => draft.run = id(json, log, value),
            b"spanId" => draft.span = id(json, log, value),
            b"parentSpanId" => draft.parent = id(json, log, value),
            b"name" => draft.name = writer.text(json, value),
            b"startTimeUnixNano" => draft.started_us = nanoseconds(json.source(log, value)),
            b"endTimeUnixNano" => columns.ended_us = nanoseconds(json.source(log, value)),
            b"status" => columns.status(writer, json, value, &mut draft),
            b"attributes" => {
                for pair in json.elements(value) {
                    if let Some((key, value)) = key_value(json, log, pair) {
                        columns.attribute(writer, json, key, value);
                    }
                }
            }
            b"events" => columns.events = Some(value),
            b"flags" | b"traceState" => {}
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

/// One span as the SDK for Python shows it.
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
                draft.run =
                    json.get(log, value, b"trace_id").map_or(TextSpan::NONE, |value| id(json, log, value));
                draft.span =
                    json.get(log, value, b"span_id").map_or(TextSpan::NONE, |value| id(json, log, value));
            }
            b"parent_id" => draft.parent = id(json, log, value),
            b"name" => draft.name = writer.text(json, value),
            b"start_time" => draft.started_us = moment(json.source(log, value)),
            b"end_time" => columns.ended_us = moment(json.source(log, value)),
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

/// A member that has no column, if it says anything.
fn other(writer: &mut AttributeWriter<'_>, json: &JsonIndex, key: u32, value: u32) {
    let node = json.node(value);
    let is_empty = matches!(node.kind, NodeKind::Object | NodeKind::Array) && node.next == value + 1;
    if node.kind != NodeKind::Null && !is_empty {
        let key = writer.text(json, key);
        writer.member(key, JsonbSource::Node(value));
    }
}

/// What a span's attributes and events say of its columns, as nodes.
#[derive(Debug, Default)]
struct SpanColumns {
    /// Whether values are OTLP's `AnyValue`s.
    is_typed: bool,
    ended_us: Option<i64>,
    events: Option<u32>,
    operation: Option<u32>,
    other_kind: Option<u32>,
    mapped: [Option<(u32, u32)>; MAPPED_ATTRIBUTES],
}

/// Attributes that are columns of some kinds of steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
enum MappedAttribute {
    Model,
    InputTokens,
    OutputTokens,
    Input,
    Output,
    Tool,
    Arguments,
    Result,
    Query,
    Documents,
}

const MAPPED_ATTRIBUTES: usize = MappedAttribute::Documents as usize + 1;

impl MappedAttribute {
    fn of(name: &[u8]) -> Option<Self> {
        let name = std::str::from_utf8(name).ok().filter(|name| name.starts_with("gen_ai."))?;
        Some(match name {
            semconv::REQUEST_MODEL => Self::Model,
            semconv::USAGE_INPUT_TOKENS | former::USAGE_PROMPT_TOKENS => Self::InputTokens,
            semconv::USAGE_OUTPUT_TOKENS | former::USAGE_COMPLETION_TOKENS => Self::OutputTokens,
            semconv::INPUT_MESSAGES | former::PROMPT => Self::Input,
            semconv::OUTPUT_MESSAGES | former::COMPLETION => Self::Output,
            semconv::TOOL_NAME => Self::Tool,
            semconv::TOOL_CALL_ARGUMENTS => Self::Arguments,
            semconv::TOOL_CALL_RESULT => Self::Result,
            semconv::RETRIEVAL_QUERY_TEXT => Self::Query,
            semconv::RETRIEVAL_DOCUMENTS => Self::Documents,
            _ => return None,
        })
    }
}

impl SpanColumns {
    fn attribute(&mut self, writer: &mut AttributeWriter<'_>, json: &JsonIndex, key: u32, value: u32) {
        let name = json.source(writer.log, key);
        match MappedAttribute::of(name) {
            Some(known) => {
                self.mapped[known as usize] = Some((key, value));
                return;
            }
            None if name == semconv::OPERATION_NAME.as_bytes() => self.operation = Some(value),
            None if matches!(name, b"openinference.span.kind" | b"traceloop.span.kind") => {
                self.other_kind = Some(value);
            }
            None => {}
        }
        let key = writer.text(json, key);
        writer.member(key, self.item(value));
    }

    fn item(&self, value: u32) -> JsonbSource {
        if self.is_typed { JsonbSource::Any(value) } else { JsonbSource::Node(value) }
    }

    /// The value within an `AnyValue`.
    fn bare(&self, json: &JsonIndex, value: u32) -> u32 {
        if self.is_typed { json.members(value).next().map_or(value, |(_, inner)| inner) } else { value }
    }

    /// A value that may be JSON in a text, as these attributes are where the exporter knows no structures.
    fn json(&self, writer: &mut AttributeWriter<'_>, json: &JsonIndex, value: u32) -> JsonbSource {
        let inner = self.bare(json, value);
        match json.node(inner).kind {
            NodeKind::Plain | NodeKind::Escaped => JsonbSource::Json(writer.text(json, inner)),
            _ => self.item(value),
        }
    }

    fn status(
        &mut self,
        writer: &mut AttributeWriter<'_>,
        json: &JsonIndex,
        status: u32,
        draft: &mut StepDraft,
    ) {
        for (key, value) in json.members(status) {
            match json.source(writer.log, key) {
                b"code" | b"status_code" => {
                    let failed =
                        matches!(json.source(writer.log, value), b"2" | b"STATUS_CODE_ERROR" | b"ERROR");
                    draft.status = Some(if failed { StepStatus::Error } else { StepStatus::Ok });
                }
                b"message" | b"description" => draft.error = writer.text(json, value),
                _ => {}
            }
        }
    }

    fn finish(&mut self, writer: &mut AttributeWriter<'_>, json: &JsonIndex, draft: &mut StepDraft) {
        let log = writer.log;
        if let (Some(started), Some(ended)) = (draft.started_us, self.ended_us) {
            draft.duration_ms = (ended >= started).then(|| (ended - started) as f64 / 1000.0);
        }
        draft.status =
            draft.status.or(Some(if self.ended_us.is_some() { StepStatus::Ok } else { StepStatus::Running }));
        let kind = self.kind(json, log);
        draft.kind = Some(kind);
        if kind == StepKind::Model {
            draft.model = self.text(writer, json, MappedAttribute::Model);
            draft.input_tokens = self.count(json, log, MappedAttribute::InputTokens);
            draft.output_tokens = self.count(json, log, MappedAttribute::OutputTokens);
        }
        if kind == StepKind::Tool {
            draft.name = self.text(writer, json, MappedAttribute::Tool).or(draft.name);
        }
        let (inputs, outputs) = match kind {
            StepKind::Tool => (MappedAttribute::Arguments, MappedAttribute::Result),
            StepKind::Retrieval => (MappedAttribute::Query, MappedAttribute::Documents),
            _ => (MappedAttribute::Input, MappedAttribute::Output),
        };
        draft.input = self.take(inputs).map_or(JsonbSource::Nothing, |value| self.json(writer, json, value));
        draft.output =
            self.take(outputs).map_or(JsonbSource::Nothing, |value| self.json(writer, json, value));
        for (key, value) in std::mem::take(&mut self.mapped).into_iter().flatten() {
            let key = writer.text(json, key);
            writer.member(key, self.item(value));
        }
        self.exception(writer, json, draft);
    }

    fn kind(&self, json: &JsonIndex, log: &[u8]) -> StepKind {
        let text = |value: Option<u32>| value.map(|value| json.source(log, self.bare(json, value)));
        let operation = text(self.operation).and_then(|operation| std::str::from_utf8(operation).ok());
        match operation {
            Some(
                operation::CHAT
                | operation::TEXT_COMPLETION
                | operation::GENERATE_CONTENT
                | operation::EMBEDDINGS,
            ) => StepKind::Model,
            Some(operation::EXECUTE_TOOL) => StepKind::Tool,
            Some(operation::RETRIEVAL) => StepKind::Retrieval,
            Some(_) => StepKind::Custom,
            None => text(self.other_kind).and_then(StepKind::of).unwrap_or(StepKind::Custom),
        }
    }

    fn take(&mut self, known: MappedAttribute) -> Option<u32> {
        self.mapped[known as usize].take().map(|(_, value)| value)
    }

    fn text(
        &mut self,
        writer: &mut AttributeWriter<'_>,
        json: &JsonIndex,
        known: MappedAttribute,
    ) -> TextSpan {
        match self.take(known) {
            Some(value) => writer.text(json, self.bare(json, value)),
            None => TextSpan::NONE,
        }
    }

    fn count(&mut self, json: &JsonIndex, log: &[u8], known: MappedAttribute) -> Option<i64> {
        let (key, value) = self.mapped[known as usize].take()?;
        let count = count(json.source(log, self.bare(json, value)));
        if count.is_none() {
            self.mapped[known as usize] = Some((key, value));
        }
        count
    }

    /// The error's text where the status has none: that of the exception among the events, which become an attribute.
    fn exception(&self, writer: &mut AttributeWriter<'_>, json: &JsonIndex, draft: &mut StepDraft) {
        let Some(events) = self.events.filter(|events| json.elements(*events).next().is_some()) else {
            return;
        };
        let log = writer.log;
        writer.member(own_key("events"), JsonbSource::Node(events));
        let is_exception = |event: &u32| {
            json.get(log, *event, b"name").is_some_and(|name| json.source(log, name) == b"exception")
        };
        let failed = draft.status == Some(StepStatus::Error) && draft.error.is_none();
        let exception = json.elements(events).filter(is_exception).last().filter(|_| failed);
        let Some(attributes) = exception.and_then(|event| json.get(log, event, b"attributes")) else {
            return;
        };
        let mut parts = [TextSpan::NONE; 2];
        let pairs: Vec<(u32, u32)> = if self.is_typed {
            json.elements(attributes).filter_map(|pair| key_value(json, log, pair)).collect()
        } else {
            json.members(attributes).collect()
        };
        for (key, value) in pairs {
            match json.source(log, key) {
                b"exception.type" => parts[0] = writer.text(json, self.bare(json, value)),
                b"exception.message" => parts[1] = writer.text(json, self.bare(json, value)),
                _ => {}
            }
        }
        draft.error = writer.joined(parts, b": ");
    }
}

/// An id in hexadecimal; OTLP's empty id, and null, are none.
fn id(json: &JsonIndex, log: &[u8], value: u32) -> TextSpan {
    let node = json.node(value);
    let (mut start, end) = (node.start as usize, node.end as usize);
    if log[start..end].starts_with(b"0x") {
        start += 2;
    }
    if node.kind == NodeKind::Null || start == end { TextSpan::NONE } else { TextSpan::log(start, end) }
}

/// Microseconds of nanoseconds since 1970, which are a text since JSON has no such numbers.
fn nanoseconds(text: &[u8]) -> Option<i64> {
    let value: u64 = std::str::from_utf8(text).ok()?.parse().ok()?;
    i64::try_from(value / 1000).ok().filter(|moment| *moment > 0)
}
