//! What a segment is: the start of its page 0.

use serde::{Deserialize, Serialize};
use std::iter::Sum;

/// Changed when segments are written in another way. Those of other formats are refused.
pub const FORMAT: u16 = 1;

/// Where something is in a segment's sequence of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Place {
    /// Of its first byte.
    pub offset: u64,
    /// In bytes.
    pub length: u32,
}

/// Changes of how many chunks and rows a collection has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct IndexCounts {
    /// Chunks that were added, less those that were deleted.
    pub chunks: i64,
    /// The same of rows of the source.
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

/// A segment's description.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Header {
    /// [`FORMAT`].
    pub format: u16,
    /// Number of chunks, those included that were deleted since.
    pub docs: u32,
    /// Sum of their lengths.
    pub words: u64,
    /// What the segment's transactions changed.
    pub counts: IndexCounts,
    /// The least number of a chunk.
    pub least_chunk: i64,
    /// Bytes of each chunk's number, which is kept as what is over the least. All numbers together begin at offset 0.
    pub chunk_width: u8,
    /// The dictionary's root.
    pub root: Place,
    /// Levels of the dictionary's tree below the root.
    pub depth: u8,
    /// The table of lengths.
    pub lengths: Place,
    /// Whether the bytes follow the header in page 0.
    pub is_small: bool,
}
