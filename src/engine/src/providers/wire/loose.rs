//! Reads replies that differ from their documentation: numbers as text or with a fraction, members that are null, repeated
//! or of another type. What is accounting or decoration never fails a reply that was paid for.

use std::borrow::Cow;

use serde_json::Value;

/// Types of the parts of a content that hold a model's thoughts.
const THOUGHT_TYPES: [&str; 5] = ["thinking", "redacted_thinking", "reasoning", "thought", "reasoning_text"];

/// A number of tokens, or a position. `None` for anything that is no number from 0.
pub fn count(value: &Value) -> Option<u64> {
    let number = match value {
        Value::Number(number) => {
            number.as_u64().map_or_else(|| number.as_f64(), |whole| Some(whole as f64))?
        }
        Value::String(text) => text.trim().parse().ok()?,
        _ => return None,
    };
    (number.is_finite() && number >= 0.0).then_some(number as u64)
}

/// The first of the members that is a number.
pub fn first_count(object: &Value, names: &[&str]) -> Option<u64> {
    names.iter().find_map(|name| count(&object[*name]))
}

/// A member that is text.
pub fn text<'a>(object: &'a Value, name: &str) -> Option<&'a str> {
    object[name].as_str()
}

/// The items of a member that is an array; none if it is anything else.
pub fn items<'a>(object: &'a Value, name: &str) -> &'a [Value] {
    object[name].as_array().map_or(&[], Vec::as_slice)
}

/// The text of a content: a string, an object with a text, or an array of both, without a model's thoughts. `None` if
/// there is no content.
pub fn content(value: Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text),
        Value::Array(parts) => Some(parts.into_iter().filter_map(content_part).collect()),
        part @ Value::Object(_) => content_part(part),
        _ => None,
    }
}

fn content_part(mut part: Value) -> Option<String> {
    if let Value::String(text) = part {
        return Some(text);
    }
    let is_thought = text(&part, "type").is_some_and(|kind| THOUGHT_TYPES.contains(&kind));
    if is_thought || part["thought"] == true {
        return None;
    }
    let name = ["text", "content", "output_text"].into_iter().find(|name| !part[*name].is_null())?;
    match part[name].take() {
        Value::String(text) => Some(text),
        // The Assistants format has a text with a value.
        mut inner => inner.get_mut("value").and_then(|value| value.take().as_str().map(str::to_owned)),
    }
}

/// The body in a form that can be parsed: without a byte order mark and bytes after its end, as UTF-8, and with each escape
/// of half a character (`\ud83d`) replaced. Borrowed if nothing had to be changed.
pub fn mended(body: &[u8]) -> Cow<'_, str> {
    let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
    let end =
        body.iter().rposition(|byte| *byte != 0 && !byte.is_ascii_whitespace()).map_or(0, |last| last + 1);
    match String::from_utf8_lossy(&body[..end]) {
        Cow::Borrowed(text) => without_half_characters(text),
        Cow::Owned(text) => Cow::Owned(without_half_characters(&text).into_owned()),
    }
}

fn without_half_characters(text: &str) -> Cow<'_, str> {
    let mut mended = String::new();
    let mut copied = 0;
    let mut at = 0;
    while let Some(found) = text[at..].find('\\') {
        let start = at + found;
        let (is_half, length) = match (unit(text, start), unit(text, start + ESCAPE_LENGTH)) {
            (Some(0xd800..=0xdbff), Some(0xdc00..=0xdfff)) => (false, 2 * ESCAPE_LENGTH),
            (Some(0xd800..=0xdfff), _) => (true, ESCAPE_LENGTH),
            (Some(_), _) => (false, ESCAPE_LENGTH),
            // A backslash and the character that it escapes.
            (None, _) => (false, 1 + text[start + 1..].chars().next().map_or(0, char::len_utf8)),
        };
        if is_half {
            mended.push_str(&text[copied..start]);
            mended.push_str("\\ufffd");
            copied = start + length;
        }
        at = start + length;
    }
    if copied == 0 {
        return Cow::Borrowed(text);
    }
    mended.push_str(&text[copied..]);
    Cow::Owned(mended)
}

/// Bytes of `\ud83d`.
const ESCAPE_LENGTH: usize = 6;

/// The code unit that the escape at this place stands for.
fn unit(text: &str, at: usize) -> Option<u32> {
    let digits = text.get(at..at + ESCAPE_LENGTH)?.strip_prefix("\\u")?;
    u32::from_str_radix(digits, 16).ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn counts_are_read_in_every_form() {
        for (value, expected) in [
            (json!(7), Some(7)),
            (json!(7.0), Some(7)),
            (json!("7"), Some(7)),
            (json!(" 7.0 "), Some(7)),
            (json!(0), Some(0)),
            (json!(-1), None),
            (json!(-1.5), None),
            (json!("NaN"), None),
            (json!("seven"), None),
            (json!(null), None),
            (json!([7]), None),
        ] {
            assert_eq!(count(&value), expected, "{value}");
        }
        assert_eq!(first_count(&json!({ "a": null, "b": "3" }), &["a", "b"]), Some(3));
    }

    #[test]
    fn contents_are_read_in_every_form() {
        for (value, expected) in [
            (json!("a"), Some("a")),
            (json!(["a", "b"]), Some("ab")),
            (json!({ "type": "text", "text": "a" }), Some("a")),
            (json!([{ "type": "text", "text": "a" }, { "type": "thinking", "text": "hm" }, "b"]), Some("ab")),
            (json!([{ "text": { "value": "a" } }, { "text": "hm", "thought": true }, null, 3]), Some("a")),
            (json!([]), Some("")),
            (json!(null), None),
        ] {
            assert_eq!(content(value.clone()).as_deref(), expected, "{value}");
        }
    }

    #[test]
    fn half_characters_and_what_surrounds_a_body_are_mended() {
        assert_eq!(mended(br#"{"a":"x\ud83dy"}"#), r#"{"a":"x\ufffdy"}"#);
        assert_eq!(mended(br#"{"a":"\ude00\ud83d"}"#), r#"{"a":"\ufffd\ufffd"}"#);
        for whole in [r#"{"a":"\ud83d\ude00"}"#, r#"{"a":"\\ud83d"}"#, r#"{"a":"\u00e9é\""}"#, "\\"] {
            assert!(matches!(mended(whole.as_bytes()), Cow::Borrowed(text) if text == whole), "{whole}");
        }
        assert_eq!(mended(b"\xef\xbb\xbf{}\n\x00"), "{}");
        assert_eq!(mended(b"{\"a\":\"caf\xe9\"}"), "{\"a\":\"caf\u{fffd}\"}");
    }
}
