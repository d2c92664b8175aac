//! Bytes in the server's encoding that must not fail to be converted: what cannot be is replaced.

use crate::error::{Error, Result};
use pgrx::pg_sys;
use std::ffi::{CStr, CString, c_char, c_int};

const UTF8: c_int = pg_sys::pg_enc::PG_UTF8 as c_int;
const ANY: c_int = pg_sys::pg_enc::PG_SQL_ASCII as c_int;

/// Whether texts of the database are in UTF-8.
pub fn is_utf8() -> bool {
    of_database() == UTF8
}

/// Whether UTF-8 is stored as it comes: also where nothing is said of the encoding.
pub fn takes_utf8() -> bool {
    matches!(of_database(), UTF8 | ANY)
}

/// Text of the database in UTF-8. None where it is in no encoding at all.
pub fn decoded(bytes: &[u8]) -> Option<Vec<u8>> {
    if of_database() == ANY {
        return None;
    }
    // SAFETY: the function reads exactly the length that it is given, and gives its argument or a terminated copy.
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

/// Appends UTF-8 in the database's encoding; a question mark stands for each character that this has not.
pub fn encode(utf8: &[u8], out: &mut Vec<u8>) {
    let encoding = of_database();
    if matches!(encoding, UTF8 | ANY) || utf8.is_ascii() {
        out.extend_from_slice(utf8);
        return;
    }
    // SAFETY: a look-up in the catalogue.
    let conversion = unsafe { pg_sys::FindDefaultConversionProc(UTF8, encoding) };
    for character in String::from_utf8_lossy(utf8).chars() {
        if character.is_ascii() {
            out.push(character as u8);
        } else {
            out.extend_from_slice(converted(character, conversion, encoding).as_deref().unwrap_or(b"?"));
        }
    }
}

/// Bytes that one character takes in any encoding, and a terminator.
const MOST_BYTES: usize = 16;

fn converted(character: char, conversion: pg_sys::Oid, encoding: c_int) -> Option<Vec<u8>> {
    if conversion == pg_sys::InvalidOid {
        return None;
    }
    let (mut source, mut target) = ([0u8; 4], [0u8; MOST_BYTES]);
    let length = character.encode_utf8(&mut source).len();
    // SAFETY: the source has the length that is given, and the target room for one character and a terminator.
    let read = unsafe {
        pg_sys::pg_do_encoding_conversion_buf(
            conversion,
            UTF8,
            encoding,
            source.as_mut_ptr(),
            length as c_int,
            target.as_mut_ptr().cast(),
            MOST_BYTES as c_int,
            true,
        )
    };
    let end = target.iter().position(|byte| *byte == 0)?;
    (read == length as c_int && end > 0).then(|| target[..end].to_vec())
}

fn of_database() -> c_int {
    // SAFETY: a plain read of the database's encoding.
    unsafe { pg_sys::GetDatabaseEncoding() }
}

/// The text in the server's encoding.
pub fn server_cstring(text: &str) -> Result<CString> {
    // SAFETY: the function reads exactly the length that it is given and answers its argument or a terminated copy.
    let converted = unsafe {
        let bytes = text.as_ptr().cast::<c_char>();
        let converted = pg_sys::pg_any_to_server(bytes, text.len() as i32, pg_sys::pg_enc::PG_UTF8 as i32);
        if std::ptr::eq(converted, bytes) { text.as_bytes() } else { CStr::from_ptr(converted).to_bytes() }
    };
    CString::new(converted).map_err(Error::internal)
}
