//! SQL text in the server's encoding as Rust's UTF-8, and back.

use crate::encoding::takes_utf8;
use crate::error::{Error, Result, or_raise};
use crate::sql_type;
use crate::sqlstate::given;
use pgrx::datum::{Datum, UnboxDatum};
use pgrx::pg_sys;
use std::borrow::Cow;
use std::ffi::{c_char, c_int};

/// A `text` value, whatever the encoding of the database.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Utf8(pub String);

/// The text of an argument that must be given; `name` is the argument's.
pub fn required(value: Option<Utf8>, name: &str) -> Result<String> {
    given(value, name).map(|value| value.0)
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

/// What stands for a character that a database cannot have.
const REPLACEMENT: char = '\u{fffd}';

/// Bytes that are converted at once.
const SLICE: usize = 8 << 10;

/// A text of somebody else's as this database can have it. For the character of code 0, which no `text` holds, and for those
/// that the encoding lacks there is U+FFFD, or a question mark where the encoding lacks that too. Needs a transaction.
pub fn sayable(text: String) -> String {
    let text =
        if text.contains('\0') { text.replace('\0', REPLACEMENT.encode_utf8(&mut [0; 4])) } else { text };
    if text.is_ascii() || takes_utf8() { text } else { with_question_marks(&text) }
}

/// The same of JSON, in which a character may also be written by its number.
pub fn sayable_json(json: &str) -> String {
    if !json.contains("\\u") {
        return sayable(json.to_owned());
    }
    let mut plain = String::with_capacity(json.len());
    let mut rest = json;
    while let Some(at) = rest.find('\\') {
        plain.push_str(&rest[..at]);
        let (escape, character) = escaped(&rest[at..]);
        match character {
            // What has a meaning in JSON stays as it is written.
            Some(character) if character.is_ascii() && character != '\0' => plain.push_str(escape),
            Some('\0') => plain.push(REPLACEMENT),
            Some(character) => plain.push(character),
            None => plain.push_str(escape),
        }
        rest = &rest[at + escape.len()..];
    }
    plain.push_str(rest);
    sayable(plain)
}

/// The escape that a text begins with, and the character that it stands for by its number. Halves of a pair that stand alone
/// are no character.
fn escaped(text: &str) -> (&str, Option<char>) {
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

fn with_question_marks(text: &str) -> String {
    let utf8 = pg_sys::pg_enc::PG_UTF8 as i32;
    // SAFETY: a plain read, and a look-up in the catalogue.
    let (encoding, conversion) = unsafe {
        let encoding = pg_sys::GetDatabaseEncoding();
        (encoding, pg_sys::FindDefaultConversionProc(utf8, encoding))
    };
    if conversion == pg_sys::InvalidOid {
        return text.to_owned();
    }
    let mut said = String::with_capacity(text.len());
    let mut buffer = vec![0u8; SLICE * pg_sys::MAX_CONVERSION_GROWTH as usize + 1];
    let mut rest = text;
    while !rest.is_empty() {
        let slice = &rest[..rest.floor_char_boundary(SLICE)];
        // SAFETY: reads exactly as many bytes as it is told, and writes no more than there is room for. It does not fail, but
        // says how many bytes it has converted.
        let converted = unsafe {
            let (source, target) = (slice.as_ptr().cast_mut(), buffer.as_mut_ptr());
            let (length, room) = (slice.len() as i32, buffer.len() as i32);
            pg_sys::pg_do_encoding_conversion_buf(
                conversion, utf8, encoding, source, length, target, room, true,
            )
        };
        let good = usize::try_from(converted).unwrap_or(0);
        said.push_str(&rest[..good]);
        rest = &rest[good..];
        if good < slice.len() {
            said.push('?');
            rest = &rest[rest.chars().next().map_or(0, char::len_utf8)..];
        }
    }
    said
}

/// A `text` datum in the server's encoding, in the current memory context.
pub fn utf8_datum(text: &str) -> pg_sys::Datum {
    // SAFETY: both functions read exactly the length that they are given; pg_any_to_server answers its argument or a
    // NUL-terminated copy.
    unsafe {
        let bytes = text.as_ptr().cast::<c_char>();
        let length = text.len() as i32;
        let converted = pg_sys::pg_any_to_server(bytes, length, pg_sys::pg_enc::PG_UTF8 as i32);
        let length = if std::ptr::eq(converted, bytes) { length } else { libc::strlen(converted) as i32 };
        pg_sys::Datum::from(pg_sys::cstring_to_text_with_len(converted, length))
    }
}

/// A text without what the database cannot hold: question marks stand for characters that its encoding does not have, and
/// U+FFFD, or a question mark, for NUL. Only where a transaction is open.
pub fn representable(text: &str) -> Cow<'_, str> {
    let text =
        if text.contains('\0') { Cow::Owned(text.replace('\0', "\u{fffd}")) } else { Cow::Borrowed(text) };
    // SAFETY: a plain read of the database's encoding.
    let encoding = unsafe { pg_sys::GetDatabaseEncoding() };
    let holds_all =
        encoding == pg_sys::pg_enc::PG_UTF8 as i32 || encoding == pg_sys::pg_enc::PG_SQL_ASCII as i32;
    if holds_all || text.is_ascii() { text } else { Cow::Owned(replace_foreign(&text, encoding)) }
}

fn replace_foreign(text: &str, encoding: c_int) -> String {
    let mut kept = String::with_capacity(text.len());
    let mut rest = text;
    while !rest.is_empty() {
        // A window, since all of it is looked at again after each character that is replaced.
        let window = &rest[..rest.floor_char_boundary(WINDOW)];
        let (known, unknown) = window.split_at(convertible(window, encoding));
        kept.push_str(known);
        rest = &rest[known.len()..];
        if let Some(foreign) = unknown.chars().next() {
            kept.push('?');
            rest = &rest[foreign.len_utf8()..];
        }
    }
    kept
}

/// Bytes that are converted at once.
const WINDOW: usize = 256;

/// As many bytes of a text, [`WINDOW`] at most, as an encoding has all characters of.
fn convertible(text: &str, encoding: c_int) -> usize {
    // Grows by four at most (MAX_CONVERSION_GROWTH in pg_wchar.h).
    let mut converted = [0_u8; WINDOW * 4 + 1];
    // SAFETY: both buffers live through the call and have the lengths that are given; nothing is raised where a character
    // cannot be converted.
    let bytes = unsafe {
        let utf8 = pg_sys::pg_enc::PG_UTF8 as c_int;
        let conversion = pg_sys::FindDefaultConversionProc(utf8, encoding);
        if conversion == pg_sys::InvalidOid {
            return text.len();
        }
        pg_sys::pg_do_encoding_conversion_buf(
            conversion,
            utf8,
            encoding,
            text.as_ptr().cast_mut(),
            text.len() as c_int,
            converted.as_mut_ptr(),
            converted.len() as c_int,
            true,
        )
    };
    text.floor_char_boundary(bytes.max(0) as usize)
}

/// The UTF-8 of a `text` datum. Raises 22021 where the bytes are not text.
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

/// The same for its first bytes, at most so many and without half a character; and how many bytes there are.
///
/// # Safety
/// As above.
pub unsafe fn utf8_start_from_datum(datum: pg_sys::Datum, most: usize) -> (String, usize) {
    // SAFETY: the caller vouches for the datum; pg_mbcliplen reads no more than the length that it is given.
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

/// The UTF-8 of bytes in the server's encoding.
fn utf8_from_bytes(bytes: &[u8]) -> Result<String, Error> {
    if bytes.is_ascii() || takes_utf8() {
        return std::str::from_utf8(bytes).map(str::to_owned).map_err(|error| {
            Error::not_in_encoding(format!("text is not valid UTF-8 at byte {}", error.valid_up_to() + 1),
            )
            .hint("Convert it with convert_from(bytes, encoding), or use a database with the encoding UTF8.")
        });
    }
    // SAFETY: the function reads exactly the length that it is given and answers a NUL-terminated copy.
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
