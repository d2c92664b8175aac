//! Records of Python's `logging`, by whatever format string they were written: a moment, a level and a name in any of the
//! usual orders, then the message. Lines that belong to the record before, as those of a traceback, are joined to it.

use super::attributes::AttributeWriter;
use super::field_names::{Level, level};
use super::jsonb_source::JsonbSource;
use super::step::{LogFormat, StepDraft, StepKind, StepStatus};
use super::text_span::{TextSpan, own_key};
use super::time::iso;

/// Words before the message that may be levels, names or numbers of processes.
const MAX_HEAD_WORDS: usize = 6;

/// A record whose last line is not known yet.
#[derive(Debug, Clone, Copy)]
pub struct PythonRecord {
    /// Line of its beginning.
    pub line: u32,
    started_us: Option<i64>,
    level: TextSpan,
    grave: bool,
    name: TextSpan,
    /// Where the message begins.
    message: usize,
    /// Where its first line ends.
    first_end: usize,
    /// Where it ends so far.
    end: usize,
    /// Where a traceback begins.
    traceback: Option<usize>,
    /// Whether the traceback's last line, which names the exception, is still to come.
    in_traceback: bool,
}

const TRACEBACK: &[u8] = b"Traceback (most recent call last):";
const LINKS: [&[u8]; 2] = [
    b"During handling of the above exception, another exception occurred:",
    b"The above exception was the direct cause of the following exception:",
];

impl PythonRecord {
    /// The record that begins with the line from `start` to `end`.
    pub fn begin(log: &[u8], start: usize, end: usize, line: u32) -> Option<Self> {
        let text = &log[start..end];
        let first = *text.first()?;
        let head = match first {
            b'0'..=b'9' | b'[' => Head::with_moment(text),
            b'A'..=b'Z' => Head::with_level(text),
            _ => None,
        }?;
        let place = |(from, to): (usize, usize)| TextSpan::log(start + from, start + to);
        let level_span = head.level.map_or(TextSpan::NONE, place);
        let grave = head.level.is_some_and(|(from, to)| level(&text[from..to]) == Some(Level::Error));
        Some(Self {
            line,
            started_us: head.started_us,
            level: level_span,
            grave,
            name: head.name.map_or(TextSpan::NONE, place),
            message: start + head.message,
            first_end: end,
            end,
            traceback: None,
            in_traceback: false,
        })
    }

    /// Takes a line that belongs to the record; gives whether it does. Where other formats are excluded, `takes_all`, every line
    /// that begins no record belongs to the one before.
    pub fn take(&mut self, log: &[u8], start: usize, end: usize, takes_all: bool) -> bool {
        let text = &log[start..end];
        let indented = matches!(text.first(), Some(b' ' | b'\t'));
        let begins = text.starts_with(TRACEBACK);
        let links = self.traceback.is_some() && LINKS.iter().any(|link| text.starts_with(link));
        let names_exception = self.in_traceback && !indented && !begins && is_exception(text);
        if !(takes_all || indented || begins || links || names_exception) {
            return false;
        }
        if begins {
            self.traceback = self.traceback.or(Some(start));
            self.in_traceback = true;
        } else if names_exception {
            self.in_traceback = false;
        }
        self.end = end;
        true
    }

    /// The message, where it may be JSON.
    pub fn json(&self, log: &[u8]) -> Option<(usize, usize)> {
        (self.end == self.first_end && log.get(self.message) == Some(&b'{'))
            .then_some((self.message, self.end))
    }

    /// All of its message.
    pub fn whole(&self) -> TextSpan {
        TextSpan::log(self.message, self.end)
    }

    /// What is known of it without its message.
    pub fn known(&self) -> StepDraft {
        StepDraft {
            line: self.line,
            format: Some(LogFormat::Python),
            name: self.name,
            started_us: self.started_us,
            status: self.grave.then_some(StepStatus::Error),
            ..StepDraft::default()
        }
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
        if !self.grave {
            draft.output = JsonbSource::Text(message);
        }
        draft
    }

    /// Adds the level to the attributes.
    pub fn level(&self, writer: &mut AttributeWriter<'_>) {
        if self.level.is_some() {
            writer.member(own_key("level"), JsonbSource::Text(self.level));
        }
    }
}

fn trimmed(log: &[u8], start: usize, end: usize) -> usize {
    start + log[start..end].trim_ascii_end().len()
}

/// Whether a line names an exception, as a traceback's last one does: `ValueError: x`, `shop.Refused`.
fn is_exception(text: &[u8]) -> bool {
    let end = text.iter().position(|byte| *byte == b':').unwrap_or(text.len());
    let name = &text[..end];
    !name.is_empty()
        && name.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.'))
        && !name[0].is_ascii_digit()
}

/// What stands before a message, as places in the line.
#[derive(Default)]
struct Head {
    started_us: Option<i64>,
    level: Option<(usize, usize)>,
    name: Option<(usize, usize)>,
    message: usize,
}

impl Head {
    /// `2026-05-03 12:00:00,123 …`, `[2026-05-03 12:00:00,123] …`.
    fn with_moment(text: &[u8]) -> Option<Self> {
        let open = usize::from(text[0] == b'[');
        let (moment, rest) = iso(&text[open..])?;
        if !matches!(rest.first(), Some(b' ' | b']' | b':' | b'|' | b'\t') | None) {
            return None;
        }
        let mut head = Self { started_us: Some(moment), ..Self::default() };
        head.words(text, text.len() - rest.len());
        Some(head)
    }

    /// `WARNING:root:message`, `INFO:     message`, `ERROR message`, `INFO 2026-05-03 12:00:00,123 module …`.
    fn with_level(text: &[u8]) -> Option<Self> {
        let end = text.iter().position(|byte| !byte.is_ascii_uppercase())?;
        level(&text[..end])?;
        let mut head = Self { level: Some((0, end)), ..Self::default() };
        let at = blanks(text, end);
        if let Some((moment, rest)) = iso(&text[at..]) {
            head.started_us = Some(moment);
            head.words(text, text.len() - rest.len());
            return Some(head);
        }
        let after = match text[end] {
            b':' => end + 1,
            b' ' => at,
            _ => return None,
        };
        head.message = blanks(text, after);
        // logging.BASIC_FORMAT has no blank between the level, the name and the message.
        let name_end =
            text[after..].iter().position(|byte| !is_name(*byte) || *byte == b':').map(|n| after + n);
        if let Some(end) =
            name_end.filter(|end| *end > after && text[*end] == b':' && text[after - 1] == b':')
        {
            head.name = Some((after, end));
            head.message = end + 1;
        }
        Some(head)
    }

    /// Level, name and numbers after a moment, however they are set apart. The message follows the last of them.
    fn words(&mut self, text: &[u8], start: usize) {
        let begin = separators(text, start);
        let mut at = begin;
        let mut numbers = 0;
        for _ in 0..MAX_HEAD_WORDS {
            let bracket = usize::from(text.get(at) == Some(&b'['));
            let (from, to) = (at + bracket, word_end(text, at + bracket));
            if from == to || bracket == 1 && text.get(to) != Some(&b']') {
                break;
            }
            let word = &text[from..to];
            if let Some(length) = level_length(word).filter(|_| self.level.is_none()) {
                self.level = Some((from, from + length));
            } else if is_number(word) && (self.level.is_none() || numbers > 0) {
                numbers -= i32::from(numbers > 0);
            } else if word == b"in" && self.name.is_none() && self.level.is_some() {
                // Flask's format: `ERROR in module: message`.
            } else if self.name.is_none() && word.iter().all(|byte| is_name(*byte)) {
                numbers = if followed_by_numbers(&text[to..]) { 2 } else { 0 };
                if self.level.is_some() && numbers == 0 && !is_set_apart(word, &text[to..]) {
                    break;
                }
                self.name = Some((from, from + name_length(word)));
            } else {
                break;
            }
            at = separators(text, to);
            if self.level.is_some() && self.name.is_some() && numbers == 0 {
                break;
            }
        }
        self.message = at;
        if self.level.is_none() {
            // A moment and a message, whose first words are no name.
            self.name = None;
            self.message = begin;
        }
    }
}

/// A level, also celery's `INFO/MainProcess`: its length.
fn level_length(word: &[u8]) -> Option<usize> {
    let length = word.iter().position(|byte| *byte == b'/').unwrap_or(word.len());
    level(&word[..length]).map(|_| length)
}

/// Whether a word after the level is a name, which more than a blank sets apart from the message.
fn is_set_apart(word: &[u8], rest: &[u8]) -> bool {
    let has_place = word.contains(&b':') && rest.starts_with(b" - ");
    has_place || rest.starts_with(b": ") || rest.starts_with(b" | ") || rest == b":"
}

/// Django's verbose format: the module is followed by the numbers of the process and the thread.
fn followed_by_numbers(rest: &[u8]) -> bool {
    let mut words = rest.split(|byte| *byte == b' ').skip(1);
    words.next().is_some_and(is_number) && words.next().is_some_and(is_number)
}

/// Of loguru's `module:function:12` the module.
fn name_length(word: &[u8]) -> usize {
    word.iter().position(|byte| *byte == b':').unwrap_or(word.len())
}

fn blanks(text: &[u8], mut at: usize) -> usize {
    while let Some(b' ' | b'\t') = text.get(at) {
        at += 1;
    }
    at
}

fn separators(text: &[u8], mut at: usize) -> usize {
    while let Some(byte) = text.get(at) {
        let alone = matches!(byte, b' ' | b'\t' | b']' | b'|' | b':');
        let dash =
            *byte == b'-' && text.get(at.wrapping_sub(1)) == Some(&b' ') && text.get(at + 1) == Some(&b' ');
        if !alone && !dash {
            break;
        }
        at += 1;
    }
    at
}

fn word_end(text: &[u8], start: usize) -> usize {
    let mut at = start;
    while let Some(byte) = text.get(at) {
        let ends = matches!(byte, b' ' | b'\t' | b']' | b'[' | b'|')
            || *byte == b':' && matches!(text.get(at + 1), Some(b' ') | None);
        if ends {
            break;
        }
        at += 1;
    }
    at
}

fn is_number(word: &[u8]) -> bool {
    !word.is_empty() && word.iter().all(u8::is_ascii_digit)
}

fn is_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(byte, b'_' | b'.' | b'-' | b':' | b'<' | b'>' | b'/' | b'@')
        || byte >= 0x80
}
