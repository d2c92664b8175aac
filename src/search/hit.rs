//! A result of a search.

use crate::search::rows::VisibleChunk;
use ragstone_core::fusion::Fused;

/// One result of a search.
#[derive(Debug, Clone)]
pub struct Hit {
    /// The chunk's number, score, ranks and similarity.
    pub ranked: Fused,
    /// True if score and ranks are shown: the caller asked for them, and they do not depend on rows that the
    /// caller may not see.
    pub shows_scores: bool,
    /// The chunk and its row.
    pub chunk: VisibleChunk,
}
