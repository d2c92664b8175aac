//! The parts of a log line before its message: a time, a level and a name in the usual orders.

use super::field_names::level;
use super::time::clock_time;
use super::zone::Zone;

/// Maximum number of words before the message that may be levels, names or numbers of processes.
const MAX_HEAD_WORDS: usize = 6;

/// The parts before a message, as ranges of the line.
#[derive(Default)]
pub struct Head {
    pub started_us: Option<i64>,
    /// A time without a year, as written.
    pub time: Option<(usize, usize)>,
    pub level: Option<(usize, usize)>,
    pub name: Option<(usize, usize)>,
    /// The process, as vLLM writes it before the line.
    pub process: Option<(usize, usize)>,
    /// Offset of the message.
    pub message: usize,
    /// True for the format of structlog's console: pairs may follow the message.
    pub has_pairs: bool,
}

impl Head {
    /// The head of a line, if it has a time or a level.
    pub fn read(text: &[u8], zone: Zone<'_>) -> Option<Self> {
        match text.first()? {
            b'0'..=b'9' => Self::with_moment(text, 0, zone),
            b'[' => Self::with_moment(text, 1, zone).or_else(|| Self::with_bracket(text)),
            b'A'..=b'Z' => Self::with_level(text, 0, zone),
            b'(' => {
                let end = text.iter().take(MAX_PROCESS).position(|byte| *byte == b')')?;
                let mut head = Self::with_level(text, blanks(text, end + 1), zone)?;
                head.process = Some((1, end));
                Some(head)
            }
            _ => None,
        }
    }

    /// `2026-05-03 12:00:00,123 …`, `[2026-05-03 12:00:00,123] …`.
    fn with_moment(text: &[u8], open: usize, zone: Zone<'_>) -> Option<Self> {
        let (moment, rest) = clock_time(&text[open..], zone)?;
        if !matches!(rest.first(), Some(b' ' | b']' | b':' | b'|' | b'\t') | None) {
            return None;
        }
        let mut head = Self { started_us: moment, ..Self::default() };
        head.words(text, text.len() - rest.len());
        Some(head)
    }

    /// `[error    ] message` of structlog, `[ERROR] message`.
    fn with_bracket(text: &[u8]) -> Option<Self> {
        let mut head = Self::default();
        let end = head.level_in_brackets(text, 0)?;
        head.message = blanks(text, end);
        Some(head)
    }

    /// `WARNING:root:message`, `INFO:     message`, `ERROR message`, `INFO 2026-05-03 12:00:00,123 module …`.
    fn with_level(text: &[u8], start: usize, zone: Zone<'_>) -> Option<Self> {
        let end = start + text[start..].iter().position(|byte| !byte.is_ascii_uppercase())?;
        level(&text[start..end])?;
        let mut head = Self { level: Some((start, end)), ..Self::default() };
        let at = blanks(text, end);
        if let Some((moment, rest)) = clock_time(&text[at..], zone) {
            head.started_us = moment;
            head.words(text, text.len() - rest.len());
            return Some(head);
        }
        if is_yearless(&text[at..]) {
            head.time = Some((at, at + YEARLESS.len()));
            head.words(text, at + YEARLESS.len());
            return Some(head);
        }
        let after = match text[end] {
            b':' => end + 1,
            b' ' => at,
            _ => return None,
        };
        head.message = blanks(text, after);
        // logging.BASIC_FORMAT has no space between level, name and message.
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

    /// Reads a level in brackets, which structlog pads with spaces. Returns the offset after it.
    fn level_in_brackets(&mut self, text: &[u8], start: usize) -> Option<usize> {
        let from = start + usize::from(text.get(start) == Some(&b'['));
        let to = word_end(text, from);
        let close = blanks(text, to);
        level_length(&text[from..to])?;
        (from > start && text.get(close) == Some(&b']')).then_some(())?;
        self.level = Some((from, to));
        self.has_pairs = close > to || text[from].is_ascii_lowercase();
        Some(close + 1)
    }

    /// Reads level, name and numbers after the time, with any separators. The message follows the last of them.
    fn words(&mut self, text: &[u8], start: usize) {
        let begin = separators(text, start);
        let mut at = begin;
        let mut numbers = 0;
        for _ in 0..MAX_HEAD_WORDS {
            if self.level.is_none()
                && let Some(end) = self.level_in_brackets(text, at)
            {
                at = separators(text, end);
                continue;
            }
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
                // The bracket of the whole head closes after the name, as env_logger writes it.
                let closes = bracket == 0 && text[0] == b'[' && text.get(to) == Some(&b']');
                let is_place = bracket == 1 && is_place(word);
                if self.level.is_some()
                    && numbers == 0
                    && !closes
                    && !is_place
                    && !is_set_apart(word, &text[to..])
                {
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
            // A time and a message whose first words are not a name.
            self.name = None;
            self.message = begin;
        }
    }
}

/// Maximum length of the process before a line.
const MAX_PROCESS: usize = 64;

/// The form of a time without a year: `0` is a digit.
const YEARLESS: &[u8] = b"00-00 00:00:00";

fn is_yearless(text: &[u8]) -> bool {
    let fits = |(byte, form): (&u8, &u8)| if *form == b'0' { byte.is_ascii_digit() } else { byte == form };
    text.len() > YEARLESS.len() && text.iter().zip(YEARLESS).all(fits)
}

/// Length of a level, including celery's `INFO/MainProcess`.
fn level_length(word: &[u8]) -> Option<usize> {
    let length = word.iter().position(|byte| *byte == b'/').unwrap_or(word.len());
    level(&word[..length]).map(|_| length)
}

/// True if a word after the level is a name: more than a space separates it from the message.
fn is_set_apart(word: &[u8], rest: &[u8]) -> bool {
    let has_place = word.contains(&b':') && !word[0].is_ascii_digit() && rest.starts_with(b" - ");
    has_place || rest.starts_with(b": ") || rest.starts_with(b" | ") || rest == b":"
}

/// True for Django's verbose format: the module is followed by the ids of the process and the thread.
fn followed_by_numbers(rest: &[u8]) -> bool {
    let mut words = rest.split(|byte| *byte == b' ').skip(1);
    words.next().is_some_and(is_number) && words.next().is_some_and(is_number)
}

/// True for a file and a line, as vLLM writes them: `core.py:12`.
fn is_place(word: &[u8]) -> bool {
    let line = word.iter().rposition(|byte| *byte == b':').map_or(&[][..], |colon| &word[colon + 1..]);
    is_number(line)
}

/// Length of the module in loguru's `module:function:12`. Two colons are a part of the name, as in Rust's `shop::tools`.
fn name_length(word: &[u8]) -> usize {
    let is_end = |at: &usize| {
        word[*at] == b':' && word.get(at + 1) != Some(&b':') && (*at == 0 || word[at - 1] != b':')
    };
    (0..word.len()).find(is_end).unwrap_or(word.len())
}

pub fn blanks(text: &[u8], mut at: usize) -> usize {
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
