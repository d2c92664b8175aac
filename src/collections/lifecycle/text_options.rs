//! Options by which the words of a collection are found.

use pgrx::pg_sys;

/// How words are found, so far as it changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TextOptions {
    /// Text search configuration.
    pub language: Option<pg_sys::Oid>,
    /// Whether compound tokens are found by their parts, too.
    pub word_parts: Option<bool>,
    /// Whether letters with and without accents are the same.
    pub ignore_accents: Option<bool>,
}

impl TextOptions {
    /// Whether there is anything to change.
    pub fn changes_anything(&self) -> bool {
        self.language.is_some() || self.word_parts.is_some() || self.ignore_accents.is_some()
    }
}
