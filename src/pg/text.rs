//! SQL text in the server's encoding as Rust's UTF-8, and back.

use crate::pg::error::{Error, or_raise};
use crate::pg::sql_type;
use pgrx::datum::{Datum, UnboxDatum};
use pgrx::{PgSqlErrorCode, pg_sys};
use std::ffi::c_char;

/// A `text` value, whatever the encoding of the database.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Utf8(pub String);

/// The value of an argument that must be given; `name` is the argument's.
pub fn required(value: Option<Utf8>, name: &str) -> Result<String, Error> {
    value.map(|value| value.0).ok_or_else(|| {
        Error::new(PgSqlErrorCode::ERRCODE_NULL_VALUE_NOT_ALLOWED, format!("{name} must not be null"))
    })
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
    // SAFETY: a plain read of the database's encoding.
    let encoding = unsafe { pg_sys::GetDatabaseEncoding() };
    let same = encoding == pg_sys::pg_enc::PG_UTF8 as i32 || encoding == pg_sys::pg_enc::PG_SQL_ASCII as i32;
    if same || bytes.is_ascii() {
        return std::str::from_utf8(bytes).map(str::to_owned).map_err(|error| {
            Error::new(
                PgSqlErrorCode::ERRCODE_CHARACTER_NOT_IN_REPERTOIRE,
                format!("text is not valid UTF-8 at byte {}", error.valid_up_to() + 1),
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
