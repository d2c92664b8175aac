//! The columns in the attributes of OpenTelemetry spans, by the conventions for generative AI, OpenInference and OpenLLMetry.

use super::attributes::{AttributeWriter, key_value};
use super::fields::count;
use super::json_index::{JsonIndex, NodeKind};
use super::jsonb_source::JsonbSource;
use super::step::{StepDraft, StepKind, StepStatus};
use super::text_span::{TextSpan, own_key};
use crate::log::semconv::{self, former, openinference, operation, traceloop};

/// The columns in a span's attributes and events, as nodes.
#[derive(Debug, Default)]
pub struct SpanColumns {
    is_typed: bool,
    /// End of the span.
    pub ended_us: Option<i64>,
    /// The list of events.
    pub events: Option<u32>,
    operation: Option<u32>,
    other_kind: Option<u32>,
    mapped: [Option<(u32, u32)>; MAPPED_ATTRIBUTES],
}

/// Attributes that become columns for some kinds of steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
enum MappedAttribute {
    Model,
    ResponseModel,
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
        // Few names begin with one of these letters and have a point.
        let may_be =
            matches!(name.first(), Some(b'g' | b'l' | b'e' | b'i' | b'o' | b't')) && name.contains(&b'.');
        let name = std::str::from_utf8(name).ok().filter(|_| may_be)?;
        Some(match name {
            semconv::REQUEST_MODEL | openinference::MODEL | openinference::EMBEDDING_MODEL => Self::Model,
            semconv::RESPONSE_MODEL => Self::ResponseModel,
            semconv::USAGE_INPUT_TOKENS | former::USAGE_PROMPT_TOKENS | openinference::PROMPT_TOKENS => {
                Self::InputTokens
            }
            semconv::USAGE_OUTPUT_TOKENS
            | former::USAGE_COMPLETION_TOKENS
            | openinference::COMPLETION_TOKENS => Self::OutputTokens,
            semconv::INPUT_MESSAGES | former::PROMPT | openinference::INPUT | traceloop::INPUT => Self::Input,
            semconv::OUTPUT_MESSAGES | former::COMPLETION | openinference::OUTPUT | traceloop::OUTPUT => {
                Self::Output
            }
            semconv::TOOL_NAME | openinference::TOOL => Self::Tool,
            semconv::TOOL_CALL_ARGUMENTS => Self::Arguments,
            semconv::TOOL_CALL_RESULT => Self::Result,
            semconv::RETRIEVAL_QUERY_TEXT => Self::Query,
            semconv::RETRIEVAL_DOCUMENTS => Self::Documents,
            _ => return None,
        })
    }
}

impl SpanColumns {
    /// The columns of a span whose values are OTLP's `AnyValue`s.
    pub fn typed() -> Self {
        Self { is_typed: true, ..Self::default() }
    }

    /// Takes an attribute: one that may become a column, or any other.
    pub fn attribute(&mut self, writer: &mut AttributeWriter<'_>, json: &JsonIndex, key: u32, value: u32) {
        let name = json.source(writer.log, key);
        match MappedAttribute::of(name) {
            Some(known) => {
                let place = &mut self.mapped[known as usize];
                if place.is_none() {
                    *place = Some((key, value));
                    return;
                }
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

    /// A value that may be JSON in a string: some exporters cannot write structures.
    fn json(&self, writer: &mut AttributeWriter<'_>, json: &JsonIndex, value: u32) -> JsonbSource {
        let inner = self.bare(json, value);
        match json.node(inner).kind {
            NodeKind::Plain | NodeKind::Escaped => JsonbSource::Json(writer.text(json, inner)),
            _ => self.item(value),
        }
    }

    /// Reads status and error.
    pub fn status(
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

    /// Completes the step from the attributes that were taken.
    pub fn finish(&mut self, writer: &mut AttributeWriter<'_>, json: &JsonIndex, draft: &mut StepDraft) {
        let log = writer.log;
        if let (Some(started), Some(ended)) = (draft.started_us, self.ended_us) {
            draft.duration_ms = (ended >= started).then(|| (ended - started) as f64 / 1000.0);
        }
        draft.status =
            draft.status.or(Some(if self.ended_us.is_some() { StepStatus::Ok } else { StepStatus::Running }));
        let kind = self.kind(json, log);
        draft.kind = Some(kind);
        if kind == StepKind::Model {
            let known = [MappedAttribute::Model, MappedAttribute::ResponseModel];
            let model = known.into_iter().find(|known| self.mapped[*known as usize].is_some());
            draft.model = model.map_or(TextSpan::NONE, |known| self.text(writer, json, known));
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
        // Other conventions name input and output of all kinds alike.
        let input = self.take(inputs).or_else(|| self.take(MappedAttribute::Input));
        let output = self.take(outputs).or_else(|| self.take(MappedAttribute::Output));
        draft.input = input.map_or(JsonbSource::Nothing, |value| self.json(writer, json, value));
        draft.output = output.map_or(JsonbSource::Nothing, |value| self.json(writer, json, value));
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
            None => match text(self.other_kind) {
                Some(kind) => StepKind::of(kind).unwrap_or(StepKind::Custom),
                None if self.is_model() => StepKind::Model,
                None => StepKind::Custom,
            },
        }
    }

    /// True if the attributes are those of a model's call. Instrumentation before version 1.29 of the conventions, and some
    /// of today's, name no operation.
    fn is_model(&self) -> bool {
        use MappedAttribute::{InputTokens, Model, OutputTokens, ResponseModel};
        [Model, ResponseModel, InputTokens, OutputTokens]
            .iter()
            .any(|known| self.mapped[*known as usize].is_some())
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

    /// Takes the error's text from the exception among the events if the status has no text. The events become an attribute.
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
