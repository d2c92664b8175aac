//! Records of Python's `logging` and of loggers like it, in any format string: a time, a level and a name in the usual
//! orders, then the message. Continuation lines, such as those of a traceback, are joined to the record before them; an error
//! of several lines without a record before it is a record of its own.

use super::attributes::AttributeWriter;
use super::field_names::{Level, level};
use super::head::Head;
use super::jsonb_source::JsonbSource;
use super::stack::StackPlace;
use super::step::{LogFormat, StepDraft, StepKind, StepStatus};
use super::text_span::{TextSpan, own_key};
use super::zone::Zone;

/// A record whose last line is not known yet.
#[derive(Debug, Clone, Copy)]
pub struct PythonRecord {
    /// Number of its first line.
    pub line: u32,
    started_us: Option<i64>,
    level: TextSpan,
    grave: bool,
    name: TextSpan,
    /// Offset of the message.
    message: usize,
    /// End of the message's first line.
    first_end: usize,
    /// End of the record so far.
    end: usize,
    /// A time without a year, as written.
    time: TextSpan,
    process: TextSpan,
    /// True if pairs may follow the message.
    has_pairs: bool,
    /// Offset of a traceback.
    traceback: Option<usize>,
    /// True if it is one of Python.
    is_traceback: bool,
    place: StackPlace,
}

impl PythonRecord {
    /// The record that begins with the line from `start` to `end`.
    pub fn begin(log: &[u8], start: usize, end: usize, line: u32, zone: Zone<'_>) -> Option<Self> {
        let text = &log[start..end];
        let head = Head::read(text, zone)?;
        let place = |(from, to): (usize, usize)| TextSpan::log(start + from, start + to);
        let grave = head.level.is_some_and(|(from, to)| level(&text[from..to]) == Some(Level::Error));
        Some(Self {
            line,
            started_us: head.started_us,
            level: head.level.map_or(TextSpan::NONE, place),
            grave,
            name: head.name.map_or(TextSpan::NONE, place),
            message: start + head.message,
            first_end: end,
            end,
            time: head.time.map_or(TextSpan::NONE, place),
            process: head.process.map_or(TextSpan::NONE, place),
            has_pairs: head.has_pairs,
            traceback: None,
            is_traceback: false,
            place: StackPlace::None,
        })
    }

    /// The error without a record that begins with the line from `start` to `end`.
    pub fn alone(log: &[u8], start: usize, end: usize, line: u32) -> Option<Self> {
        let place = StackPlace::alone(&log[start..end], following(log, end));
        (place != StackPlace::None).then_some(Self {
            line,
            started_us: None,
            level: TextSpan::NONE,
            grave: false,
            name: TextSpan::NONE,
            message: start,
            first_end: end,
            end,
            time: TextSpan::NONE,
            process: TextSpan::NONE,
            has_pairs: false,
            traceback: Some(start),
            is_traceback: place == StackPlace::Frames,
            place,
        })
    }

    /// Adds a line if it belongs to the record, and returns whether it does. With `takes_all`, set if no other format is
    /// possible, every line that begins no record belongs to the record before.
    pub fn take(&mut self, log: &[u8], start: usize, end: usize, takes_all: bool) -> bool {
        let text = &log[start..end];
        let next = following(log, end);
        let is_record =
            || matches!(text.first(), Some(b'{' | b'[')) || Head::read(text, Zone::default()).is_some();
        let indented = matches!(text.first(), Some(b' ' | b'\t'));
        let begun = StackPlace::of_record(text, next);
        if begun != StackPlace::None {
            self.traceback = self.traceback.or(Some(start));
            self.place = begun;
        } else if !indented && let Some(place) = self.place.after(text, next, is_record) {
            self.place = place;
        } else if !indented && !takes_all {
            return false;
        }
        self.end = end;
        true
    }

    /// True if what follows the time may be the prefix of a container runtime or platform.
    pub fn has_prefix(&self, log: &[u8]) -> bool {
        self.level.is_none() && matches!(log.get(self.message), Some(b's' | b'a' | b'h'))
    }

    /// True if the message begins with a request in quotes, as in access logs.
    pub fn is_request(&self, log: &[u8]) -> bool {
        self.level.is_none() && log.get(self.message) == Some(&b'"')
    }

    /// The range of the message if it may be JSON.
    pub fn json(&self, log: &[u8]) -> Option<(usize, usize)> {
        (self.end == self.first_end && log.get(self.message) == Some(&b'{'))
            .then_some((self.message, self.end))
    }

    /// False for errors of other languages that stand alone.
    fn is_python(&self) -> bool {
        self.traceback != Some(self.message) || self.is_traceback
    }

    /// The range of the whole message.
    pub fn whole(&self) -> TextSpan {
        TextSpan::log(self.message, self.end)
    }

    /// The columns of the step that do not come from the message.
    pub fn known(&self) -> StepDraft {
        StepDraft {
            line: self.line,
            format: Some(if self.is_python() { LogFormat::Python } else { LogFormat::Text }),
            name: self.name,
            started_us: self.started_us,
            status: self.grave.then_some(StepStatus::Error),
            ..StepDraft::default()
        }
    }

    /// The range of the message's first line if pairs may follow the message, and nothing else does.
    pub fn pairs(&self) -> Option<(usize, usize)> {
        (self.has_pairs && self.traceback.is_none()).then_some((self.message, self.first_end))
    }

    /// The record as a step.
    pub fn step(&self, writer: &mut AttributeWriter<'_>) -> StepDraft {
        let mut draft = self.known();
        self.level(writer);
        let whole = TextSpan::log(self.message, self.end);
        let has_trace = self.traceback.is_some();
        let said = self.traceback.map_or(self.end, |start| start.saturating_sub(1).max(self.message));
        let message = TextSpan::log(self.message, trimmed(writer.log, self.message, said));
        draft.kind = Some(if self.grave || has_trace { StepKind::Error } else { StepKind::Message });
        if draft.kind == Some(StepKind::Error) {
            draft.error = whole;
            draft.status = Some(StepStatus::Error);
        }
        if !self.grave && self.traceback != Some(self.message) {
            draft.output = JsonbSource::Text(message);
        }
        draft
    }

    /// Adds the level to the attributes.
    pub fn level(&self, writer: &mut AttributeWriter<'_>) {
        if self.level.is_some() {
            writer.member(own_key("level"), JsonbSource::Text(self.level));
        }
        for (key, text) in [("time", self.time), ("process", self.process)] {
            if text.is_some() {
                writer.member(own_key(key), JsonbSource::Text(text));
            }
        }
    }
}

fn trimmed(log: &[u8], start: usize, end: usize) -> usize {
    start + log[start..end].trim_ascii_end().len()
}

/// The text after the line that ends at `end`.
fn following(log: &[u8], end: usize) -> &[u8] {
    let newline = end + usize::from(log.get(end) == Some(&b'\r'));
    log.get(newline + 1..).unwrap_or_default()
}
