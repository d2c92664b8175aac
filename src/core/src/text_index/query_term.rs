//! Terms of a query.

use super::dictionary::TermEntry;

/// A term of a query.
#[derive(Debug, Clone, PartialEq)]
pub struct QueryTerm {
    /// The term.
    pub lexeme: Vec<u8>,
    /// Number of chunks that contain it, including chunks that were deleted since the last merge.
    pub chunks: u64,
    /// Its weight.
    pub idf: f64,
    /// The entry of each segment's dictionary, in the order of the index's segments.
    entries: Vec<Option<TermEntry>>,
}

impl QueryTerm {
    pub(super) fn new(lexeme: Vec<u8>, chunks: u64, idf: f64, entries: Vec<Option<TermEntry>>) -> Self {
        Self { lexeme, chunks, idf, entries }
    }

    /// The entry in the dictionary of the segment at `place`.
    pub(super) fn entry(&self, place: usize) -> Option<&TermEntry> {
        self.entries.get(place)?.as_ref()
    }
}
