//! Two rankings of a collection's chunks, which get deeper each round. They are made with the rights of the chunk
//! table's owner: whether the caller may see a row is checked when the row is looked up. Where row-level security may hide rows from
//! the caller, that is before the rankings are fused, since places and scaled scores would tell of hidden rows; and where it shows
//! few rows, the rankings are of their chunks only.

use crate::collections::catalog::collection::Collection;
use crate::search::demands::Demands;
use crate::search::filter::Filter;
use crate::search::lookup::WordLookup;
use crate::search::ranking::Ranking;
use crate::search::request::{Mode, ParsedQuery, SearchRequest};
use crate::search::rows::Reader;
use crate::search::text::TextSearch;
use crate::search::vector::VectorSearch;
use crate::search::visible_rows::VisibleRows;
use crate::search::within::Within;
use pgrx::PgLogLevel;
use ragstone_core::fusion::{Fused, Fusion, Scored, fuse};
use ragstone_pg::bytes::Jsonb;
use ragstone_pg::error::{Error, Result};
use ragstone_pg::switch_user::as_owner;

/// Depth of each ranking in the first round, in chunks. With a weight of 0.5, the mean nDCG@10 over SciFact, Cranfield
/// and a set of Anthropic's documentation is 0.700 for depths of 50, 100 and 200, and 0.697 for 1,000; with 100,
/// weights of 0.4 and 0.6 give 0.695 and 0.697. Looking up the scores that a chunk has only in the other ranking gains
/// nothing (0.698).
const FIRST_DEPTH: usize = 100;

/// First depth of a vector ranking that is not fused with another: the default of `hnsw.ef_search`.
const FIRST_DEPTH_ALONE: usize = 40;

/// Number of visible chunks in each ranking of the first round, where row-level security may hide others and both rankings count. Each
/// candidate is looked for in the source; as said above, less than [`FIRST_DEPTH`] loses nothing.
const FIRST_VISIBLE_DEPTH: usize = 50;

/// Factor by which each round is deeper than the one before.
const DEPTH_GROWTH: usize = 4;

/// Where rows are hidden, the rankings are made this many times as deep to have as many visible chunks as are wanted. Where that is not
/// enough, places and scores are not shown.
const MAX_HIDDEN_DEPTH: usize = 64;

/// Smaller ones. There are few, so that there are few plans.
const HIDDEN_DEPTHS: [usize; 11] = [1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48];

/// So much deeper than by the expected share of visible chunks: nine of ten rankings of 12 visible chunks are then deep enough.
const MARGIN: f64 = 1.4;

/// The candidates of one search.
pub struct Candidates<'a> {
    mode: Mode,
    fusion: Fusion,
    /// What the metadata must contain.
    condition: Option<Jsonb>,
    /// What restricts the rankings.
    filter: Option<Filter>,
    /// What the caller may see of the source, where that is not all.
    visible: Option<VisibleRows<'a>>,
    /// The share of the rows that is thought to be visible, from 0 to 1.
    share: f64,
    vector: Option<VectorSearch<'a>>,
    text: Option<TextSearch<'a>>,
    /// Whether vectors alone are enough where the text index is damaged.
    may_leave_text_out: bool,
    /// The chunks that the query's operators leave, where these are not all.
    within: Option<Within>,
    /// Whether the query makes demands of the hits' texts.
    has_text_demands: bool,
    /// Wanted length of each ranking, of chunks that the caller may see.
    wanted: usize,
    /// Length of each ranking that was made last, of all chunks.
    depth: usize,
    exhausted: bool,
    are_complete: bool,
}

impl<'a> Candidates<'a> {
    /// Sends the query to the engine, and looks up its words while the engine embeds it. The reader looks up chunks for this search.
    pub fn start(
        collection: &'a Collection,
        request: &'a SearchRequest,
        query: &ParsedQuery,
        reader: &mut Reader,
    ) -> Result<Self> {
        let has = |wanted: bool| wanted.then_some(());
        let vector =
            has(request.mode.has_vector()).map(|()| VectorSearch::start(collection, &query.embedded));
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
        let wanted = if visible.is_some() { first_visible_depth(request) } else { first_depth(request) };
        let mut candidates = Self {
            mode: request.mode,
            fusion: request.fusion,
            condition: reader.filter().cloned(),
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

    /// Restricts the rankings to chunks that the caller may see, where these are few; else makes them as deep as it takes to have
    /// enough of these, if a share of all chunks is visible.
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
            // Where texts are checked, too, what was left out says nothing about rows that the caller may not see.
            if !self.has_text_demands {
                self.restrict_or_deepen((found + 1) as f64 / (looked_at + 1) as f64)?;
            }
            (vector, text) = self.rankings()?;
        }
        self.exhausted = text.exhausted && vector.exhausted;
        Ok(match self.mode {
            Mode::Hybrid => fuse(&vector.scored, &text.scored, self.fusion),
            Mode::Vector => alone(&vector.scored, true),
            Mode::Text => alone(&text.scored, false),
        })
    }

    /// Whether the rankings may have chunks whose rows the caller may not see, or whose texts do not meet the query's demands.
    fn may_rank_others(&self) -> bool {
        let may_rank_hidden =
            self.visible.is_some() && !self.filter.as_ref().is_some_and(Filter::is_of_visible);
        may_rank_hidden || self.has_text_demands
    }

    /// Whether places and scores are the same as if there were no rows that the caller may not see, but for how rare words are.
    pub fn are_scores_of_visible_rows(&self) -> bool {
        self.are_complete || self.visible.is_none()
    }

    fn rankings(&mut self) -> Result<(Ranking, Ranking)> {
        let filter = self.filter.as_ref();
        let nothing = || Ranking { scored: Vec::new(), exhausted: true };
        // The text ranking comes first, since the engine is still embedding the query.
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
        let vector = match (&mut self.vector, within) {
            (None, _) => nothing(),
            (Some(vector), None) => vector.best(self.depth, filter)?,
            (Some(vector), Some(within)) => best_within(vector, self.depth, filter, within)?,
        };
        Ok((vector, text))
    }

    /// Increases the depth; false if all chunks are ranked already.
    pub fn deepen(&mut self) -> bool {
        self.wanted *= DEPTH_GROWTH;
        self.depth = self.depth.max(self.wanted);
        !self.exhausted
    }

    /// The search by embeddings, if there was one.
    pub fn into_vector(self) -> Option<VectorSearch<'a>> {
        self.vector
    }
}

/// Goes on by vectors alone, with a warning, where that is enough and the text index is damaged.
fn leave_text_out(may_leave_it_out: bool, mut error: Error) -> Result<()> {
    if !may_leave_it_out || !error.is_of_corrupted_data() {
        return Err(error);
    }
    error.message = format!("hybrid search goes on by vectors alone: {}", error.message);
    error.notice(PgLogLevel::WARNING);
    Ok(())
}

/// The best of some chunks by their embeddings: of ever deeper rankings of all.
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

/// A text ranking is exact, so it needs only a few more chunks than will be shown, since rows may be deleted or hidden.
/// There are few other depths, so that there are few plans: the planner chooses the HNSW index only for a constant
/// LIMIT.
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

/// The same where row-level security may hide rows: candidates that are hidden do not count.
fn first_visible_depth(request: &SearchRequest) -> usize {
    let least = if request.mode == Mode::Hybrid { FIRST_VISIBLE_DEPTH } else { 0 };
    least.max(request.k + request.k / 8 + 1)
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
