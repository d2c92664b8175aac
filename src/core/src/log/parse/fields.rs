//! A step made of named fields: the members of an object, or the pairs of logfmt.

use super::attributes::AttributeWriter;
use super::field_names::{COLUMN_COUNT, Column, FieldNames, Level, level};
use super::json_index::{JsonIndex, NodeKind};
use super::jsonb_source::JsonbSource;
use super::step::{StepDraft, StepKind, StepStatus};
use super::text_span::{TextSpan, own_key};
use super::time::{duration, moment};

/// The value of a field.
#[derive(Debug, Clone, Copy)]
pub enum FieldValue {
    /// Of an object.
    Node(u32),
    /// Of a pair, without quotes.
    Bare(TextSpan),
    /// Of a pair, in quotes.
    Quoted(TextSpan),
}

#[derive(Debug, Clone, Copy)]
struct Slot {
    key: TextSpan,
    value: FieldValue,
    rank: u8,
    unit: f64,
}

/// Fields by the column that their name means. A field that means no column is an attribute.
pub struct Fields<'f, 'c> {
    writer: &'f mut AttributeWriter<'c>,
    json: &'f JsonIndex,
    slots: [Option<Slot>; COLUMN_COUNT],
}

impl<'f, 'c> Fields<'f, 'c> {
    /// No fields yet.
    pub fn new(writer: &'f mut AttributeWriter<'c>, json: &'f JsonIndex) -> Self {
        Self { writer, json, slots: [None; COLUMN_COUNT] }
    }

    /// All fields of an object.
    pub fn object(&mut self, names: &FieldNames, object: u32) {
        for (key, value) in self.json.members(object) {
            let key = self.writer.text(self.json, key);
            self.put(names, key, FieldValue::Node(value));
        }
    }

    /// One more field. Null is no value where the name means a column.
    #[inline]
    pub fn put(&mut self, names: &FieldNames, key: TextSpan, value: FieldValue) {
        let Some(name) = names.find(self.writer.bytes(key)) else {
            return self.attribute(key, value);
        };
        if matches!(value, FieldValue::Node(node) if self.json.node(node).kind == NodeKind::Null) {
            return;
        }
        let slot = Slot { key, value, rank: name.rank, unit: name.unit };
        let place = &mut self.slots[name.column as usize];
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

    /// The step that the fields are, on top of what is known of it already.
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
        if let Some(started) = self.read(Column::Started, |text, _| moment(text)) {
            draft.started_us = Some(started);
        }
        draft.duration_ms = self.read(Column::Duration, duration);
        let ended = self.read(Column::Ended, |text, _| moment(text));
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

    /// Status, error and message. Returns whether the fields report a failure.
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

    /// Whether the level is that of an error. Numbers are those of pino and bunyan.
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

/// Tokens of the prompt and of the answer in an object of a provider, LangChain's included.
pub fn tokens_of(json: &JsonIndex, log: &[u8], object: u32) -> (Option<i64>, Option<i64>) {
    let (mut input, mut output) = (None, None);
    for (key, value) in json.members(object) {
        match json.source(log, key) {
            b"input_tokens" | b"prompt_tokens" => input = count(json.source(log, value)),
            b"output_tokens" | b"completion_tokens" => output = count(json.source(log, value)),
            _ => {}
        }
    }
    (input, output)
}

/// A whole number that is not negative, of at most 18 digits.
pub fn count(text: &[u8]) -> Option<i64> {
    if text.is_empty() || text.len() > 18 {
        return None;
    }
    text.iter().try_fold(0i64, |sum, byte| byte.is_ascii_digit().then(|| sum * 10 + i64::from(byte - b'0')))
}

/// A number that is finite.
pub fn amount(text: &[u8]) -> Option<f64> {
    let starts = matches!(text.first(), Some(b'0'..=b'9' | b'-'));
    let value: f64 = starts.then(|| std::str::from_utf8(text).ok())??.parse().ok()?;
    value.is_finite().then_some(value)
}
