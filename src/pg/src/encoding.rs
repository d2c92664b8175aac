//! Converts between UTF-8 and the database's encoding, with or without replacing characters that cannot be converted.

use crate::error::{Error, Result};
use pgrx::pg_sys;
use std::borrow::Cow;
use std::ffi::{CStr, CString, c_char, c_int};

const UTF8: c_int = pg_sys::pg_enc::PG_UTF8 as c_int;
const SQL_ASCII: c_int = pg_sys::pg_enc::PG_SQL_ASCII as c_int;

/// True if texts of the database are in UTF-8.
pub fn is_utf8() -> bool {
    database_encoding() == UTF8
}

/// True if UTF-8 is stored without conversion: in a database with the encoding UTF8 or SQL_ASCII.
pub fn accepts_utf8() -> bool {
    matches!(database_encoding(), UTF8 | SQL_ASCII)
}

/// Converts text of the database to UTF-8; `None` if the database has no encoding (SQL_ASCII).
pub fn decode(bytes: &[u8]) -> Option<Vec<u8>> {
    if database_encoding() == SQL_ASCII {
        return None;
    }
    // SAFETY: the function reads exactly the given length, and returns its argument or a terminated copy.
    unsafe {
        let start = bytes.as_ptr().cast();
        let converted = pg_sys::pg_server_to_any(start, bytes.len() as c_int, UTF8);
        if std::ptr::eq(converted, start) {
            return Some(bytes.to_vec());
        }
        let copy = CStr::from_ptr(converted).to_bytes().to_vec();
        pg_sys::pfree(converted.cast());
        Some(copy)
    }
}

/// Converts text of the database to UTF-8, with replacement characters for invalid bytes.
pub fn decode_lossy(bytes: &[u8]) -> Cow<'_, str> {
    if accepts_utf8() {
        return String::from_utf8_lossy(bytes);
    }
    let decoded = decode(bytes);
    Cow::Owned(String::from_utf8_lossy(decoded.as_deref().unwrap_or(bytes)).into_owned())
}

/// Appends UTF-8 in the database's encoding, with a question mark for each character that the encoding lacks.
pub fn encode(utf8: &[u8], out: &mut Vec<u8>) {
    if accepts_utf8() || utf8.is_ascii() {
        out.extend_from_slice(utf8);
        return;
    }
    convert(&String::from_utf8_lossy(utf8), |part| match part {
        Part::Converted { bytes, .. } => out.extend_from_slice(bytes),
        Part::Unencodable => out.push(b'?'),
    });
}

/// The text, still in UTF-8, with a question mark for each character that the database's encoding lacks.
pub(crate) fn with_question_marks(text: &str) -> String {
    let mut replaced = String::with_capacity(text.len());
    convert(text, |part| match part {
        Part::Converted { text, .. } => replaced.push_str(text),
        Part::Unencodable => replaced.push('?'),
    });
    replaced
}

/// A part of a text that is being converted.
enum Part<'a> {
    /// Characters that the encoding has, and their bytes in that encoding.
    Converted { text: &'a str, bytes: &'a [u8] },
    /// A character that the encoding lacks.
    Unencodable,
}

/// Bytes that are converted at once. After a character that cannot be converted, the rest of the window is converted again.
const WINDOW: usize = 256;

/// Converts a text into the database's encoding, and calls `emit` with its parts in order.
fn convert(text: &str, mut emit: impl FnMut(Part<'_>)) {
    let encoding = database_encoding();
    // SAFETY: a look-up in the catalogue.
    let conversion = unsafe { pg_sys::FindDefaultConversionProc(UTF8, encoding) };
    let mut target = [0_u8; WINDOW * pg_sys::MAX_CONVERSION_GROWTH as usize + 1];
    let mut rest = text;
    while !rest.is_empty() {
        let window = &rest[..rest.floor_char_boundary(WINDOW)];
        let length = convert_window(window, conversion, encoding, &mut target);
        let (encodable, remaining) = rest.split_at(length);
        if length > 0 {
            let end = target.iter().position(|byte| *byte == 0).unwrap_or(target.len());
            emit(Part::Converted { text: encodable, bytes: &target[..end] });
        }
        rest = remaining;
        if length < window.len()
            && let Some(character) = remaining.chars().next()
        {
            emit(Part::Unencodable);
            rest = &remaining[character.len_utf8()..];
        }
    }
}

/// Converts the longest prefix of `window` whose characters the encoding has. Returns the prefix's length in bytes.
/// `target` gets the converted text with a terminator.
fn convert_window(window: &str, conversion: pg_sys::Oid, encoding: c_int, target: &mut [u8]) -> usize {
    if conversion == pg_sys::InvalidOid {
        let ascii = window.bytes().take_while(u8::is_ascii).count();
        target[..ascii].copy_from_slice(&window.as_bytes()[..ascii]);
        target[ascii] = 0;
        return ascii;
    }
    // SAFETY: both buffers live through the call and have the given lengths; the target has room for the longest conversion
    // and a terminator. A character that cannot be converted does not raise an ERROR.
    let read = unsafe {
        pg_sys::pg_do_encoding_conversion_buf(
            conversion,
            UTF8,
            encoding,
            window.as_ptr().cast_mut(),
            window.len() as c_int,
            target.as_mut_ptr(),
            target.len() as c_int,
            true,
        )
    };
    window.floor_char_boundary(usize::try_from(read).unwrap_or(0))
}

fn database_encoding() -> c_int {
    // SAFETY: a plain read of the database's encoding.
    unsafe { pg_sys::GetDatabaseEncoding() }
}

/// The text in the server's encoding, terminated.
pub fn server_cstring(text: &str) -> Result<CString> {
    // SAFETY: the function reads exactly the given length, and returns its argument or a terminated copy.
    let converted = unsafe {
        let bytes = text.as_ptr().cast::<c_char>();
        let converted = pg_sys::pg_any_to_server(bytes, text.len() as c_int, UTF8);
        if std::ptr::eq(converted, bytes) { text.as_bytes() } else { CStr::from_ptr(converted).to_bytes() }
    };
    CString::new(converted).map_err(Error::internal)
}
