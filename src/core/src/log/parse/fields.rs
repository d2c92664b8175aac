//! Builds a step from named fields: the members of an object, or the pairs of logfmt.

use super::attributes::AttributeWriter;
use super::field_names::{FieldNames, Level, level};
use super::field_place::{COLUMN_COUNT, Column, FieldPlace};
use super::json_index::{JsonIndex, NodeKind};
use super::jsonb_source::JsonbSource;
use super::step::{StepDraft, StepKind, StepStatus};
use super::text_span::{TextSpan, own_key};
use super::time::{duration, moment};

/// The value of a field.
#[derive(Debug, Clone, Copy)]
pub enum FieldValue {
    /// Value of an object's member.
    Node(u32),
    /// Value of a pair, without quotes.
    Bare(TextSpan),
    /// Value of a pair, in quotes.
    Quoted(TextSpan),
}

#[derive(Debug, Clone, Copy)]
struct Slot {
    key: TextSpan,
    value: FieldValue,
    rank: u8,
    unit: f64,
}

/// Fields by the column of their name. A field whose name has no column becomes an attribute.
pub struct Fields<'f, 'c> {
    writer: &'f mut AttributeWriter<'c>,
    json: &'f JsonIndex,
    slots: [Option<Slot>; COLUMN_COUNT],
}

impl<'f, 'c> Fields<'f, 'c> {
    /// Creates an empty set of fields.
    pub fn new(writer: &'f mut AttributeWriter<'c>, json: &'f JsonIndex) -> Self {
        Self { writer, json, slots: [None; COLUMN_COUNT] }
    }

    /// Adds all members of an object.
    pub fn object(&mut self, names: &FieldNames, object: u32) {
        for (key, value) in self.json.members(object) {
            let span = self.writer.text(self.json, key);
            if self.json.node(value).kind == NodeKind::Object {
                self.structure(names, key, span, value);
            } else {
                self.put(names, span, FieldValue::Node(value));
            }
        }
    }

    /// Adds the fields at the paths of the caller's map.
    pub fn paths(&mut self, names: &FieldNames, object: u32) {
        for (path, place) in names.mapped().paths() {
            let step = |at: u32, name: &str| self.json.get(self.writer.log, at, name.as_bytes());
            if let Some(value) = path.split('.').try_fold(object, step) {
                let key = self.writer.composed(path.as_bytes());
                self.place(place, key, FieldValue::Node(value));
            }
        }
    }

    /// Adds a member that is an object: its parts that have columns in Elastic's Common Schema, in Rust's tracing and in
    /// OpenAI's agents, and the whole as an attribute or column.
    fn structure(&mut self, names: &FieldNames, key: u32, span: TextSpan, object: u32) {
        let log = self.writer.log;
        let inner = |name: &str| self.json.get(log, object, name.as_bytes()).map(FieldValue::Node);
        let parts: &[(&str, &str)] = match self.json.source(log, key) {
            b"run" => &[("id", "run_id")],
            b"trace" => &[("id", "trace.id")],
            b"span" => &[("id", "span.id")],
            b"parent" => &[("id", "parent.id")],
            b"transaction" => &[("id", "transaction.id")],
            b"log" => &[("level", "log.level"), ("logger", "log.logger")],
            b"event" => &[("duration", "event.duration"), ("outcome", "event.outcome")],
            b"error" | b"err" | b"exception" => {
                let stack = ["stack_trace", "stack", "stacktrace"].into_iter().find_map(inner);
                if let Some(stack) = stack.filter(|stack| self.is_text(*stack)) {
                    self.put(names, own_key("stack"), stack);
                }
                return self.put(names, span, FieldValue::Node(object));
            }
            b"fields" if inner("message").is_some() => return self.object(names, object),
            b"span_data" => return self.object(names, object),
            _ => return self.put(names, span, FieldValue::Node(object)),
        };
        for (part, column) in parts {
            if let Some(value) = inner(part) {
                let key = self.writer.composed(column.as_bytes());
                self.put(names, key, value);
            }
        }
        self.attribute(span, FieldValue::Node(object));
    }

    /// Adds a field. For a name with a column, null counts as no value.
    #[inline]
    pub fn put(&mut self, names: &FieldNames, key: TextSpan, value: FieldValue) {
        match names.find(self.writer.bytes(key)) {
            Some(place) => self.place(place, key, value),
            None => self.attribute(key, value),
        }
    }

    #[inline]
    fn place(&mut self, place: FieldPlace, key: TextSpan, value: FieldValue) {
        if matches!(value, FieldValue::Node(node) if self.json.node(node).kind == NodeKind::Null) {
            return;
        }
        let slot = Slot { key, value, rank: place.rank, unit: place.unit };
        let place = &mut self.slots[place.column as usize];
        match *place {
            Some(other) if other.rank < slot.rank => self.attribute(key, value),
            Some(other) => {
                *place = Some(slot);
                self.attribute(other.key, other.value);
            }
            None => *place = Some(slot),
        }
    }

    /// A text of the log without its escapes.
    pub fn unescaped(&mut self, text: TextSpan) -> TextSpan {
        self.writer.unescaped(text.start(), text.end())
    }

    /// The step from these fields, which override `known`.
    pub fn step(mut self, known: StepDraft) -> StepDraft {
        let mut draft = known;
        self.ids(&mut draft);
        self.times(&mut draft);
        self.usage(&mut draft);
        draft.input = self.take(Column::Input).map_or(draft.input, |slot| item(slot.value));
        draft.output = self.take(Column::Output).map_or(draft.output, |slot| item(slot.value));
        let failed = self.failure(&mut draft);
        self.kind(&mut draft, failed);
        if let Some(slot) = self.take(Column::Attributes) {
            match slot.value {
                FieldValue::Node(node) if self.json.node(node).kind == NodeKind::Object => {
                    self.writer.members_of(self.json, node);
                }
                value => self.attribute(slot.key, value),
            }
        }
        draft
    }

    fn ids(&mut self, draft: &mut StepDraft) {
        for (column, span) in [
            (Column::Run, &mut draft.run),
            (Column::Span, &mut draft.span),
            (Column::Parent, &mut draft.parent),
        ] {
            if let Some(slot) = self.take(column) {
                *span = self.text(slot.value);
            }
        }
        for (column, span) in [(Column::Name, &mut draft.name), (Column::Model, &mut draft.model)] {
            match self.take(column) {
                Some(slot) if self.is_text(slot.value) => *span = self.text(slot.value),
                Some(slot) => self.attribute(slot.key, slot.value),
                None => {}
            }
        }
    }

    fn times(&mut self, draft: &mut StepDraft) {
        let zone = self.writer.zone;
        if let Some(started) = self.read(Column::Started, |text, _| moment(text, zone)) {
            draft.started_us = Some(started);
        }
        draft.duration_ms = self.read(Column::Duration, duration);
        let ended = self.read(Column::Ended, |text, _| moment(text, zone));
        if let (None, Some(started), Some(ended)) = (draft.duration_ms, draft.started_us, ended) {
            draft.duration_ms = (ended >= started).then(|| (ended - started) as f64 / 1000.0);
        }
    }

    fn usage(&mut self, draft: &mut StepDraft) {
        draft.input_tokens = self.read(Column::InputTokens, |text, _| count(text));
        draft.output_tokens = self.read(Column::OutputTokens, |text, _| count(text));
        draft.cost = self.read(Column::Cost, |text, _| amount(text));
        let Some(slot) = self.take(Column::Usage) else { return };
        if let FieldValue::Node(object) = slot.value {
            let (input, output) = tokens_of(self.json, self.writer.log, object);
            draft.input_tokens = draft.input_tokens.or(input);
            draft.output_tokens = draft.output_tokens.or(output);
        }
        self.attribute(slot.key, slot.value);
    }

    /// Reads status, error and message. Returns whether the fields report a failure.
    fn failure(&mut self, draft: &mut StepDraft) -> bool {
        let is_grave = self.level();
        draft.status = self.read(Column::Status, |text, _| StepStatus::of(text)).or(draft.status);
        let (error, has_error) = self.error();
        let trace = self.take(Column::Trace).map_or(TextSpan::NONE, |slot| self.text(slot.value));
        let message = self.take(Column::Message);
        let failed = is_grave || has_error || draft.status == Some(StepStatus::Error);
        let mut output = message;
        if error.is_none()
            && failed
            && let Some(slot) = message.filter(|slot| self.is_text(slot.value))
        {
            draft.error = self.text(slot.value);
            output = None;
        } else {
            draft.error = error;
        }
        if trace.is_some() {
            draft.error =
                if draft.error.is_none() { trace } else { self.writer.joined([draft.error, trace], b"\n") };
        }
        if let Some(slot) = output {
            if draft.output == JsonbSource::Nothing {
                draft.output = item(slot.value);
            } else {
                self.writer.member(own_key("message"), item(slot.value));
            }
            draft.kind = draft.kind.or(Some(StepKind::Message));
        }
        if failed && draft.status.is_none() {
            draft.status = Some(StepStatus::Error);
        }
        failed
    }

    /// True if the level is that of an error. Numbers are those of pino and bunyan.
    fn level(&mut self) -> bool {
        let Some(slot) = self.take(Column::Level) else { return false };
        let text = self.text(slot.value);
        let bytes = self.writer.bytes(text);
        let grave = level(bytes) == Some(Level::Error) || matches!(bytes, b"50" | b"60");
        self.writer.member(own_key("level"), item(slot.value));
        grave
    }

    /// The error's text, and whether there is an error at all.
    fn error(&mut self) -> (TextSpan, bool) {
        let Some(slot) = self.take(Column::Error) else { return (TextSpan::NONE, false) };
        match slot.value {
            FieldValue::Node(node) => match self.json.node(node).kind {
                NodeKind::Plain | NodeKind::Escaped => (),
                NodeKind::Object => {
                    self.attribute(slot.key, slot.value);
                    let message = self.json.get(self.writer.log, node, b"message");
                    return (
                        message.map_or(TextSpan::NONE, |message| self.writer.text(self.json, message)),
                        true,
                    );
                }
                kind => {
                    self.attribute(slot.key, slot.value);
                    return (TextSpan::NONE, !matches!(kind, NodeKind::False));
                }
            },
            FieldValue::Bare(_) | FieldValue::Quoted(_) => (),
        }
        let text = self.text(slot.value);
        let empty = self.writer.bytes(text).is_empty();
        (if empty { TextSpan::NONE } else { text }, !empty)
    }

    fn kind(&mut self, draft: &mut StepDraft, failed: bool) {
        let given = self.read(Column::Kind, |text, _| StepKind::of(text));
        if let Some(slot) = self.take(Column::Tool) {
            if self.is_text(slot.value) {
                if draft.name.is_some() {
                    self.writer.member(own_key("name"), JsonbSource::Text(draft.name));
                }
                draft.name = self.text(slot.value);
                draft.kind = Some(StepKind::Tool);
            } else {
                self.attribute(slot.key, slot.value);
            }
        }
        let is_model = draft.model.is_some() || draft.input_tokens.is_some() || draft.output_tokens.is_some();
        let found = match draft.kind {
            Some(StepKind::Tool) => StepKind::Tool,
            _ if is_model => StepKind::Model,
            _ if failed => StepKind::Error,
            Some(kind) => kind,
            None => StepKind::Custom,
        };
        draft.kind = Some(given.unwrap_or(found));
    }

    /// The value of a column's field, read from its text. A field whose text cannot be read becomes an attribute.
    fn read<T>(&mut self, column: Column, read: impl Fn(&[u8], f64) -> Option<T>) -> Option<T> {
        let slot = self.take(column)?;
        let text = self.text(slot.value);
        let value = read(self.writer.bytes(text), slot.unit);
        if value.is_none() {
            self.attribute(slot.key, slot.value);
        }
        value
    }

    fn take(&mut self, column: Column) -> Option<Slot> {
        self.slots[column as usize].take()
    }

    fn text(&mut self, value: FieldValue) -> TextSpan {
        match value {
            FieldValue::Node(node) => self.writer.text(self.json, node),
            FieldValue::Bare(span) | FieldValue::Quoted(span) => span,
        }
    }

    fn is_text(&self, value: FieldValue) -> bool {
        match value {
            FieldValue::Node(node) => {
                matches!(self.json.node(node).kind, NodeKind::Plain | NodeKind::Escaped)
            }
            FieldValue::Bare(_) | FieldValue::Quoted(_) => true,
        }
    }

    fn attribute(&mut self, key: TextSpan, value: FieldValue) {
        self.writer.member(key, item(value));
    }
}

fn item(value: FieldValue) -> JsonbSource {
    match value {
        FieldValue::Node(node) => JsonbSource::Node(node),
        FieldValue::Bare(span) => JsonbSource::Bare(span),
        FieldValue::Quoted(span) => JsonbSource::Text(span),
    }
}

/// Tokens of prompt and answer in a usage object of a provider or of LangChain.
pub fn tokens_of(json: &JsonIndex, log: &[u8], object: u32) -> (Option<i64>, Option<i64>) {
    let (mut input, mut output) = (None, None);
    for (key, value) in json.members(object) {
        match json.source(log, key) {
            b"input_tokens" | b"prompt_tokens" | b"inputTokens" | b"promptTokens" => {
                input = count(json.source(log, value));
            }
            b"output_tokens" | b"completion_tokens" | b"outputTokens" | b"completionTokens" => {
                output = count(json.source(log, value));
            }
            _ => {}
        }
    }
    (input, output)
}

/// A non-negative integer of at most 18 digits, also if it is written with a point, as programs that count in floating point
/// do: `41.0`.
pub fn count(text: &[u8]) -> Option<i64> {
    let text = match text.iter().position(|byte| *byte == b'.') {
        Some(point) if text[point + 1..].iter().all(|byte| *byte == b'0') => &text[..point],
        _ => text,
    };
    if text.is_empty() || text.len() > 18 {
        return None;
    }
    text.iter().try_fold(0i64, |sum, byte| byte.is_ascii_digit().then(|| sum * 10 + i64::from(byte - b'0')))
}

/// A finite number.
pub fn amount(text: &[u8]) -> Option<f64> {
    let starts = matches!(text.first(), Some(b'0'..=b'9' | b'-'));
    let value: f64 = starts.then(|| std::str::from_utf8(text).ok())??.parse().ok()?;
    value.is_finite().then_some(value)
}
