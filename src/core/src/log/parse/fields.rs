//! A step made of named fields, whether they come from an object or from pairs.

use super::compose::{Composer, Item, Span, fixed};
use super::names::{COLUMNS, Column, Level, Names, level};
use super::row::{Draft, Kind, Status};
use super::tape::{Sort, Tape};
use super::time::{duration, moment};

/// The value of a field.
#[derive(Debug, Clone, Copy)]
pub enum Value {
    /// Of an object.
    Node(u32),
    /// Of a pair, without quotes.
    Bare(Span),
    /// Of a pair, in quotes.
    Quoted(Span),
}

#[derive(Debug, Clone, Copy)]
struct Slot {
    key: Span,
    value: Value,
    rank: u8,
    unit: f64,
}

/// Fields by the columns that they mean. What means none is an attribute.
pub struct Fields<'f, 'c> {
    composer: &'f mut Composer<'c>,
    tape: &'f Tape,
    slots: [Option<Slot>; COLUMNS],
}

impl<'f, 'c> Fields<'f, 'c> {
    /// No fields yet.
    pub fn new(composer: &'f mut Composer<'c>, tape: &'f Tape) -> Self {
        Self { composer, tape, slots: [None; COLUMNS] }
    }

    /// All fields of an object.
    pub fn object(&mut self, names: &Names, object: u32) {
        for (key, value) in self.tape.members(object) {
            let key = self.composer.text(self.tape, key);
            self.put(names, key, Value::Node(value));
        }
    }

    /// One more field. Null is no value where the name means a column.
    #[inline]
    pub fn put(&mut self, names: &Names, key: Span, value: Value) {
        let Some(name) = names.find(self.composer.bytes(key)) else {
            return self.attribute(key, value);
        };
        if matches!(value, Value::Node(node) if self.tape.node(node).sort == Sort::Null) {
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
    pub fn unescaped(&mut self, text: Span) -> Span {
        self.composer.unescaped(text.start(), text.end())
    }

    /// The step that the fields are, on top of what is known of it already.
    pub fn step(mut self, known: Draft) -> Draft {
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
                Value::Node(node) if self.tape.node(node).sort == Sort::Object => {
                    self.composer.members_of(self.tape, node);
                }
                value => self.attribute(slot.key, value),
            }
        }
        draft
    }

    fn ids(&mut self, draft: &mut Draft) {
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

    fn times(&mut self, draft: &mut Draft) {
        if let Some(started) = self.read(Column::Started, |text, _| moment(text)) {
            draft.started_us = Some(started);
        }
        draft.duration_ms = self.read(Column::Duration, duration);
        let ended = self.read(Column::Ended, |text, _| moment(text));
        if let (None, Some(started), Some(ended)) = (draft.duration_ms, draft.started_us, ended) {
            draft.duration_ms = (ended >= started).then(|| (ended - started) as f64 / 1000.0);
        }
    }

    fn usage(&mut self, draft: &mut Draft) {
        draft.input_tokens = self.read(Column::InputTokens, |text, _| count(text));
        draft.output_tokens = self.read(Column::OutputTokens, |text, _| count(text));
        draft.cost = self.read(Column::Cost, |text, _| amount(text));
        let Some(slot) = self.take(Column::Usage) else { return };
        if let Value::Node(object) = slot.value {
            let (input, output) = tokens_of(self.tape, self.composer.log, object);
            draft.input_tokens = draft.input_tokens.or(input);
            draft.output_tokens = draft.output_tokens.or(output);
        }
        self.attribute(slot.key, slot.value);
    }

    /// Status, error and message. Gives whether the fields tell of a failure.
    fn failure(&mut self, draft: &mut Draft) -> bool {
        let grave = self.level();
        draft.status = self.read(Column::Status, |text, _| Status::of(text)).or(draft.status);
        let (error, told) = self.error();
        let trace = self.take(Column::Trace).map_or(Span::NONE, |slot| self.text(slot.value));
        let message = self.take(Column::Message);
        let failed = grave || told || draft.status == Some(Status::Error);
        let mut said = message;
        if error.is_none()
            && failed
            && let Some(slot) = message.filter(|slot| self.is_text(slot.value))
        {
            draft.error = self.text(slot.value);
            said = None;
        } else {
            draft.error = error;
        }
        if trace.is_some() {
            draft.error =
                if draft.error.is_none() { trace } else { self.composer.joined([draft.error, trace], b"\n") };
        }
        if let Some(slot) = said {
            if draft.output == Item::Nothing {
                draft.output = item(slot.value);
            } else {
                self.composer.member(fixed("message"), item(slot.value));
            }
            draft.kind = draft.kind.or(Some(Kind::Message));
        }
        if failed && draft.status.is_none() {
            draft.status = Some(Status::Error);
        }
        failed
    }

    /// Whether the level is that of an error. Numbers are those of pino and bunyan.
    fn level(&mut self) -> bool {
        let Some(slot) = self.take(Column::Level) else { return false };
        let text = self.text(slot.value);
        let bytes = self.composer.bytes(text);
        let grave = level(bytes) == Some(Level::Error) || matches!(bytes, b"50" | b"60");
        self.composer.member(fixed("level"), item(slot.value));
        grave
    }

    /// The error's text, and whether there is an error at all.
    fn error(&mut self) -> (Span, bool) {
        let Some(slot) = self.take(Column::Error) else { return (Span::NONE, false) };
        match slot.value {
            Value::Node(node) => match self.tape.node(node).sort {
                Sort::Plain | Sort::Escaped => (),
                Sort::Object => {
                    self.attribute(slot.key, slot.value);
                    let message = self.tape.get(self.composer.log, node, b"message");
                    return (
                        message.map_or(Span::NONE, |message| self.composer.text(self.tape, message)),
                        true,
                    );
                }
                sort => {
                    self.attribute(slot.key, slot.value);
                    return (Span::NONE, !matches!(sort, Sort::False));
                }
            },
            Value::Bare(_) | Value::Quoted(_) => (),
        }
        let text = self.text(slot.value);
        let empty = self.composer.bytes(text).is_empty();
        (if empty { Span::NONE } else { text }, !empty)
    }

    fn kind(&mut self, draft: &mut Draft, failed: bool) {
        let given = self.read(Column::Kind, |text, _| Kind::of(text));
        if let Some(slot) = self.take(Column::Tool) {
            if self.is_text(slot.value) {
                if draft.name.is_some() {
                    self.composer.member(fixed("name"), Item::Text(draft.name));
                }
                draft.name = self.text(slot.value);
                draft.kind = Some(Kind::Tool);
            } else {
                self.attribute(slot.key, slot.value);
            }
        }
        let is_model = draft.model.is_some() || draft.input_tokens.is_some() || draft.output_tokens.is_some();
        let found = match draft.kind {
            Some(Kind::Tool) => Kind::Tool,
            _ if is_model => Kind::Model,
            _ if failed => Kind::Error,
            Some(kind) => kind,
            None => Kind::Custom,
        };
        draft.kind = Some(given.unwrap_or(found));
    }

    /// What a column's field says, read from its text; where that cannot be read it stays an attribute.
    fn read<T>(&mut self, column: Column, read: impl Fn(&[u8], f64) -> Option<T>) -> Option<T> {
        let slot = self.take(column)?;
        let text = self.text(slot.value);
        let value = read(self.composer.bytes(text), slot.unit);
        if value.is_none() {
            self.attribute(slot.key, slot.value);
        }
        value
    }

    fn take(&mut self, column: Column) -> Option<Slot> {
        self.slots[column as usize].take()
    }

    fn text(&mut self, value: Value) -> Span {
        match value {
            Value::Node(node) => self.composer.text(self.tape, node),
            Value::Bare(span) | Value::Quoted(span) => span,
        }
    }

    fn is_text(&self, value: Value) -> bool {
        match value {
            Value::Node(node) => matches!(self.tape.node(node).sort, Sort::Plain | Sort::Escaped),
            Value::Bare(_) | Value::Quoted(_) => true,
        }
    }

    fn attribute(&mut self, key: Span, value: Value) {
        self.composer.member(key, item(value));
    }
}

fn item(value: Value) -> Item {
    match value {
        Value::Node(node) => Item::Node(node),
        Value::Bare(span) => Item::Bare(span),
        Value::Quoted(span) => Item::Text(span),
    }
}

/// Tokens of the prompt and of the answer in an object of a provider, LangChain's included.
pub fn tokens_of(tape: &Tape, log: &[u8], object: u32) -> (Option<i64>, Option<i64>) {
    let (mut input, mut output) = (None, None);
    for (key, value) in tape.members(object) {
        match tape.source(log, key) {
            b"input_tokens" | b"prompt_tokens" => input = count(tape.source(log, value)),
            b"output_tokens" | b"completion_tokens" => output = count(tape.source(log, value)),
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
