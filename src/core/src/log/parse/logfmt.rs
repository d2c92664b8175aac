//! logfmt: `level=info msg="order found" order=7` (`github.com/kr/logfmt`, and what Go's loggers make of it).

use super::compose::{Composer, Span};
use super::fields::{Fields, Value};
use super::names::Names;
use super::row::{Draft, Format};
use super::tape::Tape;
use memchr::memchr2;

/// The pairs of a line. One value serves for many lines.
#[derive(Debug, Default)]
pub struct Line(Vec<Pair>);

impl Line {
    /// Reads the pairs of a line; gives whether it looks like logfmt: it begins with a pair, and no word stands alone. One pair
    /// is enough where its name means something.
    pub fn read(&mut self, names: &Names, line: &[u8]) -> bool {
        self.0.clear();
        let mut pairs = Pairs { line, at: 0 };
        while let Some(pair) = pairs.next() {
            if pair.value.is_none() || pair.is_broken {
                return false;
            }
            self.0.push(pair);
        }
        match self.0.as_slice() {
            [] => false,
            [only] => names.find(&line[only.key.0..only.key.1]).is_some(),
            _ => pairs.at == line.len(),
        }
    }

    /// The step in the pairs that were read, of a line that begins at `start`.
    pub fn step(&self, composer: &mut Composer<'_>, names: &Names, start: usize, known: Draft) -> Draft {
        let none = Tape::default();
        let mut fields = Fields::new(composer, &none);
        for pair in &self.0 {
            let at = |(from, to): (usize, usize)| Span::log(start + from, start + to);
            let value = match pair.value.map(at) {
                None => continue,
                Some(text) if pair.has_escapes => Value::Quoted(fields.unescaped(text)),
                Some(text) if pair.is_quoted => Value::Quoted(text),
                Some(text) => Value::Bare(text),
            };
            fields.put(names, at(pair.key), value);
        }
        fields.step(Draft { format: Some(Format::Logfmt), ..known })
    }
}

#[derive(Debug)]
struct Pair {
    key: (usize, usize),
    value: Option<(usize, usize)>,
    is_quoted: bool,
    has_escapes: bool,
    /// A quote has no end, or the key is none.
    is_broken: bool,
}

struct Pairs<'l> {
    line: &'l [u8],
    at: usize,
}

impl Pairs<'_> {
    fn next(&mut self) -> Option<Pair> {
        let line = self.line;
        while let Some(b' ' | b'\t') = line.get(self.at) {
            self.at += 1;
        }
        let start = self.at;
        let mut at = start;
        while line.get(at).is_some_and(|byte| !matches!(byte, b'=' | b' ' | b'\t' | b'"')) {
            at += 1;
        }
        if at == start && at == line.len() {
            return None;
        }
        let mut pair = Pair {
            key: (start, at),
            value: None,
            is_quoted: false,
            has_escapes: false,
            is_broken: at == start,
        };
        if line.get(at) != Some(&b'=') {
            // A word alone, or a quote in the middle of a key.
            self.at = (at + 1).min(line.len());
            pair.is_broken |= line.get(at) == Some(&b'"');
            return Some(pair);
        }
        pair.is_broken |= !line[start..at].iter().all(|byte| is_name(*byte));
        at += 1;
        if line.get(at) == Some(&b'"') {
            self.quoted(at + 1, &mut pair);
        } else {
            let end = line[at..]
                .iter()
                .position(|byte| matches!(byte, b' ' | b'\t'))
                .map_or(line.len(), |n| at + n);
            pair.value = Some((at, end));
            self.at = end;
        }
        Some(pair)
    }

    fn quoted(&mut self, start: usize, pair: &mut Pair) {
        pair.is_quoted = true;
        let mut at = start;
        while let Some(length) = self.line.get(at..).and_then(|rest| memchr2(b'"', b'\\', rest)) {
            at += length;
            if self.line[at] == b'"' {
                pair.value = Some((start, at));
                self.at = at + 1;
                return;
            }
            pair.has_escapes = true;
            at += 2;
        }
        pair.is_broken = true;
        pair.value = Some((start, self.line.len()));
        self.at = self.line.len();
    }
}

fn is_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.' | b'/' | b'@' | b':') || byte >= 0x80
}
