//! Steps found in logs: JSON lines, logfmt, Python's `logging`, LangChain and LangGraph, OpenTelemetry.
//!
//! A log is read once, line by line, and each format takes the lines that it knows. Nothing in a log is an error: what no format
//! knows is given as it is. Texts are shown where they stand in the log, and `jsonb` is written in its binary form.

mod compose;
mod document;
mod fields;
mod langchain;
mod logfmt;
mod names;
mod otlp;
mod python;
mod row;
mod tape;
mod time;

#[cfg(test)]
mod tests;

pub use compose::Encode;
pub use row::{Format, Kind, Row, Sink, Status};

use compose::{Composer, Item, Span, fixed};
use document::Documents;
use memchr::memchr;
use names::Names;
use python::Record;
use row::Draft;
use tape::Tape;

/// Lines after which the sink is asked whether to go on.
const PAUSE: u32 = 1024;

/// What was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Lines, also those that are blank or belong to another.
    pub lines: u32,
    /// Steps.
    pub steps: u64,
    /// Lines that no format knows, which are among the steps.
    pub unknown: u64,
}

/// Reads a log in UTF-8. Only one `format` where that is given. Texts in `jsonb` are encoded by `encode` where the database is
/// in another encoding.
pub fn parse<'c>(
    log: &'c [u8],
    format: Option<Format>,
    encode: Option<Encode<'c>>,
    sink: &mut impl Sink,
) -> Counts {
    let mut counter = Counter { sink, counts: Counts::default() };
    let mut parser = Parser {
        format,
        composer: Composer::new(log, encode),
        names: Names::new(),
        documents: Documents::new(log.len()),
        record: None,
        line: 0,
        none: Tape::default(),
        pairs: logfmt::Line::default(),
    };
    parser.run(&mut counter);
    Counts { lines: parser.line, ..counter.counts }
}

struct Parser<'c> {
    format: Option<Format>,
    composer: Composer<'c>,
    names: Names,
    documents: Documents<'c>,
    /// A record of Python's that may go on.
    record: Option<Record>,
    /// The line that is read, from 1.
    line: u32,
    none: Tape,
    pairs: logfmt::Line,
}

impl<'c> Parser<'c> {
    fn run(&mut self, sink: &mut impl Sink) {
        let log = self.composer.log;
        // A byte order mark is no text.
        let mut at = if log.starts_with("\u{feff}".as_bytes()) { 3 } else { 0 };
        while at < log.len() {
            self.line += 1;
            let end = memchr(b'\n', &log[at..]).map_or(log.len(), |length| at + length);
            let next = self.line(at, end, sink);
            if next > end + 1 {
                self.line += memchr::memchr_iter(b'\n', &log[end + 1..next]).count() as u32;
            }
            at = next;
            if self.line.is_multiple_of(PAUSE) {
                sink.pause();
            }
        }
        self.finish_record(sink);
        self.documents.finish(&mut self.composer, sink);
    }

    /// Reads what begins with a line; gives where the next one begins.
    fn line(&mut self, start: usize, newline: usize, sink: &mut impl Sink) -> usize {
        let log = self.composer.log;
        let end = newline - usize::from(newline > start && log[newline - 1] == b'\r');
        let text = &log[start..end];
        let Some(first) = text.iter().position(|byte| !matches!(byte, b' ' | b'\t')) else {
            return newline + 1;
        };
        let greedy = self.format == Some(Format::Python);
        if !greedy
            && let Some(record) = &mut self.record
            && record.take(log, start, end, false)
        {
            return newline + 1;
        }
        if matches!(text[first], b'{' | b'[') && self.format.is_none_or(is_json) {
            let found = self.documents.find(log, start + first, end);
            if let Some(after) = found {
                self.finish_record(sink);
                let known = Draft { line: self.line, ..Draft::default() };
                self.documents.give(&mut self.composer, &self.names, self.format, known, sink);
                return memchr(b'\n', &log[after..]).map_or(log.len(), |length| after + length + 1);
            }
        }
        if self.takes(Format::Python)
            && let Some(record) = Record::begin(log, start, end, self.line)
        {
            self.finish_record(sink);
            self.record = Some(record);
            return newline + 1;
        }
        if greedy
            && let Some(record) = &mut self.record
            && record.take(log, start, end, true)
        {
            return newline + 1;
        }
        self.finish_record(sink);
        let known = Draft { line: self.line, ..Draft::default() };
        if self.takes(Format::Logfmt) && self.pairs.read(&self.names, text) {
            let draft = self.pairs.step(&mut self.composer, &self.names, start, known);
            draft.give(&mut self.composer, &self.none, Span::log(start, end), sink);
        } else {
            unknown(&mut self.composer, self.line, Span::log(start, end), sink);
        }
        newline + 1
    }

    fn takes(&self, format: Format) -> bool {
        self.format.is_none_or(|only| only == format)
    }

    /// Gives the record of Python's that is open. A message that is JSON is a step of its own format.
    fn finish_record(&mut self, sink: &mut impl Sink) {
        let Some(record) = self.record.take() else { return };
        if let Some((start, end)) = record.json(self.composer.log).filter(|_| self.format.is_none())
            && self.documents.find_in_line(self.composer.log, start, end)
        {
            record.level(&mut self.composer);
            self.documents.give(&mut self.composer, &self.names, None, record.known(), sink);
            return;
        }
        let draft = record.step(&mut self.composer);
        draft.give(&mut self.composer, &self.none, record.whole(), sink);
    }
}

/// Gives a text that no format knows.
fn unknown(composer: &mut Composer<'_>, line: u32, raw: Span, sink: &mut impl Sink) {
    composer.clear();
    composer.member(fixed("unparsed"), Item::True);
    Draft { line, raw, ..Draft::default() }.give(composer, &Tape::default(), raw, sink);
}

fn is_json(format: Format) -> bool {
    matches!(format, Format::Json | Format::LangChain | Format::Otlp)
}

/// Counts what a sink is given.
struct Counter<'s, S> {
    sink: &'s mut S,
    counts: Counts,
}

impl<S: Sink> Sink for Counter<'_, S> {
    fn row(&mut self, row: &Row<'_>) {
        self.counts.steps += 1;
        self.counts.unknown += u64::from(row.format.is_none());
        self.sink.row(row);
    }

    fn pause(&mut self) {
        self.sink.pause();
    }
}
