//! Makes a vector ranking and a text ranking of a collection's chunks, which get deeper in each block of results. They
//! are made with the rights of the chunk table's owner; whether the caller may see a row is checked when the
//! row is looked up. If row-level security may hide rows from the caller, this check happens before the
//! rankings are fused, because ranks and scaled scores would reveal hidden rows. If the caller can see few
//! rows only, the rankings contain only the chunks of these rows.

use crate::collections::catalog::collection::Collection;
use crate::search::demands::Demands;
use crate::search::filter::Filter;
use crate::search::lookup::WordLookup;
use crate::search::metadata_filter::MetadataFilter;
use crate::search::ranking::Ranking;
use crate::search::request::{MAX_PAGED, Mode, ParsedQuery, SearchRequest};
use crate::search::rows::Reader;
use crate::search::text::TextSearch;
use crate::search::vector::VectorSearch;
use crate::search::visible_rows::VisibleRows;
use crate::search::within::Within;
use pgrx::PgLogLevel;
use ragstone_core::fusion::{Fused, Fusion, Scored, fuse};
use ragstone_pg::error::{Error, Result};
use ragstone_pg::switch_user::as_owner;
use std::rc::Rc;

/// Depth of the first block, in chunks, if the vector ranking is not fused: the default of `hnsw.ef_search`. The
/// block has half as many results, because the index finds the best chunks of a deeper ranking more surely.
const FIRST_DEPTH_ALONE: usize = 40;

/// Number of visible chunks in each ranking of the first block, if row-level security may hide others and
/// both rankings count. Each candidate is looked up in the source, so this number is small; as the
/// measurement of depths shows, nothing is lost by it.
const FIRST_VISIBLE_DEPTH: usize = 50;

/// Factor by which a block is deeper than the previous one, beyond the results that pages show.
const DEPTH_GROWTH: usize = 4;

/// If rows are hidden, the rankings are made up to this many times as deep as the wanted number of visible
/// chunks. If that is not enough, ranks and scores are not shown.
const MAX_HIDDEN_DEPTH: usize = 64;

/// Smaller factors for the depth. Their number is small, so that few plans are needed.
const HIDDEN_DEPTHS: [usize; 11] = [1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48];

/// Safety factor for the depth that the expected share of visible chunks requires: nine of ten rankings of 12
/// visible chunks are then deep enough.
const MARGIN: f64 = 1.4;

/// The candidates of one search.
pub struct Candidates<'a> {
    mode: Mode,
    fusion: Fusion,
    /// The condition that the metadata must meet.
    condition: Option<Rc<MetadataFilter>>,
    min_similarity: Option<f64>,
    /// Depth of a block that is not the first.
    block_depth: usize,
    /// True until the first block is ranked.
    is_first: bool,
    /// The filter on the rankings.
    filter: Option<Filter>,
    /// The rows that row-level security lets the caller see; None if no policy applies.
    visible: Option<VisibleRows<'a>>,
    /// The expected share of visible rows, from 0 to 1.
    share: f64,
    vector: Option<VectorSearch<'a>>,
    text: Option<TextSearch<'a>>,
    /// True if the vector ranking alone is sufficient when the text index is damaged.
    may_leave_text_out: bool,
    /// The chunks that the query's operators allow; None stands for all.
    within: Option<Within>,
    /// True if the query's operators require a check of the hits' texts.
    has_text_demands: bool,
    /// Wanted length of each ranking in the current block, in visible chunks.
    wanted: usize,
    /// Length of each ranking in the last round, in chunks, visible or not.
    depth: usize,
    exhausted: bool,
    are_complete: bool,
}

impl<'a> Candidates<'a> {
    /// Sends the query to the engine, and looks up its words while the engine embeds it. `reader` looks up
    /// the chunks of this search.
    pub fn start(
        collection: &'a Collection,
        request: &'a SearchRequest,
        query: &ParsedQuery,
        reader: &mut Reader,
    ) -> Result<Self> {
        let vector = request.needs_embedding().then(|| VectorSearch::start(collection, &query.embedded));
        let vector = vector.transpose()?;
        let visible = VisibleRows::find(collection)?;
        let (mut text, mut demands) = (None, Demands::none());
        let may_leave_text_out = request.mode == Mode::Hybrid && !query.makes_demands();
        if request.mode.has_text() || query.operators.is_some() {
            let opened = as_owner(collection.chunks()?.owner, || {
                let mut lookup = WordLookup::open(collection, visible.is_none())?;
                if let Some(operators) = &query.operators {
                    demands = Demands::find(&mut lookup, operators, request.mode.has_vector())?;
                }
                if request.mode.has_text() {
                    let set = demands.set.take();
                    text = Some(TextSearch::new(collection, lookup, query, set, request.typos)?);
                }
                Ok::<_, Error>(())
            });
            opened.or_else(|error| leave_text_out(may_leave_text_out, error))?;
        }
        let wanted = first_depth(request, visible.is_some());
        let mut candidates = Self {
            mode: request.mode,
            fusion: request.fusion,
            condition: reader.filter().cloned(),
            min_similarity: request.min_similarity,
            block_depth: request.depth,
            is_first: true,
            filter: None,
            visible,
            share: 1.0,
            vector,
            text,
            may_leave_text_out,
            within: demands.within,
            has_text_demands: demands.of_text.is_some(),
            wanted,
            depth: wanted,
            exhausted: false,
            are_complete: true,
        };
        reader.demand(demands.of_text);
        if let Some(share) = candidates.visible.as_ref().map(VisibleRows::expected_share) {
            candidates.restrict_or_deepen(share)?;
        }
        if candidates.filter.is_none() {
            let condition = candidates.condition.as_ref();
            candidates.filter = match candidates.within.as_ref().and_then(Within::few) {
                Some(few) => Some(Filter::of_chunks(few, condition)),
                None => Filter::new(collection, condition)?,
            };
        }
        Ok(candidates)
    }

    /// If few chunks are visible, restricts the rankings to these. Otherwise makes the rankings deep enough
    /// to contain the wanted number of visible chunks, if `share` is the share of visible chunks.
    fn restrict_or_deepen(&mut self, share: f64) -> Result<()> {
        let Some(visible) = &mut self.visible else { return Ok(()) };
        self.share = share;
        if let Some(mut chunks) = visible.few_chunks(share, self.wanted)? {
            if let Some(within) = &self.within {
                chunks.retain(|(chunk, _)| within.contains(*chunk));
            }
            self.filter = Some(Filter::of_visible(chunks, self.condition.as_ref()));
            self.are_complete = true;
            self.depth = self.wanted;
            return Ok(());
        }
        let least = if share < 1.0 { MARGIN / share } else { 1.0 };
        let factor = HIDDEN_DEPTHS.into_iter().find(|factor| *factor as f64 >= least);
        self.depth = self.depth.max(self.wanted * factor.unwrap_or(MAX_HIDDEN_DEPTH));
        Ok(())
    }

    /// The fused ranking at the current depth.
    pub fn rank(&mut self, reader: &mut Reader) -> Result<Vec<Fused>> {
        let (mut vector, mut text) = self.rankings()?;
        self.are_complete = true;
        while self.may_rank_others() {
            let mut looked_at = 0;
            for ranking in [&mut vector, &mut text] {
                looked_at += ranking.keep_visible(reader, self.wanted, self.share)?;
            }
            self.are_complete = vector.is_complete(self.wanted) && text.is_complete(self.wanted);
            if self.are_complete || self.depth >= self.wanted * MAX_HIDDEN_DEPTH {
                break;
            }
            let found = vector.scored.len() + text.scored.len();
            self.depth *= 2;
            // If texts are checked as well, the share of skipped chunks says nothing about the share of
            // hidden rows.
            if !self.has_text_demands {
                self.restrict_or_deepen((found + 1) as f64 / (looked_at + 1) as f64)?;
            }
            (vector, text) = self.rankings()?;
        }
        self.exhausted = text.exhausted && vector.exhausted || self.is_too_far(&vector);
        if self.is_first && self.mode == Mode::Vector && !self.exhausted && self.visible.is_none() {
            vector.scored.truncate(self.wanted / 2);
        }
        self.is_first = false;
        // Whether others follow a ranking of the wanted length may depend on rows that the caller may not see.
        let has_all_matches = text.exhausted && text.scored.len() < self.wanted;
        Ok(match self.mode {
            Mode::Hybrid => fuse(&vector.scored, &text.scored, has_all_matches, self.fusion),
            Mode::Vector => alone(&vector.scored, true),
            Mode::Text => alone(&text.scored, false),
        })
    }

    /// True if no chunk after those of the vector ranking reaches the minimum similarity.
    fn is_too_far(&self, vector: &Ranking) -> bool {
        let last = vector.scored.last().map(|(_, similarity)| *similarity);
        self.mode.has_vector() && last.zip(self.min_similarity).is_some_and(|(last, least)| last < least)
    }

    /// Looks up the similarities that the vector ranking does not contain, if the query is embedded.
    pub fn measure<'f>(&mut self, fused: impl Iterator<Item = &'f mut Fused>) -> Result<()> {
        let unknown: Vec<_> = fused.filter(|fused| fused.similarity.is_none()).collect();
        let Some(vector) = self.vector.as_mut().filter(|_| !unknown.is_empty()) else { return Ok(()) };
        let numbers: Vec<i64> = unknown.iter().map(|fused| fused.chunk).collect();
        for (fused, similarity) in unknown.into_iter().zip(vector.similarities(&numbers)?) {
            fused.similarity = Some(similarity);
        }
        Ok(())
    }

    /// True if the rankings may contain chunks whose rows the caller may not see, or whose texts do not meet
    /// the query's demands.
    fn may_rank_others(&self) -> bool {
        let may_rank_hidden =
            self.visible.is_some() && !self.filter.as_ref().is_some_and(Filter::is_of_visible);
        may_rank_hidden || self.has_text_demands
    }

    /// True if ranks and scores are the same as without the rows that the caller may not see, apart from the
    /// frequencies of words.
    pub fn are_scores_of_visible_rows(&self) -> bool {
        self.are_complete || self.visible.is_none()
    }

    fn rankings(&mut self) -> Result<(Ranking, Ranking)> {
        let filter = self.filter.as_ref();
        let nothing = || Ranking { scored: Vec::new(), exhausted: true };
        // The text ranking comes first, because the engine is still embedding the query.
        let text = match self.text.as_mut().map(|text| text.best(self.depth, filter)) {
            None => nothing(),
            Some(Ok(ranking)) => ranking,
            Some(Err(error)) => {
                leave_text_out(self.may_leave_text_out, error)?;
                self.text = None;
                nothing()
            }
        };
        let within = self.within.as_ref().filter(|_| !filter.is_some_and(Filter::is_list));
        let vector = self.vector.as_mut().filter(|_| self.mode.has_vector());
        let vector = match (vector, within) {
            (None, _) => nothing(),
            (Some(vector), None) => vector.best(self.depth, filter)?,
            (Some(vector), Some(within)) => best_within(vector, self.depth, filter, within)?,
        };
        Ok((vector, text))
    }

    /// Goes on to the next block. Returns false if there are no more results.
    pub fn deepen(&mut self) -> bool {
        self.wanted = match self.mode {
            Mode::Text => self.wanted * DEPTH_GROWTH,
            _ if self.wanted < self.block_depth => self.block_depth,
            _ if self.wanted < MAX_PAGED => self.wanted + self.block_depth,
            _ => self.wanted * DEPTH_GROWTH,
        };
        self.depth = self.depth.max(self.wanted);
        !self.exhausted
    }

    /// The vector search, if there was one.
    pub fn into_vector(self) -> Option<VectorSearch<'a>> {
        self.vector
    }
}

/// Continues with the vector ranking alone, after a WARNING, if that is allowed and the text index is
/// damaged; otherwise returns the error.
fn leave_text_out(may_leave_it_out: bool, mut error: Error) -> Result<()> {
    if !may_leave_it_out || !error.is_of_corrupted_data() {
        return Err(error);
    }
    error.message = format!("hybrid search goes on by vectors alone: {}", error.message);
    error.notice(PgLogLevel::WARNING);
    Ok(())
}

/// The best of the allowed chunks by their embeddings. The ranking of all chunks is deepened until it
/// contains enough of them.
fn best_within(
    vector: &mut VectorSearch,
    wanted: usize,
    filter: Option<&Filter>,
    within: &Within,
) -> Result<Ranking> {
    let mut depth = wanted;
    loop {
        let mut ranking = vector.best(depth, filter)?;
        ranking.scored.retain(|(chunk, _)| within.contains(*chunk));
        if ranking.exhausted || ranking.scored.len() >= wanted {
            ranking.exhausted &= ranking.scored.len() <= wanted;
            ranking.scored.truncate(wanted);
            return Ok(ranking);
        }
        depth *= DEPTH_GROWTH;
    }
}

/// Depth of the first block. It does not depend on the number of results, and neither do the depths of the
/// others, so that all pages of a search are parts of one list. A text ranking is exact at any depth: it needs only a
/// few more chunks than there are results, in case rows are deleted or hidden, and more if each hidden candidate
/// is looked up. There are few depths with vectors, so that few plans are needed: the planner chooses the HNSW
/// index only for a constant LIMIT.
fn first_depth(request: &SearchRequest, may_hide: bool) -> usize {
    let results = request.page_offset + request.k;
    match request.mode {
        Mode::Text if may_hide => results + results / 8 + 1,
        Mode::Text => results + results / 4 + 4,
        Mode::Vector if may_hide => request.depth.min(FIRST_DEPTH_ALONE / 2),
        Mode::Vector => request.depth.min(FIRST_DEPTH_ALONE),
        Mode::Hybrid if may_hide => request.depth.min(FIRST_VISIBLE_DEPTH),
        Mode::Hybrid => request.depth,
    }
}

/// The hits of a ranking that is not fused, with their original scores.
fn alone(scored: &[Scored], is_vector: bool) -> Vec<Fused> {
    let rank = |place: u32, wanted: bool| wanted.then_some(place);
    (1..)
        .zip(scored)
        .map(|(place, &(chunk, score))| Fused {
            chunk,
            score,
            vector_rank: rank(place, is_vector),
            text_rank: rank(place, !is_vector),
            similarity: is_vector.then_some(score),
        })
        .collect()
}
