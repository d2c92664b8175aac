//! Writes the `jsonb` columns of a step: its attributes, input and output.

use super::json_index::{JsonIndex, NodeKind};
use super::jsonb_source::{Encode, JsonbSource, is_plain_number};
use super::text_span::{OWN_KEYS, TextSource, TextSpan};
use super::unescape::unescape;
use super::zone::Zone;
use crate::jsonb::{self, Container, JEntry, TooLong};

/// A key and its value.
#[derive(Debug, Clone, Copy)]
struct Member {
    key: TextSpan,
    value: JsonbSource,
    /// Of members with the same key, the one with the highest order is kept.
    order: u32,
}

/// Collects the attributes of a step and writes its `jsonb` columns. The buffers are reused from step to step, so that most
/// steps allocate nothing.
pub struct AttributeWriter<'c> {
    /// The log, in UTF-8.
    pub log: &'c [u8],
    /// The zone of times that have none.
    pub zone: Zone<'c>,
    scratch: Vec<u8>,
    out: Vec<u8>,
    members: Vec<Member>,
    inner: JsonIndex,
    encode: Option<Encode<'c>>,
}

impl<'c> AttributeWriter<'c> {
    /// A writer for the steps of a log. `encode` converts texts to the encoding of the database.
    pub fn new(log: &'c [u8], encode: Option<Encode<'c>>, zone: Zone<'c>) -> Self {
        Self {
            log,
            zone,
            scratch: Vec::new(),
            out: Vec::new(),
            members: Vec::new(),
            inner: JsonIndex::default(),
            encode,
        }
    }

    /// Begins another step.
    pub fn clear(&mut self) {
        self.scratch.clear();
        self.out.clear();
        self.members.clear();
    }

    /// The bytes of a text.
    pub fn bytes(&self, span: TextSpan) -> &[u8] {
        match span.source {
            TextSource::Nowhere => &[],
            TextSource::Log => &self.log[span.start()..span.end()],
            TextSource::Scratch => &self.scratch[span.start()..span.end()],
            TextSource::OwnKeys => OWN_KEYS.get(span.start()).map_or(&[], |name| name.as_bytes()),
        }
    }

    /// The bytes of a text, if there is one.
    pub fn shown(&self, span: TextSpan) -> Option<&[u8]> {
        span.is_some().then(|| self.bytes(span))
    }

    /// The `jsonb` bytes at the range that [`Self::document`] returned.
    pub fn written(&self, (start, end): (usize, usize)) -> &[u8] {
        &self.out[start..end]
    }

    /// The text of a value: a string without its quotes and escapes, [`TextSpan::NONE`] for null, and the JSON of any other value.
    pub fn text(&mut self, json: &JsonIndex, index: u32) -> TextSpan {
        let node = json.node(index);
        match node.kind {
            NodeKind::Null => TextSpan::NONE,
            NodeKind::Escaped => self.unescaped(node.start as usize, node.end as usize),
            _ => TextSpan::log(node.start as usize, node.end as usize),
        }
    }

    /// Joins several texts with a separator.
    pub fn joined(&mut self, parts: impl IntoIterator<Item = TextSpan>, between: &[u8]) -> TextSpan {
        let start = self.scratch.len();
        for part in parts {
            if part.is_none() {
                continue;
            }
            if self.scratch.len() > start {
                self.scratch.extend_from_slice(between);
            }
            match part.source {
                TextSource::Scratch => self.scratch.extend_from_within(part.start()..part.end()),
                TextSource::Log => self.scratch.extend_from_slice(&self.log[part.start()..part.end()]),
                _ => {}
            }
        }
        self.since(start)
    }

    /// Removes the escapes from the part of the log from `start` to `end`, which is between the quotes of a JSON string.
    pub fn unescaped(&mut self, start: usize, end: usize) -> TextSpan {
        let begin = self.scratch.len();
        unescape(&self.log[start..end], &mut self.scratch);
        self.since(begin)
    }

    /// Keeps a text that is nowhere in the log.
    pub fn composed(&mut self, text: &[u8]) -> TextSpan {
        let begin = self.scratch.len();
        self.scratch.extend_from_slice(text);
        self.since(begin)
    }

    fn since(&self, start: usize) -> TextSpan {
        TextSpan::scratch(start, self.scratch.len())
    }

    /// Adds a member to the object that is being collected.
    #[inline]
    pub fn member(&mut self, key: TextSpan, value: JsonbSource) {
        if value != JsonbSource::Nothing {
            let order = self.members.len() as u32;
            self.members.push(Member { key, value, order });
        }
    }

    /// Adds all members of an object.
    pub fn members_of(&mut self, json: &JsonIndex, object: u32) {
        for (key, value) in json.members(object) {
            let key = self.text(json, key);
            self.member(key, JsonbSource::Node(value));
        }
    }

    /// Writes a `jsonb` with its header. Returns its range, or `None` if there is nothing to write.
    pub fn document(
        &mut self,
        json: &JsonIndex,
        item: JsonbSource,
    ) -> Result<Option<(usize, usize)>, TooLong> {
        let nothing = match item {
            JsonbSource::Nothing => true,
            JsonbSource::Members => self.members.is_empty(),
            JsonbSource::Text(span)
            | JsonbSource::Json(span)
            | JsonbSource::Bare(span)
            | JsonbSource::Raw(span) => span.is_none(),
            _ => false,
        };
        if nothing {
            return Ok(None);
        }
        let mut out = std::mem::take(&mut self.out);
        let begin = jsonb::document(&mut out, |out| self.item(out, json, item));
        self.out = out;
        Ok(Some((begin?, self.out.len())))
    }

    fn item(&mut self, out: &mut Vec<u8>, json: &JsonIndex, item: JsonbSource) -> Result<JEntry, TooLong> {
        match item {
            JsonbSource::Nothing => Ok(jsonb::NULL),
            JsonbSource::Node(index) => self.node(out, json, index),
            JsonbSource::Any(index) => self.any(out, json, index),
            JsonbSource::KeyValues(index) => self.key_values(out, json, index),
            JsonbSource::Text(span) => self.string(out, span),
            JsonbSource::Json(span) => self.json(out, span),
            JsonbSource::Raw(span) => self.raw(out, span),
            JsonbSource::Bare(span) => self.bare(out, span),
            JsonbSource::Int(value) => Ok(jsonb::int(out, value)),
            JsonbSource::True => Ok(jsonb::boolean(true)),
            JsonbSource::Members => self.object(out, json, 0),
        }
    }

    fn node(&mut self, out: &mut Vec<u8>, json: &JsonIndex, index: u32) -> Result<JEntry, TooLong> {
        let node = json.node(index);
        let (start, end) = (node.start as usize, node.end as usize);
        match node.kind {
            NodeKind::Plain => self.string(out, TextSpan::log(start, end)),
            NodeKind::Escaped => {
                let before = self.scratch.len();
                let text = self.unescaped(start, end);
                let entry = self.string(out, text);
                self.scratch.truncate(before);
                entry
            }
            NodeKind::Number => match jsonb::number(out, &self.log[start..end]) {
                Some(entry) => Ok(entry),
                None => self.string(out, TextSpan::log(start, end)),
            },
            NodeKind::True | NodeKind::False => Ok(jsonb::boolean(node.kind == NodeKind::True)),
            NodeKind::Null => Ok(jsonb::NULL),
            NodeKind::Object => {
                let (base, scratch) = (self.members.len(), self.scratch.len());
                self.members_of(json, index);
                let entry = self.object(out, json, base);
                self.scratch.truncate(scratch);
                entry
            }
            NodeKind::Array => self.array(out, json, json.elements(index), JsonbSource::Node),
        }
    }

    fn array(
        &mut self,
        out: &mut Vec<u8>,
        json: &JsonIndex,
        elements: impl Iterator<Item = u32> + Clone,
        item: fn(u32) -> JsonbSource,
    ) -> Result<JEntry, TooLong> {
        let mut array = Container::array(out, elements.clone().count())?;
        for element in elements {
            let entry = self.item(out, json, item(element))?;
            array.push(out, entry)?;
        }
        array.end(out)
    }

    /// Writes the members from `base` as an object, and removes them from the list.
    fn object(&mut self, out: &mut Vec<u8>, json: &JsonIndex, base: usize) -> Result<JEntry, TooLong> {
        self.arrange(base);
        let end = self.members.len();
        let mut object = Container::object(out, end - base)?;
        for index in base..end {
            let entry = self.key(out, self.members[index].key)?;
            object.push(out, entry)?;
        }
        for index in base..end {
            let entry = self.item(out, json, self.members[index].value)?;
            object.push(out, entry)?;
        }
        self.members.truncate(base);
        object.end(out)
    }

    /// Sorts the members as `jsonb` sorts keys, by length and then by bytes, and keeps the last member of each key.
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
                let (start, bytes) = (self.scratch.len(), self.bytes(key).to_vec());
                encode(&bytes, &mut self.scratch);
                self.members[index].key = self.since(start);
            }
        }
    }

    #[inline]
    fn key(&self, out: &mut Vec<u8>, key: TextSpan) -> Result<JEntry, TooLong> {
        let start = out.len();
        out.extend_from_slice(self.bytes(key));
        jsonb::string_since(out, start)
    }

    #[inline]
    fn string(&self, out: &mut Vec<u8>, text: TextSpan) -> Result<JEntry, TooLong> {
        let start = out.len();
        let bytes = self.bytes(text);
        match self.encode {
            Some(encode) if !bytes.is_ascii() => encode(bytes, out),
            _ => out.extend_from_slice(bytes),
        }
        jsonb::string_since(out, start)
    }

    fn bare(&mut self, out: &mut Vec<u8>, text: TextSpan) -> Result<JEntry, TooLong> {
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

    fn raw(&mut self, out: &mut Vec<u8>, span: TextSpan) -> Result<JEntry, TooLong> {
        let mut json = std::mem::take(&mut self.inner);
        let entry = match json.read(&self.log[..span.end()], span.start()) {
            Ok(_) => self.node(out, &json, 0),
            Err(_) => self.string(out, span),
        };
        self.inner = json;
        entry
    }

    /// Writes a text that is a JSON object, array or string as that value, and any other text as a string.
    fn json(&mut self, out: &mut Vec<u8>, text: TextSpan) -> Result<JEntry, TooLong> {
        let mut json = std::mem::take(&mut self.inner);
        let bytes = self.bytes(text);
        let may_be = matches!(bytes.first(), Some(b'{' | b'[' | b'"'));
        let entry = if may_be && json.read(bytes, 0) == Ok(bytes.len()) {
            // The nodes of this index are ranges of the text, so the text takes the place of the log.
            AttributeWriter::new(bytes, self.encode, self.zone).node(out, &json, 0)
        } else {
            self.string(out, text)
        };
        self.inner = json;
        entry
    }

    /// Writes an `AnyValue` of OTLP as its value, such as `{"stringValue": "x"}` as `"x"` (opentelemetry-proto,
    /// `common.proto`, and its JSON mapping, in which 64-bit numbers are strings).
    fn any(&mut self, out: &mut Vec<u8>, json: &JsonIndex, index: u32) -> Result<JEntry, TooLong> {
        let Some((key, value)) = json.members(index).next() else {
            return if json.node(index).kind == NodeKind::Object {
                Ok(jsonb::NULL)
            } else {
                self.node(out, json, index)
            };
        };
        match json.source(self.log, key) {
            b"intValue" | b"int_value" if json.node(value).kind == NodeKind::Plain => {
                let span = TextSpan::log(json.node(value).start as usize, json.node(value).end as usize);
                self.bare(out, span)
            }
            b"arrayValue" | b"array_value" => match json.get(self.log, value, b"values") {
                Some(values) => self.array(out, json, json.elements(values), JsonbSource::Any),
                None => Container::array(out, 0)?.end(out),
            },
            b"kvlistValue" | b"kvlist_value" => match json.get(self.log, value, b"values") {
                Some(values) => self.key_values(out, json, values),
                None => Container::object(out, 0)?.end(out),
            },
            b"stringValue" | b"string_value" | b"intValue" | b"int_value" | b"doubleValue"
            | b"double_value" | b"boolValue" | b"bool_value" | b"bytesValue" | b"bytes_value" => {
                self.node(out, json, value)
            }
            _ => self.node(out, json, index),
        }
    }

    fn key_values(&mut self, out: &mut Vec<u8>, json: &JsonIndex, index: u32) -> Result<JEntry, TooLong> {
        let (base, scratch) = (self.members.len(), self.scratch.len());
        self.key_values_of(json, index);
        let entry = self.object(out, json, base);
        self.scratch.truncate(scratch);
        entry
    }

    /// Adds all members of a list of keys and values.
    pub fn key_values_of(&mut self, json: &JsonIndex, index: u32) {
        for pair in json.elements(index) {
            if let Some((key, value)) = key_value(json, self.log, pair) {
                let key = self.text(json, key);
                self.member(key, JsonbSource::Any(value));
            }
        }
    }
}

/// Key and value of an OTLP attribute.
pub fn key_value(json: &JsonIndex, log: &[u8], pair: u32) -> Option<(u32, u32)> {
    let (mut key, mut value) = (None, None);
    for (name, node) in json.members(pair) {
        match json.source(log, name) {
            b"key" => key = Some(node),
            b"value" => value = Some(node),
            _ => {}
        }
    }
    key.zip(value)
}
