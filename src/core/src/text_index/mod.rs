//! An inverted index of chunks in immutable segments. The caller stores the pages of the segments: in PostgreSQL, each page
//! is a row of a table.
//!
//! A *segment* indexes some chunks. *Ordinals* number its chunks in the order of their lengths in words, and then of their
//! numbers. The length of a chunk, which BM25 needs, therefore follows from its ordinal and a short table, and chunks of
//! the same length and score are sorted by number.
//!
//! A segment's page 0 contains its [`header`]. The other pages, or the rest of page 0 if that is large enough, are one
//! sequence of bytes:
//!
//! - the chunks' numbers, all of the same width;
//! - the postings of each term ([`postings`]), unless they are short enough for the dictionary, and between them the blocks
//!   of the [`dictionary`], a tree of terms;
//! - the table of lengths.
//!
//! Each change of a collection adds a segment, and [`merge`] combines several into one. Deleted chunks stay in their
//! segment until then; a segment without chunks notes how many were deleted. If the index was rebuilt, [`given_lengths`]
//! has the lengths that differ from the table of chunks. [`rank`] finds the best chunks of all segments exactly: scores and
//! order are the same as when every chunk is scored.
//!
//! Pages are read without trust, because the owner of a table may have changed it: inconsistent bytes are reported as [`Damage`].

mod build;
mod bytes;
mod chunk_set;
mod cursor;
pub mod dictionary;
mod expand;
mod given_lengths;
pub mod header;
pub mod merge;
mod ordinals;
pub mod postings;
mod query_term;
pub mod rank;
mod segment;
mod segment_search;
mod top;
pub mod worthwhile;
mod writer;

pub use build::{IndexedChunk, build};
pub use chunk_set::ChunkSet;
pub use expand::{FoundTerm, MAX_EXPANDED_POSTINGS};
pub use given_lengths::{GIVEN_LENGTHS, write_lengths};
pub use query_term::QueryTerm;
pub use segment::{PageReader, Segment};
pub use writer::SegmentWriter;

use thiserror::Error;

/// Length of each page except the last one, bytes. With PostgreSQL's overhead, such a row fills a page of a table.
pub const PAGE_BYTES: usize = 8096;

/// A segment's bytes are inconsistent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("segment {segment} of the text index is damaged in page {page}: {what}")]
pub struct Damage {
    /// The segment's number.
    pub segment: i64,
    /// The page, or the page in which the damaged item begins.
    pub page: u32,
    /// The inconsistency.
    pub what: &'static str,
}

/// The storage from which pages are read.
pub trait Pages {
    /// The error of reading a page.
    type Error: From<Damage>;

    /// A page of a segment; `None` if it does not exist.
    ///
    /// # Errors
    /// The page cannot be read.
    fn page(&mut self, segment: i64, page: u32) -> Result<Option<Vec<u8>>, Self::Error>;
}

/// The occurrences of a term in a chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Posting {
    /// The chunk's ordinal in its segment.
    pub ordinal: u32,
    /// Frequency of the term in the chunk; at least 1.
    pub frequency: u32,
    /// The fields that contain the term, as bits whose meaning the caller defines.
    pub fields: u8,
}

#[cfg(test)]
mod tests;
