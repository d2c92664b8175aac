//! The text of a log in UTF-8.

use pgrx::PgLogLevel;
use ragstone_pg::encoding;
use ragstone_pg::error::Error;
use std::borrow::Cow;

/// A log in UTF-8, where it was given or a copy.
pub struct Content<'a>(Cow<'a, [u8]>);

impl<'a> Content<'a> {
    /// Of a `text` argument: bytes in the server's encoding.
    pub fn of_text(bytes: &'a [u8]) -> Self {
        if encoding::is_utf8() {
            // Postgres has checked it when it came.
            return Self(Cow::Borrowed(bytes));
        }
        match encoding::decode(bytes) {
            Some(converted) => Self(Cow::Owned(converted)),
            None => Self::of_bytes(bytes),
        }
    }

    /// Of bytes that should be UTF-8. What is not, and each zero, which no text of Postgres's can hold, becomes U+FFFD, with a
    /// NOTICE.
    pub fn of_bytes(bytes: &'a [u8]) -> Self {
        if std::str::from_utf8(bytes).is_ok() && memchr::memchr(0, bytes).is_none() {
            return Self(Cow::Borrowed(bytes));
        }
        let mut text = String::with_capacity(bytes.len());
        let mut replaced = 0;
        for chunk in bytes.utf8_chunks() {
            for (place, part) in chunk.valid().split('\0').enumerate() {
                if place > 0 {
                    text.push(char::REPLACEMENT_CHARACTER);
                    replaced += 1;
                }
                text.push_str(part);
            }
            if !chunk.invalid().is_empty() {
                text.push(char::REPLACEMENT_CHARACTER);
                replaced += chunk.invalid().len();
            }
        }
        let message = format!("log has {replaced} bytes that are not valid UTF-8, shown as U+FFFD");
        Error::not_in_encoding(message).notice(PgLogLevel::NOTICE);
        Self(Cow::Owned(text.into_bytes()))
    }

    /// All of it.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }
}
