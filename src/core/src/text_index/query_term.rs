//! Terms of a query.

use super::dictionary::TermEntry;

/// A term of a query.
#[derive(Debug, Clone, PartialEq)]
pub struct QueryTerm {
    /// The term.
    pub lexeme: Vec<u8>,
    /// Number of chunks that hold it, those included that were deleted since the last merge.
    pub chunks: u64,
    /// Its weight.
    pub idf: f64,
    /// What each segment's dictionary has of it, in the order of the index's segments.
    entries: Vec<Option<TermEntry>>,
}

impl QueryTerm {
    pub(super) fn new(lexeme: Vec<u8>, chunks: u64, idf: f64, entries: Vec<Option<TermEntry>>) -> Self {
        Self { lexeme, chunks, idf, entries }
    }

    /// What the dictionary of the segment at a place has of it.
    pub(super) fn entry(&self, place: usize) -> Option<&TermEntry> {
        self.entries.get(place)?.as_ref()
    }
}
