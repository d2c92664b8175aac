//! What a `jsonb` value of a step is written from.

use super::text_span::TextSpan;

/// Appends UTF-8 text in the encoding of the database, with a replacement for each character that this encoding lacks.
pub type Encode<'e> = &'e dyn Fn(&[u8], &mut Vec<u8>);

/// What a `jsonb` value is written from.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub enum JsonbSource {
    /// Nothing: the column is NULL.
    #[default]
    Nothing,
    /// A value of the document that is being read.
    Node(u32),
    /// An `AnyValue` of OTLP: an object whose key says the type.
    Any(u32),
    /// A list of keys and `AnyValue`s.
    KeyValues(u32),
    /// A string.
    Text(TextSpan),
    /// A text that may itself be JSON, as texts of attributes often are. A string if it is not.
    Json(TextSpan),
    /// JSON elsewhere in the log, whose index is not kept.
    Raw(TextSpan),
    /// A text without quotes: a number where it looks like one.
    Bare(TextSpan),
    /// A whole number.
    Int(i64),
    /// `true`.
    True,
    /// The members that were collected for the attributes.
    Members,
}
