//! logfmt: `level=info msg="order found" order=7` (`github.com/kr/logfmt`, and the variants of Go's loggers).

use super::attributes::AttributeWriter;
use super::field_names::FieldNames;
use super::fields::{FieldValue, Fields};
use super::json_index::JsonIndex;
use super::step::{LogFormat, StepDraft};
use super::text_span::TextSpan;
use memchr::memchr2;

/// The pairs of a line. One value is reused for many lines.
#[derive(Debug, Default)]
pub struct LogfmtLine(Vec<Pair>);

impl LogfmtLine {
    /// Reads the pairs of a line. Returns whether it looks like logfmt: it begins with a pair, and each word belongs to a
    /// pair. A single pair is enough if its name is known.
    pub fn read(&mut self, names: &FieldNames, line: &[u8]) -> bool {
        self.0.clear();
        for pair in (Pairs { line, at: 0 }) {
            let Ok(pair) = pair else { return false };
            self.0.push(pair);
        }
        match self.0.as_slice() {
            [] => false,
            [only] => names.find(&line[only.key.0..only.key.1]).is_some(),
            _ => true,
        }
    }

    /// The step in the pairs that were read; the line begins at `start`.
    pub fn step(
        &self,
        writer: &mut AttributeWriter<'_>,
        names: &FieldNames,
        start: usize,
        known: StepDraft,
    ) -> StepDraft {
        let none = JsonIndex::default();
        let mut fields = Fields::new(writer, &none);
        for pair in &self.0 {
            let at = |(from, to): (usize, usize)| TextSpan::log(start + from, start + to);
            let value = match pair.quotes {
                Quotes::None => FieldValue::Bare(at(pair.value)),
                Quotes::Plain => FieldValue::Quoted(at(pair.value)),
                Quotes::Escaped => FieldValue::Quoted(fields.unescaped(at(pair.value))),
            };
            fields.put(names, at(pair.key), value);
        }
        fields.step(StepDraft { format: Some(LogFormat::Logfmt), ..known })
    }
}

/// The ranges of key and value in the line, the value without its quotes.
#[derive(Debug)]
struct Pair {
    key: (usize, usize),
    value: (usize, usize),
    quotes: Quotes,
}

/// How a value is quoted.
#[derive(Debug, Clone, Copy)]
enum Quotes {
    None,
    Plain,
    /// In quotes, with escapes.
    Escaped,
}

/// A word without a value, an invalid key, or a quote without an end.
struct NotLogfmt;

struct Pairs<'l> {
    line: &'l [u8],
    at: usize,
}

impl Iterator for Pairs<'_> {
    type Item = Result<Pair, NotLogfmt>;

    fn next(&mut self) -> Option<Self::Item> {
        let line = self.line;
        while let Some(b' ' | b'\t') = line.get(self.at) {
            self.at += 1;
        }
        let start = self.at;
        let rest = line.get(start..).filter(|rest| !rest.is_empty())?;
        let ends = |byte: &u8| matches!(byte, b'=' | b' ' | b'\t' | b'"');
        let end = rest.iter().position(ends).map_or(line.len(), |length| start + length);
        let is_key = end > start && line[start..end].iter().all(|byte| is_name(*byte));
        if !is_key || line.get(end) != Some(&b'=') {
            return Some(Err(NotLogfmt));
        }
        let value =
            if line.get(end + 1) == Some(&b'"') { self.quoted(end + 2) } else { Ok(self.bare(end + 1)) };
        Some(value.map(|(value, quotes)| Pair { key: (start, end), value, quotes }))
    }
}

impl Pairs<'_> {
    fn bare(&mut self, start: usize) -> ((usize, usize), Quotes) {
        let blank = self.line[start..].iter().position(|byte| matches!(byte, b' ' | b'\t'));
        self.at = blank.map_or(self.line.len(), |length| start + length);
        ((start, self.at), Quotes::None)
    }

    fn quoted(&mut self, start: usize) -> Result<((usize, usize), Quotes), NotLogfmt> {
        let (mut at, mut quotes) = (start, Quotes::Plain);
        while let Some(length) = self.line.get(at..).and_then(|rest| memchr2(b'"', b'\\', rest)) {
            at += length;
            if self.line[at] == b'"' {
                self.at = at + 1;
                return Ok(((start, at), quotes));
            }
            quotes = Quotes::Escaped;
            at += 2;
        }
        Err(NotLogfmt)
    }
}

fn is_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.' | b'/' | b'@' | b':') || byte >= 0x80
}
