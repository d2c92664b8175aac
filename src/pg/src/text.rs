//! Converts SQL text in the server's encoding to Rust's UTF-8, and back.

use crate::encoding::{accepts_utf8, with_question_marks};
use crate::error::{Error, Result, or_raise};
use crate::sql_type;
use crate::sqlstate::given;
use pgrx::datum::{Datum, UnboxDatum};
use pgrx::pg_sys;
use std::borrow::Cow;
use std::ffi::c_char;

/// Longest text that is a key of a B-tree, with room for the rest of its row: PostgreSQL takes 2,704 bytes.
const MAX_INDEXED_BYTES: usize = 1000;

/// A `text` value, whatever the encoding of the database.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Utf8(pub String);

/// The text of a required argument; `name` is the argument's name.
pub fn required(value: Option<Utf8>, name: &str) -> Result<String> {
    given(value, name).map(|value| value.0)
}

/// Refuses a text, given as the argument `name`, that is too long to be found by an index.
///
/// # Errors
/// 22023.
pub fn check_indexable(text: &str, name: &str) -> Result<()> {
    if text.len() <= MAX_INDEXED_BYTES {
        return Ok(());
    }
    Err(Error::bad_argument(format!(
        "{name} must have at most {MAX_INDEXED_BYTES} bytes, not {}",
        text.len()
    )))
}

/// The text of an argument, or the argument's default where it is NULL.
pub fn text_or(value: Option<Utf8>, default: &str) -> String {
    value.map_or_else(|| default.to_owned(), |value| value.0)
}

impl From<String> for Utf8 {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl From<&str> for Utf8 {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

/// Replaces a character that a `text` cannot contain.
const REPLACEMENT: char = '\u{fffd}';

/// Replaces characters that this database cannot store: NUL by U+FFFD, and each character that the database's encoding
/// lacks by a question mark. Needs a transaction, because conversions are looked up in the catalogue.
pub fn replace_unencodable<'a>(text: impl Into<Cow<'a, str>>) -> Cow<'a, str> {
    let text = text.into();
    let text = if text.contains('\0') {
        Cow::Owned(text.replace('\0', REPLACEMENT.encode_utf8(&mut [0; 4])))
    } else {
        text
    };
    if text.is_ascii() || accepts_utf8() { text } else { Cow::Owned(with_question_marks(&text)) }
}

/// Like [`replace_unencodable`], for JSON text, in which a character may also be written as an escape.
pub fn replace_unencodable_in_json(json: &str) -> String {
    if !json.contains("\\u") {
        return replace_unencodable(json).into_owned();
    }
    let mut plain = String::with_capacity(json.len());
    let mut rest = json;
    while let Some(at) = rest.find('\\') {
        plain.push_str(&rest[..at]);
        let (escape, character) = parse_escape(&rest[at..]);
        match character {
            // JSON's syntax may require the escape of an ASCII character.
            Some(character) if character.is_ascii() && character != '\0' => plain.push_str(escape),
            Some('\0') => plain.push(REPLACEMENT),
            Some(character) => plain.push(character),
            None => plain.push_str(escape),
        }
        rest = &rest[at + escape.len()..];
    }
    plain.push_str(rest);
    replace_unencodable(plain).into_owned()
}

/// The escape at the beginning of a text, and the character that it encodes if it is a `\u` escape. An unpaired surrogate
/// counts as U+FFFD.
fn parse_escape(text: &str) -> (&str, Option<char>) {
    let unit = |at: usize| {
        let digits = text.get(at..at + 6)?.strip_prefix("\\u")?;
        u16::from_str_radix(digits, 16).ok()
    };
    let Some(first) = unit(0) else {
        let length = 1 + text[1..].chars().next().map_or(0, char::len_utf8);
        return (&text[..length], None);
    };
    match (char::decode_utf16([first]).next(), unit(6)) {
        (Some(Ok(character)), _) => (&text[..6], Some(character)),
        (_, Some(second)) => match char::decode_utf16([first, second]).next() {
            Some(Ok(character)) => (&text[..12], Some(character)),
            _ => (&text[..6], Some(REPLACEMENT)),
        },
        _ => (&text[..6], Some(REPLACEMENT)),
    }
}

/// A `text` datum in the server's encoding, in the current memory context.
pub fn utf8_datum(text: &str) -> pg_sys::Datum {
    // SAFETY: both functions read exactly the given length; pg_any_to_server returns its argument or a NUL-terminated copy.
    unsafe {
        let bytes = text.as_ptr().cast::<c_char>();
        let length = text.len() as i32;
        let converted = pg_sys::pg_any_to_server(bytes, length, pg_sys::pg_enc::PG_UTF8 as i32);
        let length = if std::ptr::eq(converted, bytes) { length } else { libc::strlen(converted) as i32 };
        pg_sys::Datum::from(pg_sys::cstring_to_text_with_len(converted, length))
    }
}

/// The UTF-8 text of a `text` datum. Raises 22021 if the bytes are not valid text.
///
/// # Safety
/// The datum must be a valid, non-null `text`.
pub unsafe fn utf8_from_datum(datum: pg_sys::Datum) -> String {
    // SAFETY: the caller vouches for the datum; the slice is read before anything frees it.
    unsafe {
        let varlena = pg_sys::pg_detoast_datum_packed(datum.cast_mut_ptr());
        let bytes = pgrx::varlena::varlena_to_byte_slice(varlena);
        let text = or_raise(utf8_from_bytes(bytes));
        if !std::ptr::eq(varlena, datum.cast_mut_ptr()) {
            pg_sys::pfree(varlena.cast());
        }
        text
    }
}

/// Like [`utf8_from_datum`], for at most `most` bytes, cut at a character. Also returns the length of the whole text in bytes.
///
/// # Safety
/// The datum must be a valid, non-null `text`.
pub unsafe fn utf8_start_from_datum(datum: pg_sys::Datum, most: usize) -> (String, usize) {
    // SAFETY: the caller vouches for the datum; pg_mbcliplen reads no more than the given length.
    unsafe {
        let varlena = pg_sys::pg_detoast_datum_packed(datum.cast_mut_ptr());
        let bytes = pgrx::varlena::varlena_to_byte_slice(varlena);
        let length = match bytes.len() > most {
            true => pg_sys::pg_mbcliplen(bytes.as_ptr().cast(), bytes.len() as i32, most as i32) as usize,
            false => bytes.len(),
        };
        (or_raise(utf8_from_bytes(&bytes[..length])), bytes.len())
    }
}

/// The UTF-8 text of bytes in the server's encoding.
fn utf8_from_bytes(bytes: &[u8]) -> Result<String, Error> {
    if bytes.is_ascii() || accepts_utf8() {
        return std::str::from_utf8(bytes).map(str::to_owned).map_err(|error| {
            Error::not_in_encoding(format!("text is not valid UTF-8 at byte {}", error.valid_up_to() + 1),
            )
            .hint("Convert it with convert_from(bytes, encoding), or use a database with the encoding UTF8.")
        });
    }
    // SAFETY: the function reads exactly the given length and returns a NUL-terminated copy.
    let converted = unsafe {
        let converted = pg_sys::pg_server_to_any(
            bytes.as_ptr().cast(),
            bytes.len() as i32,
            pg_sys::pg_enc::PG_UTF8 as i32,
        );
        std::ffi::CStr::from_ptr(converted)
    };
    String::from_utf8(converted.to_bytes().to_vec()).map_err(Error::internal)
}

sql_type::value!(Utf8, "text", pg_sys::TEXTOID, utf8_from_datum, utf8_datum);

// SAFETY: the elements of a text array are text datums.
unsafe impl UnboxDatum for Utf8 {
    type As<'src> = Self;

    unsafe fn unbox<'src>(datum: Datum<'src>) -> Self
    where
        Self: 'src,
    {
        // SAFETY: as promised by the caller.
        Self(unsafe { utf8_from_datum(datum.sans_lifetime()) })
    }
}
