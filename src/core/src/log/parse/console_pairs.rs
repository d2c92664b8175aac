//! The pairs after the message of structlog's console format: `refund failed   [shop.agent] order_id=7 reason='too late'`.

use super::attributes::AttributeWriter;
use super::field_names::FieldNames;
use super::fields::{FieldValue, Fields};
use super::json_index::JsonIndex;
use super::step::StepDraft;
use super::text_span::{TextSpan, own_key};

/// The step of a message in the log from `start` to `end` and the pairs in it.
pub fn step(
    writer: &mut AttributeWriter<'_>,
    names: &FieldNames,
    (start, end): (usize, usize),
    known: StepDraft,
) -> StepDraft {
    let log = writer.log;
    let text = &log[start..end];
    let mut pairs = Vec::new();
    let mut said = begin_of_pairs(text, &mut pairs);
    let at = |(from, to): (usize, usize)| TextSpan::log(start + from, start + to);
    let none = JsonIndex::default();
    let mut fields = Fields::new(writer, &none);
    if let Some(open) = logger(&text[..said]) {
        let name =
            text[open + 1..].iter().position(|byte| *byte == b']').map_or(said, |length| open + 1 + length);
        fields.put(names, own_key("name"), FieldValue::Quoted(at((open + 1, name))));
        said = open;
    }
    for pair in &pairs {
        let value = at(pair.value);
        let value = if pair.is_quoted { FieldValue::Quoted(value) } else { FieldValue::Bare(value) };
        fields.put(names, at(pair.key), value);
    }
    let message = text[..said].trim_ascii_end().len();
    fields.put(names, own_key("message"), FieldValue::Quoted(at((0, message))));
    fields.step(known)
}

struct ConsolePair {
    key: (usize, usize),
    value: (usize, usize),
    is_quoted: bool,
}

/// Offset of the first of the pairs that a text ends with.
fn begin_of_pairs(text: &[u8], pairs: &mut Vec<ConsolePair>) -> usize {
    for equals in memchr::memchr_iter(b'=', text) {
        let is_key = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-');
        let begin = text[..equals].iter().rposition(|byte| !is_key(byte)).map_or(0, |before| before + 1);
        if read(text, begin, pairs) {
            return begin;
        }
    }
    pairs.clear();
    text.len()
}

/// Reads the pairs from `at` to the end of a text.
fn read(text: &[u8], mut at: usize, pairs: &mut Vec<ConsolePair>) -> bool {
    pairs.clear();
    while at < text.len() {
        let Some(length) = text[at..].iter().position(|byte| matches!(byte, b'=' | b' ')) else {
            return false;
        };
        let equals = at + length;
        if length == 0 || text[equals] != b'=' {
            return false;
        }
        let quote = text.get(equals + 1).copied().filter(|byte| matches!(byte, b'\'' | b'"'));
        let begin = equals + 1 + usize::from(quote.is_some());
        let ends = |byte: &u8| quote.map_or(*byte == b' ', |quote| *byte == quote);
        let end = text[begin..].iter().position(ends).map(|length| begin + length);
        let Some(end) = end.or(quote.is_none().then_some(text.len())) else { return false };
        pairs.push(ConsolePair { key: (at, equals), value: (begin, end), is_quoted: quote.is_some() });
        at = end + usize::from(quote.is_some());
        if !matches!(text.get(at), Some(b' ') | None) {
            return false;
        }
        at += text[at..].iter().take_while(|byte| **byte == b' ').count();
    }
    !pairs.is_empty()
}

/// Offset of the logger's bracket at the end of a message, after its padding.
fn logger(said: &[u8]) -> Option<usize> {
    let said = said.trim_ascii_end();
    let open = said.strip_suffix(b"]").and_then(|text| text.iter().rposition(|byte| *byte == b'['))?;
    let name = &said[open + 1..said.len() - 1];
    let is_name = !name.is_empty()
        && name.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.'));
    (is_name && open >= 2 && said[..open].ends_with(b" ")).then_some(open)
}
