//! The header of a segment, which begins its page 0.

use serde::{Deserialize, Serialize};
use std::iter::Sum;

/// The format of segments. It changes with the way in which segments are written; other formats are refused.
pub const FORMAT: u16 = 1;

/// A range in a segment's sequence of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Place {
    /// Offset of the first byte.
    pub offset: u64,
    /// Length in bytes.
    pub length: u32,
}

/// Changes in the numbers of a collection's chunks and rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct IndexCounts {
    /// Number of added chunks minus number of deleted chunks.
    pub chunks: i64,
    /// Number of added rows minus number of deleted rows of the source.
    pub rows: i64,
}

impl Sum for IndexCounts {
    fn sum<I: Iterator<Item = Self>>(counts: I) -> Self {
        counts.fold(Self::default(), |sum, counts| Self {
            chunks: sum.chunks.saturating_add(counts.chunks),
            rows: sum.rows.saturating_add(counts.rows),
        })
    }
}

/// The header of a segment.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Header {
    /// [`FORMAT`].
    pub format: u16,
    /// Number of chunks, including chunks that were deleted since.
    pub docs: u32,
    /// Sum of their lengths, words.
    pub words: u64,
    /// The changes that the segment's transactions made.
    pub counts: IndexCounts,
    /// The lowest number of a chunk.
    pub least_chunk: i64,
    /// Bytes of each chunk's number, which is stored as its difference from the lowest one. The numbers begin at offset 0.
    pub chunk_width: u8,
    /// The root of the dictionary.
    pub root: Place,
    /// Levels of the dictionary's tree below the root.
    pub depth: u8,
    /// The table of lengths.
    pub lengths: Place,
    /// True if the bytes follow the header in page 0.
    pub is_small: bool,
}
