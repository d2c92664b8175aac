//! Two rankings of a collection's chunks, deeper at each round. They are made as the chunk table's owner: whether the
//! caller may see a row is asked when it is looked up.

use crate::collections::catalog::collection::Collection;
use crate::search::filter::Filter;
use crate::search::ranking::Ranking;
use crate::search::request::{Mode, SearchRequest};
use crate::search::text::TextSearch;
use crate::search::vector::VectorSearch;
use ragstone_core::fusion::{Fused, Fusion, Scored, fuse};
use ragstone_pg::error::Result;

/// Chunks of each ranking in the first round. With a weight of 0.5, the mean nDCG@10 over SciFact, Cranfield and a set of
/// Anthropic's documentation is 0.700 for 50, 100 and 200 chunks of each, and 0.697 for 1,000; with 100, weights of 0.4 and
/// 0.6 give 0.695 and 0.697. Looking up the scores that a chunk has only in the other ranking gains nothing (0.698).
const FIRST_DEPTH: usize = 100;

/// The same where the vector ranking is not fused with another: as many as an HNSW index looks at by itself.
const FIRST_DEPTH_ALONE: usize = 40;

/// How much deeper each round goes.
const DEPTH_GROWTH: usize = 4;

/// The candidates of one search.
pub struct Candidates<'a> {
    collection: &'a Collection,
    mode: Mode,
    fusion: Fusion,
    filter: Option<Filter>,
    vector: Option<VectorSearch<'a>>,
    text: Option<TextSearch<'a>>,
    depth: usize,
    exhausted: bool,
}

impl<'a> Candidates<'a> {
    /// Sends the query to the engine, and looks up its words meanwhile.
    pub fn start(collection: &'a Collection, request: &SearchRequest) -> Result<Self> {
        let has = |wanted: bool| wanted.then_some(());
        let vector = has(request.mode.has_vector()).map(|()| VectorSearch::start(collection, &request.query));
        let vector = vector.transpose()?;
        let filter = request.filter.as_ref().map(|filter| Filter::new(collection, filter)).transpose()?;
        let text = has(request.mode.has_text()).map(|()| TextSearch::new(collection, &request.query));
        Ok(Self {
            collection,
            mode: request.mode,
            fusion: request.fusion,
            filter,
            vector,
            text: text.transpose()?,
            depth: first_depth(request),
            exhausted: false,
        })
    }

    /// The fused ranking at the present depth.
    pub fn rank(&mut self) -> Result<Vec<Fused>> {
        let filter = self.filter.as_ref();
        let nothing = || Ranking { scored: Vec::new(), exhausted: true };
        // Words first: the engine is busy with the query's embedding meanwhile.
        let text = self.text.as_mut().map_or_else(|| Ok(nothing()), |text| text.best(self.depth, filter))?;
        let vector =
            self.vector.as_mut().map_or_else(|| Ok(nothing()), |vector| vector.best(self.depth, filter))?;
        self.exhausted = text.exhausted && vector.exhausted;
        Ok(match self.mode {
            Mode::Hybrid => fuse(&vector.scored, &text.scored, self.fusion),
            Mode::Vector => alone(&vector.scored, true),
            Mode::Text => alone(&text.scored, false),
        })
    }

    /// Goes deeper; false if there is nothing deeper.
    pub fn deepen(&mut self) -> bool {
        let deeper = !self.exhausted && self.depth < self.collection.chunk_count.max(0) as usize;
        self.depth *= DEPTH_GROWTH;
        deeper
    }

    /// The search by embeddings, if there was one.
    pub fn into_vector(self) -> Option<VectorSearch<'a>> {
        self.vector
    }
}

/// Words alone are ranked exactly, so only a few more are needed than will be shown: rows may be gone or hidden. Of the
/// other depths there are few, so that few plans are made: a LIMIT must be a constant for the planner to choose the HNSW index.
fn first_depth(request: &SearchRequest) -> usize {
    if request.mode == Mode::Text {
        return request.k + request.k / 4 + 4;
    }
    let mut depth = if request.mode == Mode::Vector { FIRST_DEPTH_ALONE } else { FIRST_DEPTH };
    while depth < 2 * request.k {
        depth *= 2;
    }
    depth
}

/// A ranking that is not fused with another keeps its scores.
fn alone(scored: &[Scored], is_vector: bool) -> Vec<Fused> {
    let rank = |place: u32, wanted: bool| wanted.then_some(place);
    (1..)
        .zip(scored)
        .map(|(place, &(chunk, score))| Fused {
            chunk,
            score,
            vector_rank: rank(place, is_vector),
            text_rank: rank(place, !is_vector),
        })
        .collect()
}
