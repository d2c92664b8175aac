//! One page of the results of a search. The results come in blocks, whose depths do not depend on the page, so that
//! all pages are parts of one list: no result occurs in two of them, and none is skipped.

use crate::search::candidates::Candidates;
use crate::search::hit::Hit;
use crate::search::request::SearchRequest;
use crate::search::rows::Reader;
use ragstone_core::fusion::Fused;
use ragstone_pg::error::Result;
use std::collections::HashSet;

/// Minimum number of chunks in one look-up: some of them may be hidden from the caller, or deleted.
const MIN_LOOKUP_CHUNKS: usize = 16;

/// A page that is being filled.
pub struct Page<'r> {
    request: &'r SearchRequest,
    hits: Vec<Hit>,
    /// Number of results of earlier pages that are still to be passed over.
    left: usize,
    /// The chunks of all blocks so far: a deeper block ranks them again.
    ranked: HashSet<i64>,
    /// Keys of the rows of all results so far, if each row occurs once.
    sources: HashSet<Vec<u8>>,
}

impl<'r> Page<'r> {
    /// An empty page.
    pub fn new(request: &'r SearchRequest) -> Self {
        let (ranked, sources) = (HashSet::new(), HashSet::new());
        Self { request, hits: Vec::with_capacity(request.k), left: request.page_offset, ranked, sources }
    }

    /// True if the page needs no more results.
    pub fn is_full(&self) -> bool {
        self.hits.len() == self.request.k
    }

    /// Adds the results of the current block.
    pub fn add_block(&mut self, candidates: &mut Candidates, reader: &mut Reader) -> Result<()> {
        let mut ranking = candidates.rank(reader)?;
        ranking.retain(|fused| self.ranked.insert(fused.chunk));
        let shows_scores = self.request.scores && candidates.are_scores_of_visible_rows();
        let mut rest = ranking.as_mut_slice();
        while !self.is_full() && !rest.is_empty() {
            let wanted = self.left + self.request.k - self.hits.len();
            let slice = wanted.max(MIN_LOOKUP_CHUNKS).min(rest.len());
            let (now, later) = std::mem::take(&mut rest).split_at_mut(slice);
            rest = later;
            if self.request.min_similarity.is_some() {
                candidates.measure(now.iter_mut())?;
            }
            let similar: Vec<&Fused> = now.iter().filter(|fused| self.is_similar(fused)).collect();
            let numbers: Vec<i64> = similar.iter().map(|fused| fused.chunk).collect();
            reader.read(&numbers)?;
            for fused in similar {
                self.add(*fused, shows_scores, reader);
            }
        }
        Ok(())
    }

    fn is_similar(&self, fused: &Fused) -> bool {
        self.request.min_similarity.is_none_or(|least| fused.similarity.is_some_and(|found| found >= least))
    }

    /// Adds a chunk if it is a result of this page.
    fn add(&mut self, ranked: Fused, shows_scores: bool, reader: &Reader) {
        let Some(chunk) = reader.visible(ranked.chunk) else { return };
        if self.is_full() || self.request.per_source && !self.sources.insert(chunk.row.key.0.clone()) {
            return;
        }
        match self.left.checked_sub(1) {
            Some(left) => self.left = left,
            None => self.hits.push(Hit { ranked, shows_scores, chunk: chunk.clone() }),
        }
    }

    /// The hits, with their similarities if these are shown or needed.
    pub fn into_hits(mut self, candidates: &mut Candidates) -> Result<Vec<Hit>> {
        if self.request.scores {
            candidates.measure(self.hits.iter_mut().map(|hit| &mut hit.ranked))?;
        }
        Ok(self.hits)
    }
}
