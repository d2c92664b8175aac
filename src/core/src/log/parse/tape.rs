//! JSON found, and nothing made of it: where each value begins and ends.
//!
//! A line of a log is read for a few of its fields, and the rest is written into `jsonb` straight from the line's own bytes.
//! So the scanner copies nothing, and allocates nothing once the tape has grown to the longest document.

/// Brackets that may be open at once. Deeper documents are not understood; `jsonb` itself is read recursively.
const MOST_DEPTH: usize = 100;

/// What a value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sort {
    /// Keys and values follow, one after the other.
    Object,
    /// Elements follow.
    Array,
    /// What is between the quotes is the text.
    Plain,
    /// What is between the quotes has escapes.
    Escaped,
    /// As JSON writes numbers.
    Number,
    /// `true`.
    True,
    /// `false`.
    False,
    /// `null`.
    Null,
}

/// A value of a document.
#[derive(Debug, Clone, Copy)]
pub struct Node {
    /// What it is.
    pub sort: Sort,
    /// Its first byte; of a string, the first after the quote.
    pub start: u32,
    /// The byte after its last one; of a string, its closing quote.
    pub end: u32,
    /// The node after all that is in it.
    pub next: u32,
}

/// The values of one document, each before what is in it.
#[derive(Debug, Default, Clone)]
pub struct Tape(Vec<Node>);

/// Why bytes are no JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// They may be the beginning of a document.
    Truncated,
    /// They cannot be.
    Malformed,
}

impl Tape {
    /// Reads the document at `start`; gives the place after it. Line breaks are white space between values, and end a
    /// document that has one in a string. Python's `NaN` and `Infinity` are texts. Duplicate keys are kept.
    pub fn read(&mut self, bytes: &[u8], start: usize) -> Result<usize, Fault> {
        self.0.clear();
        let mut open = [0u32; MOST_DEPTH];
        let mut depth = 0;
        let mut at = start;
        loop {
            at = skip_blank(bytes, at);
            let first = *bytes.get(at).ok_or(Fault::Truncated)?;
            let bracket = first == b'{' || first == b'[';
            if bracket {
                if depth == MOST_DEPTH {
                    return Err(Fault::Malformed);
                }
                open[depth] = self.0.len() as u32;
                depth += 1;
                let sort = if first == b'{' { Sort::Object } else { Sort::Array };
                self.0.push(Node { sort, start: at as u32, end: 0, next: 0 });
                at = skip_blank(bytes, at + 1);
                let closing = if first == b'{' { b'}' } else { b']' };
                if bytes.get(at) != Some(&closing) {
                    if first == b'{' {
                        at = self.key(bytes, at)?;
                    }
                    continue;
                }
            } else {
                at = self.scalar(bytes, at, first)?;
            }
            // A value has ended, or an empty bracket stands at its end: close what ends here.
            loop {
                if depth == 0 {
                    return Ok(at);
                }
                at = skip_blank(bytes, at);
                let holder = open[depth - 1] as usize;
                let is_object = self.0[holder].sort == Sort::Object;
                match *bytes.get(at).ok_or(Fault::Truncated)? {
                    b',' if self.0.len() > holder + 1 => {
                        at += 1;
                        if is_object {
                            at = self.key(bytes, skip_blank(bytes, at))?;
                        }
                        break;
                    }
                    byte if byte == if is_object { b'}' } else { b']' } => {
                        at += 1;
                        self.0[holder].end = at as u32;
                        self.0[holder].next = self.0.len() as u32;
                        depth -= 1;
                    }
                    _ => return Err(Fault::Malformed),
                }
            }
        }
    }

    /// The value at a place of the tape.
    pub fn node(&self, index: u32) -> Node {
        self.0[index as usize]
    }

    /// The keys and values of an object, as places of the tape. None where it is none.
    pub fn members(&self, object: u32) -> Members<'_> {
        let node = self.node(object);
        let end = if node.sort == Sort::Object { node.next } else { 0 };
        Members { tape: self, at: object + 1, end }
    }

    /// The elements of an array, as places of the tape. None where it is none.
    pub fn elements(&self, array: u32) -> Elements<'_> {
        let node = self.node(array);
        let end = if node.sort == Sort::Array { node.next } else { 0 };
        Elements { tape: self, at: array + 1, end }
    }

    /// The value of a key that is written without escapes; the last of several.
    pub fn get(&self, bytes: &[u8], object: u32, key: &[u8]) -> Option<u32> {
        let found = self.members(object).filter(|(name, _)| self.source(bytes, *name) == key);
        found.last().map(|(_, value)| value)
    }

    /// The bytes of a value as the document has them, without the quotes of a string.
    pub fn source<'b>(&self, bytes: &'b [u8], index: u32) -> &'b [u8] {
        let node = self.node(index);
        &bytes[node.start as usize..node.end as usize]
    }

    /// How far a document was read that is none.
    pub fn reach(&self) -> usize {
        self.0.last().map_or(0, |node| node.start.max(node.end) as usize)
    }

    fn key(&mut self, bytes: &[u8], at: usize) -> Result<usize, Fault> {
        match bytes.get(at) {
            Some(b'"') => {}
            Some(_) => return Err(Fault::Malformed),
            None => return Err(Fault::Truncated),
        }
        let at = skip_blank(bytes, self.string(bytes, at + 1)?);
        match bytes.get(at) {
            Some(b':') => Ok(at + 1),
            Some(_) => Err(Fault::Malformed),
            None => Err(Fault::Truncated),
        }
    }

    #[inline]
    fn scalar(&mut self, bytes: &[u8], at: usize, first: u8) -> Result<usize, Fault> {
        match first {
            b'"' => self.string(bytes, at + 1),
            b'-' if bytes.get(at + 1) == Some(&b'I') => self.word(bytes, at, b"-Infinity", Sort::Plain),
            b'-' | b'0'..=b'9' => {
                let end = number(bytes, at)?;
                self.push(Sort::Number, at, end);
                Ok(end)
            }
            b't' => self.word(bytes, at, b"true", Sort::True),
            b'f' => self.word(bytes, at, b"false", Sort::False),
            b'n' => self.word(bytes, at, b"null", Sort::Null),
            b'N' => self.word(bytes, at, b"NaN", Sort::Plain),
            b'I' => self.word(bytes, at, b"Infinity", Sort::Plain),
            _ => Err(Fault::Malformed),
        }
    }

    fn word(&mut self, bytes: &[u8], at: usize, word: &[u8], sort: Sort) -> Result<usize, Fault> {
        let rest = &bytes[at..];
        if rest.starts_with(word) {
            self.push(sort, at, at + word.len());
            return Ok(at + word.len());
        }
        Err(if word.starts_with(rest) { Fault::Truncated } else { Fault::Malformed })
    }

    /// A string from after its opening quote; gives the place after the closing one.
    #[inline]
    fn string(&mut self, bytes: &[u8], start: usize) -> Result<usize, Fault> {
        let mut at = start;
        let mut sort = Sort::Plain;
        loop {
            at = special(bytes, at);
            match bytes.get(at) {
                Some(b'"') => {
                    self.push(sort, start, at);
                    return Ok(at + 1);
                }
                Some(b'\\') => {
                    sort = Sort::Escaped;
                    at += 2;
                }
                Some(b'\n') => return Err(Fault::Malformed),
                Some(_) => at += 1,
                None => return Err(Fault::Truncated),
            }
        }
    }

    #[inline]
    fn push(&mut self, sort: Sort, start: usize, end: usize) {
        let next = self.0.len() as u32 + 1;
        self.0.push(Node { sort, start: start as u32, end: end as u32, next });
    }
}

/// Keys and values of an object.
#[derive(Debug)]
pub struct Members<'t> {
    tape: &'t Tape,
    at: u32,
    end: u32,
}

impl Iterator for Members<'_> {
    type Item = (u32, u32);

    fn next(&mut self) -> Option<(u32, u32)> {
        (self.at < self.end).then(|| {
            let key = self.at;
            self.at = self.tape.node(key + 1).next;
            (key, key + 1)
        })
    }
}

/// Elements of an array.
#[derive(Debug, Clone)]
pub struct Elements<'t> {
    tape: &'t Tape,
    at: u32,
    end: u32,
}

impl Iterator for Elements<'_> {
    type Item = u32;

    fn next(&mut self) -> Option<u32> {
        (self.at < self.end).then(|| {
            let element = self.at;
            self.at = self.tape.node(element).next;
            element
        })
    }
}

#[inline]
fn skip_blank(bytes: &[u8], mut at: usize) -> usize {
    while let Some(b' ' | b'\n' | b'\r' | b'\t') = bytes.get(at) {
        at += 1;
    }
    at
}

/// The place of the next quote, backslash or control character, or the end.
#[inline]
fn special(bytes: &[u8], mut at: usize) -> usize {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGHS: u64 = 0x8080_8080_8080_8080;
    // Eight bytes at once: in a difference that borrows, the lowest high bit is that of the first byte looked for
    // (Anderson, "Bit Twiddling Hacks", determine if a word has a zero byte).
    while let Some(eight) = bytes.get(at..).and_then(<[u8]>::first_chunk::<8>) {
        let word = u64::from_le_bytes(*eight);
        let quote = word ^ (ONES * u64::from(b'"'));
        let backslash = word ^ (ONES * u64::from(b'\\'));
        let found = (quote.wrapping_sub(ONES) & !quote)
            | (backslash.wrapping_sub(ONES) & !backslash)
            | (word.wrapping_sub(ONES * 0x20) & !word);
        if found & HIGHS != 0 {
            return at + ((found & HIGHS).trailing_zeros() / 8) as usize;
        }
        at += 8;
    }
    while let Some(byte) = bytes.get(at) {
        if matches!(byte, b'"' | b'\\' | 0..0x20) {
            return at;
        }
        at += 1;
    }
    bytes.len()
}

/// The end of a number (RFC 8259, section 6).
#[inline]
fn number(bytes: &[u8], start: usize) -> Result<usize, Fault> {
    let mut at = start + usize::from(bytes[start] == b'-');
    let whole = digits(bytes, at)?;
    if bytes[at] == b'0' && whole > at + 1 {
        return Err(Fault::Malformed);
    }
    at = whole;
    if bytes.get(at) == Some(&b'.') {
        at = digits(bytes, at + 1)?;
    }
    if let Some(b'e' | b'E') = bytes.get(at) {
        at += 1 + usize::from(matches!(bytes.get(at + 1), Some(b'+' | b'-')));
        at = digits(bytes, at)?;
    }
    Ok(at)
}

/// The place after at least one digit.
#[inline]
fn digits(bytes: &[u8], start: usize) -> Result<usize, Fault> {
    let mut at = start;
    while let Some(b'0'..=b'9') = bytes.get(at) {
        at += 1;
    }
    match at > start {
        true => Ok(at),
        false if at == bytes.len() => Err(Fault::Truncated),
        false => Err(Fault::Malformed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(json: &str, expect: Result<&[Sort], Fault>) {
        let mut tape = Tape::default();
        let outcome = tape.read(json.as_bytes(), 0);
        let sorts: Vec<Sort> = tape.0.iter().map(|node| node.sort).collect();
        assert_eq!(outcome.map(|_| sorts.as_slice()), expect, "{json}");
        if let Ok(end) = outcome {
            assert_eq!(end, json.len(), "{json}");
            assert_eq!(tape.node(0).next as usize, sorts.len(), "{json}");
        }
    }

    #[test]
    fn values_are_found() {
        use Sort::{Array, Escaped, False, Null, Number, Object, Plain, True};
        check(
            r#"{"a": 1, "b": [true, false, null]}"#,
            Ok(&[Object, Plain, Number, Plain, Array, True, False, Null]),
        );
        check(r#""caf\u00e9 \"x\"""#, Ok(&[Escaped]));
        check("[ ]", Ok(&[Array]));
        check("[[],{},\"\"]", Ok(&[Array, Array, Object, Plain]));
        check("-0.5e+10", Ok(&[Number]));
        check("[NaN, -Infinity]", Ok(&[Array, Plain, Plain]));
        check("{\r\n  \"a\" :\t1\n}", Ok(&[Object, Plain, Number]));
    }

    #[test]
    fn what_may_go_on_is_told_from_what_cannot() {
        for json in
            ["", "{", "[1", "[1,", "{\"a", "{\"a\"", "{\"a\":", "{\"a\":1", "tr", "-", "1.", "2e", "\"a\\"]
        {
            check(json, Err(Fault::Truncated));
        }
        for json in [
            "}",
            "[1}",
            "{1:2}",
            "{\"a\",1}",
            "[1 2]",
            "truu",
            "01",
            "1.x",
            "[,1]",
            "[1,]",
            "{,}",
            "\"a\nb\"",
        ] {
            check(json, Err(Fault::Malformed));
        }
    }

    #[test]
    fn documents_that_are_too_deep_are_malformed() {
        check(&"[".repeat(MOST_DEPTH + 1), Err(Fault::Malformed));
        let deep = "[".repeat(MOST_DEPTH) + &"]".repeat(MOST_DEPTH);
        check(&deep, Ok(&[Sort::Array; MOST_DEPTH]));
    }

    #[test]
    fn members_and_elements_skip_what_is_in_them() {
        let json = br#"{"a": {"x": [1, 2]}, "b": [3, [4], 5], "a": 6}"#;
        let mut tape = Tape::default();
        tape.read(json, 0).expect("valid JSON");
        let keys: Vec<&[u8]> = tape.members(0).map(|(key, _)| tape.source(json, key)).collect();
        assert_eq!(keys, [b"a", b"b", b"a"]);
        let list = tape.get(json, 0, b"b").expect("a member");
        let values: Vec<&[u8]> = tape.elements(list).map(|value| tape.source(json, value)).collect();
        assert_eq!(values, [b"3".as_slice(), b"[4]", b"5"]);
        assert_eq!(tape.get(json, 0, b"a").map(|value| tape.source(json, value)), Some(b"6".as_slice()));
    }
}
