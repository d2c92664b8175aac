//! Ranks chunks by their words.

use crate::collections::catalog::collection::Collection;
use crate::collections::indexing::segments::index_error;
use crate::search::expansion::{corrections, expanded, terms_of_query};
use crate::search::filter::{Filter, select_chunks};
use crate::search::lookup::WordLookup;
use crate::search::ranking::Ranking;
use crate::search::request::ParsedQuery;
use pgrx::PgLogLevel;
use ragstone_core::text_index::rank::TextIndex;
use ragstone_core::text_index::{ChunkSet, QueryTerm};
use ragstone_pg::error::{Error, Result};
use ragstone_pg::page_table::PageTable;
use ragstone_pg::spi::Arg;
use std::borrow::Cow;
use std::collections::HashSet;

/// Maximum number of words that are looked up. Each additional word makes a search slower, and the most
/// frequent words contribute least to a score.
const MAX_TERMS: usize = 64;

/// A ranking is made this many times as deep as the share of chunks that meet the condition requires, and
/// grows by this factor.
const DEPTH_MARGIN: f64 = 2.0;

/// A text query against one collection.
pub struct TextSearch<'a> {
    collection: &'a Collection,
    index: TextIndex<PageTable>,
    /// The terms with the greatest weight first.
    terms: Vec<QueryTerm>,
    /// The chunks that the query's operators allow; None stands for all.
    set: Option<ChunkSet>,
}

impl<'a> TextSearch<'a> {
    /// Looks up the words of a query. The caller must have the rights of the tables' owner. `set` has the
    /// chunks that the query's operators allow; None stands for all.
    pub fn new(
        collection: &'a Collection,
        mut lookup: WordLookup,
        query: &ParsedQuery,
        set: Option<ChunkSet>,
        corrects_typos: bool,
    ) -> Result<Self> {
        let (mut terms, has_unknown) = terms_of_query(&mut lookup, &query.plain)?;
        if corrects_typos && lookup.sees_all && has_unknown {
            let corrections = corrections(&mut lookup, &query.plain, &terms)?;
            terms.extend(corrections);
        }
        for item in query.operators.iter().flat_map(|operators| &operators.wanted) {
            if let Some(found) = expanded(&mut lookup, item)? {
                terms.extend(lookup.one_for(&found)?);
            }
        }
        let terms = rarest(terms, lookup.sees_all);
        Ok(Self { collection, index: lookup.into_index(), terms, set })
    }

    /// The best chunks. The result is exact, as if every chunk with any of the words were scored.
    pub fn best(&mut self, wanted: usize, filter: Option<&Filter>) -> Result<Ranking> {
        if self.terms.is_empty() {
            return Ok(Ranking { scored: Vec::new(), exhausted: true });
        }
        let scored = match filter {
            None => self.best_of_all(wanted)?,
            Some(filter) if filter.is_selective() => self.best_of_those_that_meet(wanted, filter)?,
            Some(filter) => self.best_that_meet(wanted, filter)?,
        };
        Ok(Ranking { exhausted: scored.len() < wanted, scored })
    }

    /// All chunks that contain one of the words.
    pub fn holders(&mut self) -> Result<Vec<i64>> {
        if self.terms.is_empty() {
            return Ok(Vec::new());
        }
        let numbers = self.index.holders(&self.terms).and_then(|set| self.index.numbers(&set));
        let numbers = numbers.map_err(|error| index_error(self.collection, error))?;
        Ok(numbers.into_iter().map(|(chunk, _)| chunk).collect())
    }

    fn best_of_all(&mut self, wanted: usize) -> Result<Vec<(i64, f64)>> {
        let best = self.index.best(&self.terms, wanted, self.set.as_ref());
        best.map_err(|error| index_error(self.collection, error))
    }

    /// The best chunks that meet a selective condition: all chunks that meet it are scored.
    fn best_of_those_that_meet(&mut self, wanted: usize, filter: &Filter) -> Result<Vec<(i64, f64)>> {
        let chunks = match filter.known_chunks() {
            Some(chunks) => Cow::Borrowed(chunks),
            None => Cow::Owned(chunks_of(self.collection, filter)?),
        };
        let best = self.index.best_of(&self.terms, wanted, &chunks, self.set.as_ref());
        best.map_err(|error| index_error(self.collection, error))
    }

    /// The best chunks that meet a condition that many chunks meet. A ranking of all chunks is deepened until
    /// it contains enough of them; if it would become deeper than the number of chunks that meet the
    /// condition, those are scored instead.
    fn best_that_meet(&mut self, wanted: usize, filter: &Filter) -> Result<Vec<(i64, f64)>> {
        let all = self.index.chunks().0.max(1) as f64;
        let mut depth = wanted as f64 * all / filter.chunks.max(1) as f64;
        let holders: u64 = self.terms.iter().map(|term| term.chunks).sum();
        let is_frequent = holders as f64 > filter.chunks as f64;
        loop {
            depth = (depth * DEPTH_MARGIN).min(all).ceil();
            if is_frequent && depth > filter.chunks as f64 {
                return self.best_of_those_that_meet(wanted, filter);
            }
            let mut ranked = self.best_of_all(depth as usize)?;
            let is_all = ranked.len() < depth as usize || depth >= all;
            let met = those_that_meet(self.collection, filter, &ranked)?;
            ranked.retain(|(chunk, _)| met.contains(chunk));
            if is_all || ranked.len() >= wanted {
                ranked.truncate(wanted);
                return Ok(ranked);
            }
        }
    }
}

/// The chunks that meet a condition, with their lengths in words.
fn chunks_of(collection: &Collection, filter: &Filter) -> Result<Vec<(i64, u32)>> {
    let table = collection.chunks()?;
    let conditions = filter.conditions(1);
    let statement = format!("SELECT chunk_id, words FROM {} WHERE true{conditions}", table.name);
    let arguments: Vec<Arg> = filter.arguments().collect();
    let rows = select_chunks(collection, Some(filter), &statement, &arguments)?;
    let chunk = |row| Some((rows.int8(row, 0)?, rows.int4(row, 1)?.max(0).unsigned_abs()));
    Ok((0..rows.count).filter_map(chunk).collect())
}

fn those_that_meet(collection: &Collection, filter: &Filter, ranked: &[(i64, f64)]) -> Result<HashSet<i64>> {
    let table = collection.chunks()?;
    let conditions = filter.conditions(2);
    let statement = format!("SELECT chunk_id FROM {} WHERE chunk_id = ANY ($1){conditions}", table.name);
    let mut arguments = vec![Arg::int8s(ranked.iter().map(|(chunk, _)| *chunk))];
    arguments.extend(filter.arguments());
    let rows = select_chunks(collection, Some(filter), &statement, &arguments)?;
    Ok((0..rows.count).filter_map(|row| rows.int8(row, 0)).collect())
}

/// The terms with the greatest weight. If others are left out and `tells` is true, a NOTICE says so.
fn rarest(mut terms: Vec<QueryTerm>, tells: bool) -> Vec<QueryTerm> {
    terms.sort_by(|a, b| b.idf.total_cmp(&a.idf).then_with(|| a.lexeme.cmp(&b.lexeme)));
    if terms.len() > MAX_TERMS && tells {
        Error::information(format!(
            "text search looks for the {MAX_TERMS} rarest of {} words of the query",
            terms.len()
        ))
        .notice(PgLogLevel::NOTICE);
    }
    terms.truncate(MAX_TERMS);
    terms
}
