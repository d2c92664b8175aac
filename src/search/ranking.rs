//! One ranking of a collection's chunks.

use ragstone_core::fusion::Scored;

/// Chunks, best first.
#[derive(Debug, Default)]
pub struct Ranking {
    /// With their scores.
    pub scored: Vec<Scored>,
    /// Whether there are no more.
    pub exhausted: bool,
}
