//! An inverted index of chunks in immutable segments, whose pages are kept by somebody else: Postgres keeps them as rows of a table.
//!
//! A *segment* indexes some chunks. Its chunks are numbered by *ordinals*, in the order of their lengths in words and then of their
//! numbers. So the length of a chunk, which BM25 needs, follows from its ordinal and a short table, and chunks of the same
//! length with the same score are in the order of their numbers.
//!
//! A segment's page 0 has its [`header`]. The other pages, or the rest of page 0 if that is enough, are one sequence of bytes:
//!
//! - the chunks' numbers, all of the same width;
//! - the postings of each term ([`postings`]), unless they are so short that the dictionary has them, and between them the blocks of
//!   the [`dictionary`], a tree by terms;
//! - the table of lengths.
//!
//! Each change of a collection adds a segment, and [`merge`] makes one of several. Chunks that are deleted stay in their segment until
//! then; a segment without chunks notes how many they are. Where the index was built again, [`given_lengths`] has what the table of
//! chunks has not. [`rank`] finds the best chunks of all segments, exactly: scores, and
//! their order, are those of scoring every chunk.
//!
//! Nothing that is read is trusted, since whoever owns a table may have changed it: what makes no sense is [`Damage`].

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

/// Length of each page but the last, in bytes: with what Postgres adds to it, a row that fills a page of a table.
pub const PAGE_BYTES: usize = 8096;

/// A segment's bytes are not what was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("segment {segment} of the text index is damaged in page {page}: {what}")]
pub struct Damage {
    /// The segment's number.
    pub segment: i64,
    /// The page, or that in which begins what was read.
    pub page: u32,
    /// What makes no sense.
    pub what: &'static str,
}

/// Where pages are read.
pub trait Pages {
    /// What may go wrong.
    type Error: From<Damage>;

    /// A page of a segment, if there is such a page.
    ///
    /// # Errors
    /// What the place says where it cannot be read.
    fn page(&mut self, segment: i64, page: u32) -> Result<Option<Vec<u8>>, Self::Error>;
}

/// One occurrence of a term in a chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Posting {
    /// The chunk's ordinal in its segment.
    pub ordinal: u32,
    /// How often the term stands in it; at least 1.
    pub frequency: u32,
    /// In which fields it stands, as bits whose meaning is the caller's.
    pub fields: u8,
}

#[cfg(test)]
mod tests;
