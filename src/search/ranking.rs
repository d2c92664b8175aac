//! One ranking of a collection's chunks.

use crate::search::rows::Reader;
use ragstone_core::fusion::Scored;
use ragstone_pg::error::Result;

/// Chunks, best first.
#[derive(Debug, Default)]
pub struct Ranking {
    /// Chunks with their scores.
    pub scored: Vec<Scored>,
    /// True if there are no more chunks.
    pub exhausted: bool,
}

impl Ranking {
    /// Keeps the first `wanted` chunks whose rows the caller may see, or all of these if there are fewer. Looks at so many at a time
    /// that they should be enough if a share of them is visible. Returns how many were looked at.
    pub fn keep_visible(&mut self, reader: &mut Reader, wanted: usize, share: f64) -> Result<usize> {
        let ranked = std::mem::take(&mut self.scored);
        let slice = (wanted as f64 / share.max(f64::MIN_POSITIVE)).min(ranked.len() as f64) as usize;
        let mut looked_at = 0;
        for slice in ranked.chunks(slice.max(1)) {
            reader.look_at(slice.iter().map(|(chunk, _)| *chunk))?;
            looked_at += slice.len();
            self.scored.extend(slice.iter().filter(|(chunk, _)| reader.may_see(*chunk)));
            if self.scored.len() >= wanted {
                break;
            }
        }
        self.exhausted &= looked_at == ranked.len() && self.scored.len() <= wanted;
        self.scored.truncate(wanted);
        Ok(looked_at)
    }

    /// Whether there are as many chunks as are wanted, or no more.
    pub fn is_complete(&self, wanted: usize) -> bool {
        self.exhausted || self.scored.len() >= wanted
    }
}
