//! Parses logs into steps: JSON lines, logfmt, Python's `logging`, LangChain and LangGraph, OpenTelemetry.
//!
//! A log is read once, line by line, and each format takes the lines that it recognises. No line is an error: a line that no format
//! recognises is handed over as it is. Texts are slices of the log, and `jsonb` is written in its binary form.

mod attributes;
mod document;
mod fields;
mod langchain;
mod logfmt;
mod field_names;
mod otlp;
mod python;
mod step;
mod json_index;
mod json_scan;
mod jsonb_source;
mod text_span;
mod time;
mod unescape;

#[cfg(test)]
mod tests;

pub use jsonb_source::Encode;
pub use step::{LogFormat, ParsedStep, Sink, StepKind, StepStatus};

use attributes::AttributeWriter;
use document::Documents;
use field_names::FieldNames;
use json_index::JsonIndex;
use memchr::memchr;
use python::PythonRecord;
use step::{StepDraft, unknown};
use text_span::TextSpan;

/// The sink's `pause` is called each time this number of lines has been read.
const LINES_BETWEEN_PAUSES: u32 = 1024;

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

/// Reads a log in UTF-8, only in one `format` if that is given. `encode` encodes the texts in `jsonb` for a database in another
/// encoding.
pub fn parse<'c>(
    log: &'c [u8],
    format: Option<LogFormat>,
    encode: Option<Encode<'c>>,
    sink: &mut impl Sink,
) -> Counts {
    let mut counter = CountingSink { sink, counts: Counts::default() };
    let mut parser = Parser {
        format,
        writer: AttributeWriter::new(log, encode),
        names: FieldNames::new(),
        documents: Documents::new(log.len()),
        record: None,
        line: 0,
        no_json: JsonIndex::default(),
        pairs: logfmt::LogfmtLine::default(),
    };
    parser.run(&mut counter);
    Counts { lines: parser.line, ..counter.counts }
}

struct Parser<'c> {
    format: Option<LogFormat>,
    writer: AttributeWriter<'c>,
    names: FieldNames,
    documents: Documents<'c>,
    /// A record of Python's that may go on.
    record: Option<PythonRecord>,
    /// The line that is read, from 1.
    line: u32,
    no_json: JsonIndex,
    pairs: logfmt::LogfmtLine,
}

impl<'c> Parser<'c> {
    fn run(&mut self, sink: &mut impl Sink) {
        let log = self.writer.log;
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
            if self.line.is_multiple_of(LINES_BETWEEN_PAUSES) {
                sink.pause();
            }
        }
        self.finish_record(sink);
        self.documents.finish(&mut self.writer, sink);
    }

    /// Reads what begins with a line; gives where the next one begins.
    fn line(&mut self, start: usize, newline: usize, sink: &mut impl Sink) -> usize {
        let log = self.writer.log;
        let end = newline - usize::from(newline > start && log[newline - 1] == b'\r');
        let text = &log[start..end];
        let Some(first) = text.iter().position(|byte| !matches!(byte, b' ' | b'\t')) else {
            return newline + 1;
        };
        let takes_all = self.format == Some(LogFormat::Python);
        if !takes_all
            && let Some(record) = &mut self.record
            && record.take(log, start, end, false)
        {
            return newline + 1;
        }
        if matches!(text[first], b'{' | b'[') && self.format.is_none_or(is_json) {
            let found = self.documents.find(log, start + first, end);
            if let Some(after) = found {
                self.finish_record(sink);
                let known = StepDraft { line: self.line, ..StepDraft::default() };
                self.documents.emit(&mut self.writer, &self.names, self.format, known, sink);
                return memchr(b'\n', &log[after..]).map_or(log.len(), |length| after + length + 1);
            }
        }
        if self.takes(LogFormat::Python)
            && let Some(record) = PythonRecord::begin(log, start, end, self.line)
        {
            self.finish_record(sink);
            self.record = Some(record);
            return newline + 1;
        }
        if takes_all
            && let Some(record) = &mut self.record
            && record.take(log, start, end, true)
        {
            return newline + 1;
        }
        self.finish_record(sink);
        let known = StepDraft { line: self.line, ..StepDraft::default() };
        if self.takes(LogFormat::Logfmt) && self.pairs.read(&self.names, text) {
            let draft = self.pairs.step(&mut self.writer, &self.names, start, known);
            draft.emit(&mut self.writer, &self.no_json, TextSpan::log(start, end), sink);
        } else {
            unknown(&mut self.writer, self.line, TextSpan::log(start, end), sink);
        }
        newline + 1
    }

    fn takes(&self, format: LogFormat) -> bool {
        self.format.is_none_or(|only| only == format)
    }

    /// Gives the record of Python's that is open. A message that is JSON is a step of its own format.
    fn finish_record(&mut self, sink: &mut impl Sink) {
        let Some(record) = self.record.take() else { return };
        if let Some((start, end)) = record.json(self.writer.log).filter(|_| self.format.is_none())
            && self.documents.find_in_line(self.writer.log, start, end)
        {
            record.level(&mut self.writer);
            self.documents.emit(&mut self.writer, &self.names, None, record.known(), sink);
            return;
        }
        let draft = record.step(&mut self.writer);
        draft.emit(&mut self.writer, &self.no_json, record.whole(), sink);
    }
}

fn is_json(format: LogFormat) -> bool {
    matches!(format, LogFormat::Json | LogFormat::LangChain | LogFormat::Otlp)
}

/// Counts what a sink is given.
struct CountingSink<'s, S> {
    sink: &'s mut S,
    counts: Counts,
}

impl<S: Sink> Sink for CountingSink<'_, S> {
    fn step(&mut self, step: &ParsedStep<'_>) {
        self.counts.steps += 1;
        self.counts.unknown += u64::from(step.format.is_none());
        self.sink.step(step);
    }

    fn pause(&mut self) {
        self.sink.pause();
    }
}
