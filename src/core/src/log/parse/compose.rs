//! Texts and `jsonb` made of what a tape says is where.

use super::tape::{Sort, Tape};
use crate::jsonb::{self, Container, Entry, TooLong};

/// Writes text in another encoding than UTF-8. What it cannot represent it replaces.
pub type Encode<'e> = &'e dyn Fn(&[u8], &mut Vec<u8>);

/// Where bytes of a text are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Place {
    /// There is no text.
    #[default]
    Nowhere,
    /// In the log.
    Log,
    /// Among the texts that were made for the step.
    Made,
    /// In a list of the program's own: the index.
    Fixed,
}

/// A text, which is not copied before it is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Span {
    place: Place,
    start: u32,
    end: u32,
}

impl Span {
    /// No text.
    pub const NONE: Self = Self { place: Place::Nowhere, start: 0, end: 0 };

    /// A part of the log.
    pub fn log(start: usize, end: usize) -> Self {
        Self { place: Place::Log, start: start as u32, end: end as u32 }
    }

    /// Whether there is none.
    pub fn is_none(self) -> bool {
        self.place == Place::Nowhere
    }

    /// Whether there is one.
    pub fn is_some(self) -> bool {
        self.place != Place::Nowhere
    }

    /// This text, or another where there is none.
    pub fn or(self, other: Self) -> Self {
        if self.is_some() { self } else { other }
    }

    /// Where it begins in the log.
    pub fn start(self) -> usize {
        self.start as usize
    }

    /// Where it ends in the log.
    pub fn end(self) -> usize {
        self.end as usize
    }
}

/// What `jsonb` is to be made of.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub enum Item {
    /// Nothing: the column is NULL.
    #[default]
    Nothing,
    /// A value of the current tape.
    Node(u32),
    /// An `AnyValue` of OTLP: an object whose key says the type.
    Any(u32),
    /// A list of keys and `AnyValue`s.
    KeyValues(u32),
    /// A string.
    Text(Span),
    /// Text that may itself be JSON, which it is often in attributes; else a string.
    Json(Span),
    /// JSON somewhere else in the log, which was read before.
    Source(Span),
    /// A text without quotes: a number where it looks like one.
    Bare(Span),
    /// A whole number.
    Int(i64),
    /// `true`.
    True,
    /// The members that were collected.
    Members,
}

/// A key and its value.
#[derive(Debug, Clone, Copy)]
struct Member {
    key: Span,
    value: Item,
    /// Of several with one key the last is kept.
    order: u32,
}

/// Names that are keys of our own.
const FIXED: &[&str] =
    &["unparsed", "level", "pieces", "message", "name", "event", "events", "resource", "scope"];

/// A key of our own.
pub fn fixed(name: &str) -> Span {
    let index = FIXED.iter().position(|known| *known == name).unwrap_or_default();
    Span { place: Place::Fixed, start: index as u32, end: 0 }
}

/// What texts and values of one step are made in. Everything is given back at the step's end, and nothing allocated anew.
pub struct Composer<'c> {
    /// The log, in UTF-8.
    pub log: &'c [u8],
    made: Vec<u8>,
    out: Vec<u8>,
    members: Vec<Member>,
    inner: Tape,
    encode: Option<Encode<'c>>,
}

impl<'c> Composer<'c> {
    /// For a log, and the encoding of the texts in `jsonb`.
    pub fn new(log: &'c [u8], encode: Option<Encode<'c>>) -> Self {
        Self { log, made: Vec::new(), out: Vec::new(), members: Vec::new(), inner: Tape::default(), encode }
    }

    /// Begins another step.
    pub fn clear(&mut self) {
        self.made.clear();
        self.out.clear();
        self.members.clear();
    }

    /// The bytes of a text.
    pub fn bytes(&self, span: Span) -> &[u8] {
        match span.place {
            Place::Nowhere => &[],
            Place::Log => &self.log[span.start()..span.end()],
            Place::Made => &self.made[span.start()..span.end()],
            Place::Fixed => FIXED.get(span.start()).map_or(&[], |name| name.as_bytes()),
        }
    }

    /// The bytes of a text, if there is one.
    pub fn shown(&self, span: Span) -> Option<&[u8]> {
        span.is_some().then(|| self.bytes(span))
    }

    /// What was written at a place that [`Self::document`] gave.
    pub fn written(&self, (start, end): (usize, usize)) -> &[u8] {
        &self.out[start..end]
    }

    /// The text of a value: what a string says, and any other value as JSON writes it; none of null.
    pub fn text(&mut self, tape: &Tape, index: u32) -> Span {
        let node = tape.node(index);
        match node.sort {
            Sort::Null => Span::NONE,
            Sort::Escaped => self.unescaped(node.start as usize, node.end as usize),
            _ => Span::log(node.start as usize, node.end as usize),
        }
    }

    /// A text put together of several, with something in between.
    pub fn joined(&mut self, parts: impl IntoIterator<Item = Span>, between: &[u8]) -> Span {
        let start = self.made.len();
        for part in parts {
            if part.is_none() {
                continue;
            }
            if self.made.len() > start {
                self.made.extend_from_slice(between);
            }
            match part.place {
                Place::Made => self.made.extend_from_within(part.start()..part.end()),
                Place::Log => self.made.extend_from_slice(&self.log[part.start()..part.end()]),
                _ => {}
            }
        }
        self.since(start)
    }

    /// A part of the log between quotes, without its escapes (RFC 8259, section 7). What stands for half a character, for
    /// none, or for the character zero, which PostgreSQL has not, becomes U+FFFD.
    pub fn unescaped(&mut self, start: usize, end: usize) -> Span {
        let begin = self.made.len();
        unescape(&self.log[start..end], &mut self.made);
        self.since(begin)
    }

    fn since(&self, start: usize) -> Span {
        Span { place: Place::Made, start: start as u32, end: self.made.len() as u32 }
    }

    /// Adds a member to the object that is being collected.
    #[inline]
    pub fn member(&mut self, key: Span, value: Item) {
        if value != Item::Nothing {
            let order = self.members.len() as u32;
            self.members.push(Member { key, value, order });
        }
    }

    /// Adds all members of an object of the tape.
    pub fn members_of(&mut self, tape: &Tape, object: u32) {
        for (key, value) in tape.members(object) {
            let key = self.text(tape, key);
            self.member(key, Item::Node(value));
        }
    }

    /// Writes a `jsonb` with its header; gives its place, or none where there is nothing.
    pub fn document(&mut self, tape: &Tape, item: Item) -> Result<Option<(usize, usize)>, TooLong> {
        let nothing = match item {
            Item::Nothing => true,
            Item::Members => self.members.is_empty(),
            Item::Text(span) | Item::Json(span) | Item::Bare(span) | Item::Source(span) => span.is_none(),
            _ => false,
        };
        if nothing {
            return Ok(None);
        }
        let mut out = std::mem::take(&mut self.out);
        let begin = jsonb::document(&mut out, |out| self.item(out, tape, item));
        self.out = out;
        Ok(Some((begin?, self.out.len())))
    }

    fn item(&mut self, out: &mut Vec<u8>, tape: &Tape, item: Item) -> Result<Entry, TooLong> {
        match item {
            Item::Nothing => Ok(jsonb::NULL),
            Item::Node(index) => self.node(out, tape, index),
            Item::Any(index) => self.any(out, tape, index),
            Item::KeyValues(index) => self.key_values(out, tape, index),
            Item::Text(span) => self.string(out, span),
            Item::Json(span) => self.json(out, span),
            Item::Source(span) => self.source(out, span),
            Item::Bare(span) => self.bare(out, span),
            Item::Int(value) => Ok(jsonb::int(out, value)),
            Item::True => Ok(jsonb::boolean(true)),
            Item::Members => self.object(out, tape, 0),
        }
    }

    fn node(&mut self, out: &mut Vec<u8>, tape: &Tape, index: u32) -> Result<Entry, TooLong> {
        let node = tape.node(index);
        let (start, end) = (node.start as usize, node.end as usize);
        match node.sort {
            Sort::Plain => self.string(out, Span::log(start, end)),
            Sort::Escaped => {
                let before = self.made.len();
                let text = self.unescaped(start, end);
                let entry = self.string(out, text);
                self.made.truncate(before);
                entry
            }
            Sort::Number => match jsonb::number(out, &self.log[start..end]) {
                Some(entry) => Ok(entry),
                None => self.string(out, Span::log(start, end)),
            },
            Sort::True | Sort::False => Ok(jsonb::boolean(node.sort == Sort::True)),
            Sort::Null => Ok(jsonb::NULL),
            Sort::Object => {
                let (base, made) = (self.members.len(), self.made.len());
                self.members_of(tape, index);
                let entry = self.object(out, tape, base);
                self.made.truncate(made);
                entry
            }
            Sort::Array => self.array(out, tape, tape.elements(index), Item::Node),
        }
    }

    fn array(
        &mut self,
        out: &mut Vec<u8>,
        tape: &Tape,
        elements: impl Iterator<Item = u32> + Clone,
        item: fn(u32) -> Item,
    ) -> Result<Entry, TooLong> {
        let mut array = Container::array(out, elements.clone().count())?;
        for element in elements {
            let entry = self.item(out, tape, item(element))?;
            array.give(out, entry)?;
        }
        array.end(out)
    }

    /// Writes the members from `base` on, and takes them away.
    fn object(&mut self, out: &mut Vec<u8>, tape: &Tape, base: usize) -> Result<Entry, TooLong> {
        self.arrange(base);
        let end = self.members.len();
        let mut object = Container::object(out, end - base)?;
        for index in base..end {
            let entry = self.key(out, self.members[index].key)?;
            object.give(out, entry)?;
        }
        for index in base..end {
            let entry = self.item(out, tape, self.members[index].value)?;
            object.give(out, entry)?;
        }
        self.members.truncate(base);
        object.end(out)
    }

    /// Puts members in `jsonb`'s order of keys, by length and then by bytes, and keeps the last of each.
    fn arrange(&mut self, base: usize) {
        if let Some(encode) = self.encode {
            self.encode_keys(base, encode);
        }
        let mut members = std::mem::take(&mut self.members);
        let order = |one: &Member, other: &Member| {
            let (a, b) = (self.bytes(one.key), self.bytes(other.key));
            a.len().cmp(&b.len()).then_with(|| a.cmp(b)).then(one.order.cmp(&other.order))
        };
        members[base..].sort_unstable_by(order);
        let mut kept = base;
        for index in base..members.len() {
            let again = members.get(index + 1);
            if again.is_some_and(|next| self.bytes(next.key) == self.bytes(members[index].key)) {
                continue;
            }
            members[kept] = members[index];
            kept += 1;
        }
        members.truncate(kept);
        self.members = members;
    }

    fn encode_keys(&mut self, base: usize, encode: Encode<'_>) {
        for index in base..self.members.len() {
            let key = self.members[index].key;
            if !self.bytes(key).is_ascii() {
                let (start, bytes) = (self.made.len(), self.bytes(key).to_vec());
                encode(&bytes, &mut self.made);
                self.members[index].key = self.since(start);
            }
        }
    }

    #[inline]
    fn key(&self, out: &mut Vec<u8>, key: Span) -> Result<Entry, TooLong> {
        let start = out.len();
        out.extend_from_slice(self.bytes(key));
        jsonb::string_since(out, start)
    }

    #[inline]
    fn string(&self, out: &mut Vec<u8>, text: Span) -> Result<Entry, TooLong> {
        let start = out.len();
        let bytes = self.bytes(text);
        match self.encode {
            Some(encode) if !bytes.is_ascii() => encode(bytes, out),
            _ => out.extend_from_slice(bytes),
        }
        jsonb::string_since(out, start)
    }

    fn bare(&mut self, out: &mut Vec<u8>, text: Span) -> Result<Entry, TooLong> {
        let bytes = self.bytes(text);
        match bytes {
            b"true" => Ok(jsonb::boolean(true)),
            b"false" => Ok(jsonb::boolean(false)),
            b"null" => Ok(jsonb::NULL),
            _ if is_plain_number(bytes) => {
                jsonb::number(out, self.bytes(text)).map_or_else(|| self.string(out, text), Ok)
            }
            _ => self.string(out, text),
        }
    }

    fn source(&mut self, out: &mut Vec<u8>, span: Span) -> Result<Entry, TooLong> {
        let mut tape = std::mem::take(&mut self.inner);
        let entry = match tape.read(&self.log[..span.end()], span.start()) {
            Ok(_) => self.node(out, &tape, 0),
            Err(_) => self.string(out, span),
        };
        self.inner = tape;
        entry
    }

    /// A text that is an object or an array in JSON as such, any other as a string.
    fn json(&mut self, out: &mut Vec<u8>, text: Span) -> Result<Entry, TooLong> {
        let mut tape = std::mem::take(&mut self.inner);
        let bytes = self.bytes(text);
        let may_be = matches!(bytes.first(), Some(b'{' | b'[' | b'"'));
        let entry = if may_be && tape.read(bytes, 0) == Ok(bytes.len()) {
            // A tape's places are in one log, which here is the text.
            Composer::new(bytes, self.encode).node(out, &tape, 0)
        } else {
            self.string(out, text)
        };
        self.inner = tape;
        entry
    }

    /// `{"stringValue": "x"}` as `"x"` (opentelemetry-proto, `common.proto`, and its mapping to JSON, where 64-bit numbers
    /// are strings).
    fn any(&mut self, out: &mut Vec<u8>, tape: &Tape, index: u32) -> Result<Entry, TooLong> {
        let Some((key, value)) = tape.members(index).next() else {
            return if tape.node(index).sort == Sort::Object {
                Ok(jsonb::NULL)
            } else {
                self.node(out, tape, index)
            };
        };
        match tape.source(self.log, key) {
            b"intValue" | b"int_value" if tape.node(value).sort == Sort::Plain => {
                let span = Span::log(tape.node(value).start as usize, tape.node(value).end as usize);
                self.bare(out, span)
            }
            b"arrayValue" | b"array_value" => match tape.get(self.log, value, b"values") {
                Some(values) => self.array(out, tape, tape.elements(values), Item::Any),
                None => Container::array(out, 0)?.end(out),
            },
            b"kvlistValue" | b"kvlist_value" => match tape.get(self.log, value, b"values") {
                Some(values) => self.key_values(out, tape, values),
                None => Container::object(out, 0)?.end(out),
            },
            b"stringValue" | b"string_value" | b"intValue" | b"int_value" | b"doubleValue"
            | b"double_value" | b"boolValue" | b"bool_value" | b"bytesValue" | b"bytes_value" => {
                self.node(out, tape, value)
            }
            _ => self.node(out, tape, index),
        }
    }

    fn key_values(&mut self, out: &mut Vec<u8>, tape: &Tape, index: u32) -> Result<Entry, TooLong> {
        let (base, made) = (self.members.len(), self.made.len());
        self.key_values_of(tape, index);
        let entry = self.object(out, tape, base);
        self.made.truncate(made);
        entry
    }

    /// Adds all members of a list of keys and values.
    pub fn key_values_of(&mut self, tape: &Tape, index: u32) {
        for pair in tape.elements(index) {
            if let Some((key, value)) = key_value(tape, self.log, pair) {
                let key = self.text(tape, key);
                self.member(key, Item::Any(value));
            }
        }
    }
}

/// Key and value of an attribute in OTLP.
pub fn key_value(tape: &Tape, log: &[u8], pair: u32) -> Option<(u32, u32)> {
    let (mut key, mut value) = (None, None);
    for (name, node) in tape.members(pair) {
        match tape.source(log, name) {
            b"key" => key = Some(node),
            b"value" => value = Some(node),
            _ => {}
        }
    }
    key.zip(value)
}

/// Whether a text is a whole or decimal number as somebody would write one: `007` and `1e5` may be names.
fn is_plain_number(text: &[u8]) -> bool {
    let digits = text.strip_prefix(b"-").unwrap_or(text);
    let (whole, fraction) = match digits.iter().position(|byte| *byte == b'.') {
        Some(point) => (&digits[..point], Some(&digits[point + 1..])),
        None => (digits, None),
    };
    let some_digits = |text: &[u8]| !text.is_empty() && text.iter().all(u8::is_ascii_digit);
    text.len() <= 18
        && some_digits(whole)
        && (whole.len() == 1 || whole[0] != b'0')
        && fraction.is_none_or(some_digits)
}

fn unescape(text: &[u8], out: &mut Vec<u8>) {
    let mut rest = text;
    while let Some(at) = rest.iter().position(|byte| *byte == b'\\') {
        out.extend_from_slice(&rest[..at]);
        let Some(escape) = rest.get(at + 1) else {
            rest = &[];
            break;
        };
        rest = &rest[at + 2..];
        match escape {
            b'n' => out.push(b'\n'),
            b't' => out.push(b'\t'),
            b'r' => out.push(b'\r'),
            b'b' => out.push(8),
            b'f' => out.push(12),
            b'u' => rest = unescape_unicode(rest, out),
            other => out.push(*other),
        }
    }
    out.extend_from_slice(rest);
}

/// The character after `\u`; gives what follows it.
fn unescape_unicode<'t>(text: &'t [u8], out: &mut Vec<u8>) -> &'t [u8] {
    let (character, rest) = match (unit(text), text.get(4..).and_then(|rest| rest.strip_prefix(b"\\u"))) {
        (Some(high @ 0xd800..0xdc00), Some(second)) if matches!(unit(second), Some(0xdc00..0xe000)) => {
            let low = unit(second).unwrap_or_default();
            (char::from_u32(0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00)), &second[4..])
        }
        (Some(unit), _) => (char::from_u32(unit).filter(|character| *character != '\0'), &text[4..]),
        (None, _) => (None, text),
    };
    let mut buffer = [0; 4];
    let character = character.unwrap_or(char::REPLACEMENT_CHARACTER);
    out.extend_from_slice(character.encode_utf8(&mut buffer).as_bytes());
    rest
}

fn unit(text: &[u8]) -> Option<u32> {
    let digits = text.get(..4)?;
    digits.iter().try_fold(0, |sum, byte| char::from(*byte).to_digit(16).map(|digit| sum * 16 + digit))
}
