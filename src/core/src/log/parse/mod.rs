//! Parses logs into steps: JSON lines, logfmt, Python's `logging`, LangChain and LangGraph, OpenTelemetry, lines of servers.
//!
//! A log is read once, line by line, and each format takes the lines that it recognises. No line is an error: a line that
//! no format recognises becomes a step unchanged. Texts are slices of the log, and `jsonb` is written in its binary format.

mod attributes;
mod colours;
mod console_pairs;
mod document;
mod envelope;
mod field_map;
mod field_place;
mod fields;
mod langchain;
mod logfmt;
mod field_names;
mod head;
mod otlp;
mod otlp_columns;
mod otlp_logs;
mod plain;
mod python;
mod stack;
mod step;
mod json_index;
mod json_scan;
mod jsonb_source;
mod text_span;
mod time;
mod unescape;
mod zone;

#[cfg(test)]
mod tests;
#[cfg(test)]
mod people_tests;

pub use field_map::{FieldMap, FieldMapError, words as field_words};
pub use jsonb_source::Encode;
pub use step::{LogFormat, ParsedStep, Sink, StepKind, StepStatus};
pub use zone::{LocalClock, Zone};

use attributes::AttributeWriter;
use document::Documents;
use envelope::OpenedSink;
use field_names::FieldNames;
use json_index::JsonIndex;
use memchr::memchr;
use plain::PlainLine;
use python::PythonRecord;
use step::{StepDraft, unknown};
use text_span::TextSpan;

/// The sink's `pause` is called each time after this number of lines.
const LINES_BETWEEN_PAUSES: u32 = 1024;

/// The counts of a parsed log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Number of lines, including blank ones and continuation lines.
    pub lines: u32,
    /// Number of steps.
    pub steps: u64,
    /// Number of lines that no format recognised; they are counted as steps as well.
    pub unknown: u64,
}

/// How a log is parsed.
#[derive(Clone, Default)]
pub struct ParseOptions<'c> {
    /// The only format; `None` stands for detection in each line.
    pub format: Option<LogFormat>,
    /// Converts the texts in `jsonb` for a database in another encoding.
    pub encode: Option<Encode<'c>>,
    /// The zone of times that have none.
    pub zone: Zone<'c>,
    /// Columns and units of fields.
    pub fields: FieldMap,
}

/// Parses a log in UTF-8.
pub fn parse(log: &[u8], options: ParseOptions<'_>, sink: &mut impl Sink) -> Counts {
    let log = &*colours::without_colours(log);
    let mut counter = CountingSink { sink, counts: Counts::default() };
    let mut parser = Parser::new(log, options.clone());
    let envelope = parser.run(&mut counter);
    let mut lines = parser.line;
    if let Some(at) = envelope {
        lines +=
            memchr::memchr_iter(b'\n', log[at..].strip_suffix(b"\n").unwrap_or(&log[at..])).count() as u32;
        let mut opened = envelope::open(&log[at..], parser.line, options.zone);
        opened.text = colours::without_colours(&std::mem::take(&mut opened.text)).into_owned();
        let mut sink = OpenedSink::new(&opened, options.encode, &mut counter);
        let mut inner = Parser::new(&opened.text, options.clone());
        inner.is_opened = true;
        inner.run(&mut sink);
    }
    Counts { lines, ..counter.counts }
}

struct Parser<'c> {
    format: Option<LogFormat>,
    writer: AttributeWriter<'c>,
    names: FieldNames,
    documents: Documents<'c>,
    /// A record of Python's `logging` that may continue.
    record: Option<PythonRecord>,
    /// Number of the current line, from 1.
    line: u32,
    no_json: JsonIndex,
    pairs: logfmt::LogfmtLine,
    /// True within envelopes, which are not opened again.
    is_opened: bool,
    /// Offset of the first line in an envelope.
    envelope: Option<usize>,
}

impl<'c> Parser<'c> {
    fn new(log: &'c [u8], options: ParseOptions<'c>) -> Self {
        Self {
            format: options.format,
            writer: AttributeWriter::new(log, options.encode, options.zone),
            names: FieldNames::new(options.fields),
            documents: Documents::new(log.len()),
            record: None,
            line: 0,
            no_json: JsonIndex::default(),
            pairs: logfmt::LogfmtLine::default(),
            is_opened: false,
            envelope: None,
        }
    }

    /// Passes the steps to the sink. Stops before the first line in an envelope, and returns its offset.
    fn run(&mut self, sink: &mut impl Sink) -> Option<usize> {
        let log = self.writer.log;
        // A byte order mark is not text.
        let mut at = if log.starts_with("\u{feff}".as_bytes()) { 3 } else { 0 };
        while at < log.len() {
            self.line += 1;
            let end = memchr(b'\n', &log[at..]).map_or(log.len(), |length| at + length);
            let next = self.line(at, end, sink);
            if self.envelope.is_some() {
                break;
            }
            if next > end + 1 {
                self.line += memchr::memchr_iter(b'\n', &log[end + 1..next]).count() as u32;
            }
            at = next;
            if self.line.is_multiple_of(LINES_BETWEEN_PAUSES) {
                sink.pause();
            }
        }
        self.finish_record(sink);
        self.documents.finish(&mut self.writer, &self.names, sink);
        self.envelope
    }

    /// True if a line is in an envelope, which is noted: the rest of the log is opened.
    fn opens(&mut self, start: usize, is_envelope: impl FnOnce() -> bool) -> bool {
        if self.format.is_none() && !self.is_opened && is_envelope() {
            self.envelope = Some(start);
        }
        self.envelope.is_some()
    }

    /// Reads what begins with this line. Returns the offset of the next line.
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
                self.documents.reports_envelopes = self.format.is_none() && !self.is_opened;
                self.documents.emit(&mut self.writer, &self.names, self.format, known, sink);
                self.documents.reports_envelopes = false;
                if self.documents.is_envelope {
                    self.envelope = Some(start);
                    return newline + 1;
                }
                return memchr(b'\n', &log[after..]).map_or(log.len(), |length| after + length + 1);
            }
        }
        if self.takes(LogFormat::Python)
            && let Some(record) = PythonRecord::begin(log, start, end, self.line, self.writer.zone)
        {
            self.begin(record, start, end, sink);
            return newline + 1;
        }
        if takes_all
            && let Some(record) = &mut self.record
            && record.take(log, start, end, true)
        {
            return newline + 1;
        }
        self.finish_record(sink);
        self.record = PythonRecord::alone(log, start, end, self.line);
        if self.record.is_some() {
            return newline + 1;
        }
        let known = StepDraft { line: self.line, ..StepDraft::default() };
        if self.takes(LogFormat::Logfmt) && self.pairs.read(&self.names, text) {
            let draft = self.pairs.step(&mut self.writer, &self.names, start, known);
            draft.emit(&mut self.writer, &self.no_json, TextSpan::log(start, end), sink);
            return newline + 1;
        }
        let is_plain = self.takes(LogFormat::Text) && self.plain(start, end, sink);
        let following = || log.get(newline + 1..).unwrap_or_default();
        if !is_plain && !self.opens(start, || envelope::is_prefixed(text, following())) {
            unknown(&mut self.writer, self.line, TextSpan::log(start, end), sink);
        }
        newline + 1
    }

    /// Keeps a record of Python's logging, which the next lines may continue, unless its line is one of another format.
    fn begin(&mut self, record: PythonRecord, start: usize, end: usize, sink: &mut impl Sink) {
        let log = self.writer.log;
        if record.has_prefix(log) && self.opens(start, || envelope::is_prefixed(&log[start..end], &[])) {
            return;
        }
        if record.is_request(log) && self.takes(LogFormat::Text) && self.plain(start, end, sink) {
            return;
        }
        self.finish_record(sink);
        self.record = Some(record);
    }

    /// Reads a line of a server, and returns whether it is one.
    fn plain(&mut self, start: usize, end: usize, sink: &mut impl Sink) -> bool {
        let Some(line) = PlainLine::read(&self.writer.log[start..end], self.writer.zone) else {
            return false;
        };
        self.finish_record(sink);
        let known = StepDraft { line: self.line, ..StepDraft::default() };
        let draft = line.step(&mut self.writer, start, known);
        draft.emit(&mut self.writer, &self.no_json, TextSpan::log(start, end), sink);
        true
    }

    fn takes(&self, format: LogFormat) -> bool {
        self.format.is_none_or(|only| only == format)
    }

    /// Passes the open Python record to the sink. A message that is JSON is parsed as a step in its own format.
    fn finish_record(&mut self, sink: &mut impl Sink) {
        let Some(record) = self.record.take() else { return };
        if let Some((start, end)) = record.json(self.writer.log).filter(|_| self.format.is_none())
            && self.documents.find_in_line(self.writer.log, start, end)
        {
            record.level(&mut self.writer);
            self.documents.emit(&mut self.writer, &self.names, None, record.known(), sink);
            return;
        }
        let draft = match record.pairs() {
            Some(said) => {
                record.level(&mut self.writer);
                console_pairs::step(&mut self.writer, &self.names, said, record.known())
            }
            None => record.step(&mut self.writer),
        };
        draft.emit(&mut self.writer, &self.no_json, record.whole(), sink);
    }
}

fn is_json(format: LogFormat) -> bool {
    matches!(format, LogFormat::Json | LogFormat::LangChain | LogFormat::Otlp)
}

/// Counts the steps that are passed to a sink.
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
