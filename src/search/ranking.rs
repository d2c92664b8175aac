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
    /// Keeps the first `wanted` chunks whose rows the caller may see, or all such chunks if there are fewer.
    /// Looks up batches that should be large enough if `share` is the share of visible chunks. Returns the
    /// number of chunks that were looked up.
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

    /// True if the ranking has the wanted number of chunks, or if there are no more chunks.
    pub fn is_complete(&self, wanted: usize) -> bool {
        self.exhausted || self.scored.len() >= wanted
    }
}
