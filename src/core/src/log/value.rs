//! Prepares JSON for a table: limits its length, and removes what `jsonb` cannot hold.

use std::borrow::Cow;
use std::fmt::Write;

/// Replaces JSON text longer than `limit` bytes: an object with the length and the beginning of the text.
#[must_use]
pub fn shorten(json: &str, limit: usize) -> String {
    let head = &json[..json.floor_char_boundary(limit)];
    let mut kept = String::with_capacity(head.len() + head.len() / 8 + 64);
    let _ = write!(kept, "{{\"truncated\": true, \"bytes\": {}, \"head\": ", json.len());
    quote(head, &mut kept);
    kept.push('}');
    kept
}

/// Appends text as a JSON string.
pub fn quote(text: &str, out: &mut String) {
    out.push('"');
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            control if control < ' ' => {
                let _ = write!(out, "\\u{:04x}", u32::from(control));
            }
            other => out.push(other),
        }
    }
    out.push('"');
}

/// JSON text with U+FFFD for each NUL character, which `jsonb` cannot hold.
#[must_use]
pub fn without_nul(json: &str) -> Cow<'_, str> {
    if !json.contains("\\u0000") {
        return Cow::Borrowed(json);
    }
    let mut out = String::with_capacity(json.len());
    let mut rest = json;
    while let Some(at) = rest.find('\\') {
        let (before, escape) = rest.split_at(at);
        out.push_str(before);
        // An escape is a backslash and one more character, which may be a backslash; only `\\u` is longer, with four digits.
        let length = if escape.starts_with("\\u0000") { 6 } else { escape.len().min(2) };
        let length = escape.ceil_char_boundary(length);
        out.push_str(if length == 6 { "\\ufffd" } else { &escape[..length] });
        rest = &escape[length..];
    }
    out.push_str(rest);
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_value_keeps_its_length_and_its_beginning() {
        let json = format!("{{\"a\": \"{}\"}}", "ä\\n".repeat(1000));
        let kept: serde_json::Value = serde_json::from_str(&shorten(&json, 12)).unwrap();
        assert_eq!(kept["truncated"], true);
        assert_eq!(kept["bytes"], json.len());
        assert_eq!(kept["head"], json[..11]);
    }

    #[test]
    fn the_beginning_ends_between_characters() {
        let kept: serde_json::Value = serde_json::from_str(&shorten("\"ää\"", 2)).unwrap();
        assert_eq!(kept["head"], "\"");
    }

    #[test]
    fn only_nul_characters_are_replaced() {
        assert_eq!(without_nul(r#""a\u0000b""#), r#""a\ufffdb""#);
        assert_eq!(without_nul(r#""a\\u0000b""#), r#""a\\u0000b""#);
        assert_eq!(without_nul(r#""\\\u0000\n\u0000""#), r#""\\\ufffd\n\ufffd""#);
        assert_eq!(without_nul(r#"{"a": [1, "\u0001"]}"#), r#"{"a": [1, "\u0001"]}"#);
    }
}
