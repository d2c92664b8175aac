//! logfmt: `level=info msg="order found" order=7` (`github.com/kr/logfmt`, and what Go's loggers make of it).

use super::compose::{Composer, Span};
use super::fields::{Fields, Value};
use super::names::Names;
use super::row::{Draft, Format};
use super::tape::Tape;

/// Whether a line looks like pairs: it begins with one, and no word stands alone. One pair is enough where its name means
/// something.
pub fn is_logfmt(names: &Names, line: &[u8]) -> bool {
    let mut pairs = Pairs { line, at: 0 };
    let (mut count, mut known) = (0, false);
    while let Some(pair) = pairs.next() {
        if pair.value.is_none() || pair.is_broken {
            return false;
        }
        count += 1;
        known |= names.find(&line[pair.key.0..pair.key.1]).is_some();
    }
    count > 1 && pairs.at == line.len() || count == 1 && known
}

/// The step in a line of pairs, which begins at `start`.
pub fn step(composer: &mut Composer<'_>, names: &Names, start: usize, end: usize, known: Draft) -> Draft {
    let log = composer.log;
    let none = Tape::default();
    let mut pairs = Pairs { line: &log[start..end], at: 0 };
    let mut found: Vec<(Span, Value)> = Vec::new();
    while let Some(pair) = pairs.next() {
        let at = |(from, to): (usize, usize)| (start + from, start + to);
        let (from, to) = at(pair.key);
        let value = match pair.value.map(at) {
            None => Value::Bare(Span::log(0, 0)),
            Some((from, to)) if pair.has_escapes => Value::Quoted(composer.unescaped(from, to)),
            Some((from, to)) if pair.is_quoted => Value::Quoted(Span::log(from, to)),
            Some((from, to)) => Value::Bare(Span::log(from, to)),
        };
        found.push((Span::log(from, to), value));
    }
    let mut fields = Fields::new(composer, &none);
    for (key, value) in found {
        fields.put(names, key, value);
    }
    fields.step(Draft { format: Some(Format::Logfmt), ..known })
}

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
        let mut at = start;
        pair.is_quoted = true;
        loop {
            match self.line.get(at) {
                Some(b'"') => break,
                Some(b'\\') => {
                    pair.has_escapes = true;
                    at += 2;
                }
                Some(_) => at += 1,
                None => {
                    pair.is_broken = true;
                    at = self.line.len();
                    break;
                }
            }
        }
        pair.value = Some((start, at));
        self.at = (at + 1).min(self.line.len());
    }
}

fn is_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.' | b'/' | b'@' | b':') || byte >= 0x80
}
