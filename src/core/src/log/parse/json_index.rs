//! An index of a JSON document: where each value begins and ends. The values themselves stay in the document.
//!
//! The parser reads a few fields of a log line, and writes the rest into `jsonb` directly from the bytes of the line. The
//! index therefore copies nothing, and allocates nothing once it has grown to the longest document.

use super::json_scan::{JsonError, number, skip_blank, special};

/// Maximum nesting depth. Deeper documents are refused, since PostgreSQL reads `jsonb` recursively.
const MAX_DEPTH: usize = 100;

/// The kind of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NodeKind {
    /// An object; its keys and values follow alternately.
    Object,
    /// An array; its elements follow.
    Array,
    /// A string without escapes.
    Plain,
    /// A string with escapes.
    Escaped,
    /// A number.
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
    /// The kind of value.
    pub kind: NodeKind,
    /// Its first byte; of a string, the first after the quote.
    pub start: u32,
    /// The byte after its last one; of a string, its closing quote.
    pub end: u32,
    /// The node after this value and everything in it.
    pub next: u32,
}

/// The values of one document in its order: a container precedes its content. A node is the index of a value in this list.
#[derive(Debug, Default, Clone)]
pub struct JsonIndex(Vec<Node>);

impl JsonIndex {
    /// Reads the document at `start`, and returns the offset after it. Line breaks are white space between values; a line
    /// break in a string ends the document. Python's `NaN` and `Infinity` become texts. Duplicate keys are kept.
    pub fn read(&mut self, bytes: &[u8], start: usize) -> Result<usize, JsonError> {
        self.0.clear();
        let mut open = [0u32; MAX_DEPTH];
        let mut depth = 0;
        let mut at = start;
        loop {
            at = skip_blank(bytes, at);
            let first = *bytes.get(at).ok_or(JsonError::Truncated)?;
            let bracket = first == b'{' || first == b'[';
            if bracket {
                if depth == MAX_DEPTH {
                    return Err(JsonError::Malformed);
                }
                open[depth] = self.0.len() as u32;
                depth += 1;
                let kind = if first == b'{' { NodeKind::Object } else { NodeKind::Array };
                self.0.push(Node { kind, start: at as u32, end: 0, next: 0 });
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
            // A value has ended, or an empty bracket is at its end: close everything that ends here.
            loop {
                if depth == 0 {
                    return Ok(at);
                }
                at = skip_blank(bytes, at);
                let holder = open[depth - 1] as usize;
                let is_object = self.0[holder].kind == NodeKind::Object;
                match *bytes.get(at).ok_or(JsonError::Truncated)? {
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
                    _ => return Err(JsonError::Malformed),
                }
            }
        }
    }

    /// The value of a node.
    pub fn node(&self, index: u32) -> Node {
        self.0[index as usize]
    }

    /// The keys and values of an object, as nodes; empty if the value is not an object.
    pub fn members(&self, object: u32) -> Members<'_> {
        let node = self.node(object);
        let end = if node.kind == NodeKind::Object { node.next } else { 0 };
        Members { index: self, at: object + 1, end }
    }

    /// The elements of an array, as nodes; empty if the value is not an array.
    pub fn elements(&self, array: u32) -> Elements<'_> {
        let node = self.node(array);
        let end = if node.kind == NodeKind::Array { node.next } else { 0 };
        Elements { index: self, at: array + 1, end }
    }

    /// The value of a key that is written without escapes. Of duplicate keys the last one counts.
    pub fn get(&self, bytes: &[u8], object: u32, key: &[u8]) -> Option<u32> {
        let found = self.members(object).filter(|(name, _)| self.source(bytes, *name) == key);
        found.last().map(|(_, value)| value)
    }

    /// The bytes of a value in the document, without the quotes of a string.
    pub fn source<'b>(&self, bytes: &'b [u8], index: u32) -> &'b [u8] {
        let node = self.node(index);
        &bytes[node.start as usize..node.end as usize]
    }

    /// How far the last document was read, if it turned out to be malformed or truncated.
    pub fn reach(&self) -> usize {
        self.0.last().map_or(0, |node| node.start.max(node.end) as usize)
    }

    fn key(&mut self, bytes: &[u8], at: usize) -> Result<usize, JsonError> {
        match bytes.get(at) {
            Some(b'"') => {}
            Some(_) => return Err(JsonError::Malformed),
            None => return Err(JsonError::Truncated),
        }
        let at = skip_blank(bytes, self.string(bytes, at + 1)?);
        match bytes.get(at) {
            Some(b':') => Ok(at + 1),
            Some(_) => Err(JsonError::Malformed),
            None => Err(JsonError::Truncated),
        }
    }

    #[inline]
    fn scalar(&mut self, bytes: &[u8], at: usize, first: u8) -> Result<usize, JsonError> {
        match first {
            b'"' => self.string(bytes, at + 1),
            b'-' if bytes.get(at + 1) == Some(&b'I') => self.word(bytes, at, b"-Infinity", NodeKind::Plain),
            b'-' | b'0'..=b'9' => {
                let end = number(bytes, at)?;
                self.push(NodeKind::Number, at, end);
                Ok(end)
            }
            b't' => self.word(bytes, at, b"true", NodeKind::True),
            b'f' => self.word(bytes, at, b"false", NodeKind::False),
            b'n' => self.word(bytes, at, b"null", NodeKind::Null),
            b'N' => self.word(bytes, at, b"NaN", NodeKind::Plain),
            b'I' => self.word(bytes, at, b"Infinity", NodeKind::Plain),
            _ => Err(JsonError::Malformed),
        }
    }

    fn word(&mut self, bytes: &[u8], at: usize, word: &[u8], kind: NodeKind) -> Result<usize, JsonError> {
        let rest = &bytes[at..];
        if rest.starts_with(word) {
            self.push(kind, at, at + word.len());
            return Ok(at + word.len());
        }
        Err(if word.starts_with(rest) { JsonError::Truncated } else { JsonError::Malformed })
    }

    /// Reads a string after its opening quote. Returns the offset after the closing quote.
    #[inline]
    fn string(&mut self, bytes: &[u8], start: usize) -> Result<usize, JsonError> {
        let mut at = start;
        let mut kind = NodeKind::Plain;
        loop {
            at = special(bytes, at);
            match bytes.get(at) {
                Some(b'"') => {
                    self.push(kind, start, at);
                    return Ok(at + 1);
                }
                Some(b'\\') => {
                    kind = NodeKind::Escaped;
                    at += 2;
                }
                Some(b'\n') => return Err(JsonError::Malformed),
                Some(_) => at += 1,
                None => return Err(JsonError::Truncated),
            }
        }
    }

    #[inline]
    fn push(&mut self, kind: NodeKind, start: usize, end: usize) {
        let next = self.0.len() as u32 + 1;
        self.0.push(Node { kind, start: start as u32, end: end as u32, next });
    }
}

/// Keys and values of an object.
#[derive(Debug)]
pub struct Members<'t> {
    index: &'t JsonIndex,
    at: u32,
    end: u32,
}

impl Iterator for Members<'_> {
    type Item = (u32, u32);

    fn next(&mut self) -> Option<(u32, u32)> {
        (self.at < self.end).then(|| {
            let key = self.at;
            self.at = self.index.node(key + 1).next;
            (key, key + 1)
        })
    }
}

/// Elements of an array.
#[derive(Debug, Clone)]
pub struct Elements<'t> {
    index: &'t JsonIndex,
    at: u32,
    end: u32,
}

impl Iterator for Elements<'_> {
    type Item = u32;

    fn next(&mut self) -> Option<u32> {
        (self.at < self.end).then(|| {
            let element = self.at;
            self.at = self.index.node(element).next;
            element
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(json: &str, expect: Result<&[NodeKind], JsonError>) {
        let mut index = JsonIndex::default();
        let outcome = index.read(json.as_bytes(), 0);
        let kinds: Vec<NodeKind> = index.0.iter().map(|node| node.kind).collect();
        assert_eq!(outcome.map(|_| kinds.as_slice()), expect, "{json}");
        if let Ok(end) = outcome {
            assert_eq!(end, json.len(), "{json}");
            assert_eq!(index.node(0).next as usize, kinds.len(), "{json}");
        }
    }

    #[test]
    fn values_are_found() {
        use NodeKind::{Array, Escaped, False, Null, Number, Object, Plain, True};
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
            check(json, Err(JsonError::Truncated));
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
            check(json, Err(JsonError::Malformed));
        }
    }

    #[test]
    fn documents_that_are_too_deep_are_malformed() {
        check(&"[".repeat(MAX_DEPTH + 1), Err(JsonError::Malformed));
        let deep = "[".repeat(MAX_DEPTH) + &"]".repeat(MAX_DEPTH);
        check(&deep, Ok(&[NodeKind::Array; MAX_DEPTH]));
    }

    #[test]
    fn members_and_elements_skip_what_is_in_them() {
        let json = br#"{"a": {"x": [1, 2]}, "b": [3, [4], 5], "a": 6}"#;
        let mut index = JsonIndex::default();
        index.read(json, 0).expect("valid JSON");
        let keys: Vec<&[u8]> = index.members(0).map(|(key, _)| index.source(json, key)).collect();
        assert_eq!(keys, [b"a", b"b", b"a"]);
        let list = index.get(json, 0, b"b").expect("a member");
        let values: Vec<&[u8]> = index.elements(list).map(|value| index.source(json, value)).collect();
        assert_eq!(values, [b"3".as_slice(), b"[4]", b"5"]);
        assert_eq!(index.get(json, 0, b"a").map(|value| index.source(json, value)), Some(b"6".as_slice()));
    }
}
