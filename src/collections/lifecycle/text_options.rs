//! Text search options of a collection.

use pgrx::pg_sys;

/// Changes of the text search options; None leaves an option as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TextOptions {
    /// Text search configuration.
    pub language: Option<pg_sys::Oid>,
    /// True if compound tokens are to be found by their parts as well.
    pub word_parts: Option<bool>,
    /// True if letters with and without accents are to be treated as equal.
    pub ignore_accents: Option<bool>,
}

impl TextOptions {
    /// True if any option changes.
    pub fn changes_anything(&self) -> bool {
        self.language.is_some() || self.word_parts.is_some() || self.ignore_accents.is_some()
    }
}
