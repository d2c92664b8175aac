//! The text of a log, converted to UTF-8.

use pgrx::PgLogLevel;
use ragstone_pg::encoding;
use ragstone_pg::error::Error;
use std::borrow::Cow;

/// A log in UTF-8: the caller's bytes if they are valid, otherwise a converted copy.
pub struct LogText<'a>(Cow<'a, [u8]>);

impl<'a> LogText<'a> {
    /// The log of a `text` argument, whose bytes are in the server's encoding.
    pub fn of_text(bytes: &'a [u8]) -> Self {
        if encoding::is_utf8() {
            // PostgreSQL has validated the argument.
            return Self(Cow::Borrowed(bytes));
        }
        match encoding::decode(bytes) {
            Some(converted) => Self(Cow::Owned(converted)),
            None => Self::of_bytes(bytes),
        }
    }

    /// The log of bytes that should be UTF-8. Invalid bytes and NUL, which a `text` value cannot contain,
    /// become U+FFFD, and a NOTICE gives their number.
    pub fn of_bytes(bytes: &'a [u8]) -> Self {
        if std::str::from_utf8(bytes).is_ok() && memchr::memchr(0, bytes).is_none() {
            return Self(Cow::Borrowed(bytes));
        }
        let mut text = String::with_capacity(bytes.len());
        let mut replaced = 0;
        for chunk in bytes.utf8_chunks() {
            for (index, part) in chunk.valid().split('\0').enumerate() {
                if index > 0 {
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

    /// The log's bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }
}
