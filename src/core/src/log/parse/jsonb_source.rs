//! The sources of a step's `jsonb` values.

use super::text_span::TextSpan;

/// Appends UTF-8 text in the encoding of the database, with a replacement for each character that this encoding lacks.
pub type Encode<'e> = &'e dyn Fn(&[u8], &mut Vec<u8>);

/// The source of a `jsonb` value.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub enum JsonbSource {
    /// No value: the column is NULL.
    #[default]
    Nothing,
    /// A value of the document that is being read.
    Node(u32),
    /// An `AnyValue` of OTLP: an object whose key names the type.
    Any(u32),
    /// A list of keys and `AnyValue`s.
    KeyValues(u32),
    /// A string.
    Text(TextSpan),
    /// A text that may itself be JSON, as attributes often are; otherwise it becomes a string.
    Json(TextSpan),
    /// JSON elsewhere in the log, which is not in the index.
    Raw(TextSpan),
    /// A text without quotes: a number if it looks like one, otherwise a string.
    Bare(TextSpan),
    /// A whole number.
    Int(i64),
    /// `true`.
    True,
    /// The members that were collected as attributes.
    Members,
}

/// True if a text is a plain integer or decimal number. `007` and `1e5` are not, since they may be names.
pub fn is_plain_number(text: &[u8]) -> bool {
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
