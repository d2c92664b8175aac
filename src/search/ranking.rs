//! One ranking of a collection's chunks.

use ragstone_core::fusion::Scored;

/// Chunks, best first.
#[derive(Debug, Default)]
pub struct Ranking {
    /// Chunks with their scores.
    pub scored: Vec<Scored>,
    /// True if there are no more chunks.
    pub exhausted: bool,
}

impl Ranking {
    /// The chunks' numbers.
    pub fn chunks(&self) -> impl Iterator<Item = i64> {
        self.scored.iter().map(|(chunk, _)| *chunk)
    }
}
