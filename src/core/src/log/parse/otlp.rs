//! Spans of OpenTelemetry in JSON: as OTLP has them (`opentelemetry-proto`, `trace.proto`, in its mapping to JSON), whole
//! exports or one resource or span in a line, and as the SDK's console exporter shows them.

use super::compose::{Composer, Item, Span, fixed, key_value};
use super::fields::count;
use super::row::{Draft, Format, Kind, Sink, Status};
use super::tape::{Sort, Tape};
use super::time::moment;
use crate::log::semconv::{self, former, operation};

/// What the spans of one export have in common, as places of the tape.
#[derive(Debug, Clone, Copy, Default)]
pub struct Origin {
    resource: Option<u32>,
    scope: Option<u32>,
}

/// The spans of an export: the value of `resourceSpans`.
pub fn export(composer: &mut Composer<'_>, tape: &Tape, resources: u32, known: Draft, sink: &mut impl Sink) {
    for each in tape.elements(resources) {
        resource(composer, tape, each, known, sink);
    }
}

/// The spans of a resource: an object that has `scopeSpans`.
pub fn resource(composer: &mut Composer<'_>, tape: &Tape, object: u32, known: Draft, sink: &mut impl Sink) {
    let log = composer.log;
    let resource =
        tape.get(log, object, b"resource").and_then(|resource| tape.get(log, resource, b"attributes"));
    for scopes in [b"scopeSpans".as_slice(), b"scope_spans", b"instrumentationLibrarySpans"] {
        let scopes = tape.get(log, object, scopes);
        for scope in scopes.into_iter().flat_map(|scopes| tape.elements(scopes)) {
            let named = tape.get(log, scope, b"scope");
            let origin = Origin { resource, scope: named.and_then(|scope| tape.get(log, scope, b"name")) };
            let spans = tape.get(log, scope, b"spans");
            for each in spans.into_iter().flat_map(|spans| tape.elements(spans)) {
                span(composer, tape, each, &origin, known, sink);
            }
        }
    }
}

/// One span as OTLP has it.
pub fn span(
    composer: &mut Composer<'_>,
    tape: &Tape,
    object: u32,
    origin: &Origin,
    known: Draft,
    sink: &mut impl Sink,
) {
    let log = composer.log;
    let mut draft = Draft { format: Some(Format::Otlp), ..known };
    let mut told = Told { is_typed: true, ..Told::default() };
    for (key, value) in tape.members(object) {
        match tape.source(log, key) {
            b"traceId" => draft.run = id(tape, log, value),
            b"spanId" => draft.span = id(tape, log, value),
            b"parentSpanId" => draft.parent = id(tape, log, value),
            b"name" => draft.name = composer.text(tape, value),
            b"startTimeUnixNano" => draft.started_us = nanoseconds(tape.source(log, value)),
            b"endTimeUnixNano" => told.ended_us = nanoseconds(tape.source(log, value)),
            b"status" => told.status(composer, tape, value, &mut draft),
            b"attributes" => {
                for pair in tape.elements(value) {
                    if let Some((key, value)) = key_value(tape, log, pair) {
                        told.attribute(composer, tape, key, value);
                    }
                }
            }
            b"events" => told.events = Some(value),
            b"flags" | b"traceState" => {}
            _ => other(composer, tape, key, value),
        }
    }
    if let Some(resource) = origin.resource {
        composer.member(fixed("resource"), Item::KeyValues(resource));
    }
    if let Some(scope) = origin.scope {
        composer.member(fixed("scope"), Item::Node(scope));
    }
    let node = tape.node(object);
    told.finish(composer, tape, &mut draft);
    draft.give(composer, tape, Span::log(node.start as usize, node.end as usize), sink);
}

/// One span as the SDK for Python shows it.
pub fn console(
    composer: &mut Composer<'_>,
    tape: &Tape,
    object: u32,
    known: Draft,
    whole: Span,
    sink: &mut impl Sink,
) {
    let log = composer.log;
    let mut draft = Draft { format: Some(Format::Otlp), ..known };
    let mut told = Told::default();
    for (key, value) in tape.members(object) {
        match tape.source(log, key) {
            b"context" => {
                draft.run =
                    tape.get(log, value, b"trace_id").map_or(Span::NONE, |value| id(tape, log, value));
                draft.span =
                    tape.get(log, value, b"span_id").map_or(Span::NONE, |value| id(tape, log, value));
            }
            b"parent_id" => draft.parent = id(tape, log, value),
            b"name" => draft.name = composer.text(tape, value),
            b"start_time" => draft.started_us = moment(tape.source(log, value)),
            b"end_time" => told.ended_us = moment(tape.source(log, value)),
            b"status" => told.status(composer, tape, value, &mut draft),
            b"attributes" => {
                for (key, value) in tape.members(value) {
                    told.attribute(composer, tape, key, value);
                }
            }
            b"events" => told.events = Some(value),
            b"resource" => {
                let attributes = tape.get(log, value, b"attributes").unwrap_or(value);
                composer.member(fixed("resource"), Item::Node(attributes));
            }
            _ => other(composer, tape, key, value),
        }
    }
    told.finish(composer, tape, &mut draft);
    draft.give(composer, tape, whole, sink);
}

/// A member that has no column, if it says anything.
fn other(composer: &mut Composer<'_>, tape: &Tape, key: u32, value: u32) {
    let node = tape.node(value);
    let is_empty = matches!(node.sort, Sort::Object | Sort::Array) && node.next == value + 1;
    if node.sort != Sort::Null && !is_empty {
        let key = composer.text(tape, key);
        composer.member(key, Item::Node(value));
    }
}

/// What a span's attributes and events say of its columns, as places of the tape.
#[derive(Debug, Default)]
struct Told {
    /// Whether values are OTLP's `AnyValue`s.
    is_typed: bool,
    ended_us: Option<i64>,
    events: Option<u32>,
    operation: Option<u32>,
    other_kind: Option<u32>,
    known: [Option<(u32, u32)>; KNOWN],
}

/// Attributes that are columns of some kinds of steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
enum Known {
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

const KNOWN: usize = Known::Documents as usize + 1;

impl Known {
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

impl Told {
    fn attribute(&mut self, composer: &mut Composer<'_>, tape: &Tape, key: u32, value: u32) {
        let name = tape.source(composer.log, key);
        match Known::of(name) {
            Some(known) => {
                self.known[known as usize] = Some((key, value));
                return;
            }
            None if name == semconv::OPERATION_NAME.as_bytes() => self.operation = Some(value),
            None if matches!(name, b"openinference.span.kind" | b"traceloop.span.kind") => {
                self.other_kind = Some(value);
            }
            None => {}
        }
        let key = composer.text(tape, key);
        composer.member(key, self.item(value));
    }

    fn item(&self, value: u32) -> Item {
        if self.is_typed { Item::Any(value) } else { Item::Node(value) }
    }

    /// The value within an `AnyValue`.
    fn bare(&self, tape: &Tape, value: u32) -> u32 {
        if self.is_typed { tape.members(value).next().map_or(value, |(_, inner)| inner) } else { value }
    }

    /// A value that may be JSON in a text, as these attributes are where the exporter knows no structures.
    fn json(&self, composer: &mut Composer<'_>, tape: &Tape, value: u32) -> Item {
        let inner = self.bare(tape, value);
        match tape.node(inner).sort {
            Sort::Plain | Sort::Escaped => Item::Json(composer.text(tape, inner)),
            _ => self.item(value),
        }
    }

    fn status(&mut self, composer: &mut Composer<'_>, tape: &Tape, status: u32, draft: &mut Draft) {
        for (key, value) in tape.members(status) {
            match tape.source(composer.log, key) {
                b"code" | b"status_code" => {
                    let failed =
                        matches!(tape.source(composer.log, value), b"2" | b"STATUS_CODE_ERROR" | b"ERROR");
                    draft.status = Some(if failed { Status::Error } else { Status::Ok });
                }
                b"message" | b"description" => draft.error = composer.text(tape, value),
                _ => {}
            }
        }
    }

    fn finish(&mut self, composer: &mut Composer<'_>, tape: &Tape, draft: &mut Draft) {
        let log = composer.log;
        if let (Some(started), Some(ended)) = (draft.started_us, self.ended_us) {
            draft.duration_ms = (ended >= started).then(|| (ended - started) as f64 / 1000.0);
        }
        draft.status =
            draft.status.or(Some(if self.ended_us.is_some() { Status::Ok } else { Status::Running }));
        let kind = self.kind(tape, log);
        draft.kind = Some(kind);
        if kind == Kind::Model {
            draft.model = self.text(composer, tape, Known::Model);
            draft.input_tokens = self.count(tape, log, Known::InputTokens);
            draft.output_tokens = self.count(tape, log, Known::OutputTokens);
        }
        if kind == Kind::Tool {
            draft.name = self.text(composer, tape, Known::Tool).or(draft.name);
        }
        let (inputs, outputs) = match kind {
            Kind::Tool => (Known::Arguments, Known::Result),
            Kind::Retrieval => (Known::Query, Known::Documents),
            _ => (Known::Input, Known::Output),
        };
        draft.input = self.take(inputs).map_or(Item::Nothing, |value| self.json(composer, tape, value));
        draft.output = self.take(outputs).map_or(Item::Nothing, |value| self.json(composer, tape, value));
        for (key, value) in std::mem::take(&mut self.known).into_iter().flatten() {
            let key = composer.text(tape, key);
            composer.member(key, self.item(value));
        }
        self.exception(composer, tape, draft);
    }

    fn kind(&self, tape: &Tape, log: &[u8]) -> Kind {
        let text = |value: Option<u32>| value.map(|value| tape.source(log, self.bare(tape, value)));
        let operation = text(self.operation).and_then(|operation| std::str::from_utf8(operation).ok());
        match operation {
            Some(
                operation::CHAT
                | operation::TEXT_COMPLETION
                | operation::GENERATE_CONTENT
                | operation::EMBEDDINGS,
            ) => Kind::Model,
            Some(operation::EXECUTE_TOOL) => Kind::Tool,
            Some(operation::RETRIEVAL) => Kind::Retrieval,
            Some(_) => Kind::Custom,
            None => text(self.other_kind).and_then(Kind::of).unwrap_or(Kind::Custom),
        }
    }

    fn take(&mut self, known: Known) -> Option<u32> {
        self.known[known as usize].take().map(|(_, value)| value)
    }

    fn text(&mut self, composer: &mut Composer<'_>, tape: &Tape, known: Known) -> Span {
        match self.take(known) {
            Some(value) => composer.text(tape, self.bare(tape, value)),
            None => Span::NONE,
        }
    }

    fn count(&mut self, tape: &Tape, log: &[u8], known: Known) -> Option<i64> {
        let (key, value) = self.known[known as usize].take()?;
        let count = count(tape.source(log, self.bare(tape, value)));
        if count.is_none() {
            self.known[known as usize] = Some((key, value));
        }
        count
    }

    /// The error's text where the status has none: that of the exception among the events, which become an attribute.
    fn exception(&self, composer: &mut Composer<'_>, tape: &Tape, draft: &mut Draft) {
        let Some(events) = self.events.filter(|events| tape.elements(*events).next().is_some()) else {
            return;
        };
        let log = composer.log;
        composer.member(fixed("events"), Item::Node(events));
        let is_exception = |event: &u32| {
            tape.get(log, *event, b"name").is_some_and(|name| tape.source(log, name) == b"exception")
        };
        let failed = draft.status == Some(Status::Error) && draft.error.is_none();
        let exception = tape.elements(events).filter(is_exception).last().filter(|_| failed);
        let Some(attributes) = exception.and_then(|event| tape.get(log, event, b"attributes")) else {
            return;
        };
        let mut parts = [Span::NONE; 2];
        let pairs: Vec<(u32, u32)> = if self.is_typed {
            tape.elements(attributes).filter_map(|pair| key_value(tape, log, pair)).collect()
        } else {
            tape.members(attributes).collect()
        };
        for (key, value) in pairs {
            match tape.source(log, key) {
                b"exception.type" => parts[0] = composer.text(tape, self.bare(tape, value)),
                b"exception.message" => parts[1] = composer.text(tape, self.bare(tape, value)),
                _ => {}
            }
        }
        draft.error = composer.joined(parts, b": ");
    }
}

/// An id in hexadecimal; OTLP's empty id, and null, are none.
fn id(tape: &Tape, log: &[u8], value: u32) -> Span {
    let node = tape.node(value);
    let (mut start, end) = (node.start as usize, node.end as usize);
    if log[start..end].starts_with(b"0x") {
        start += 2;
    }
    if node.sort == Sort::Null || start == end { Span::NONE } else { Span::log(start, end) }
}

/// Microseconds of nanoseconds since 1970, which are a text since JSON has no such numbers.
fn nanoseconds(text: &[u8]) -> Option<i64> {
    let value: u64 = std::str::from_utf8(text).ok()?.parse().ok()?;
    i64::try_from(value / 1000).ok().filter(|moment| *moment > 0)
}
