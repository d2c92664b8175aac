//! Ranks chunks by their words.

use crate::collections::catalog::collection::Collection;
use crate::collections::indexing::passage::analyse_query;
use crate::search::filter::Filter;
use crate::search::ranking::Ranking;
use pgrx::{PgLogLevel, pg_sys};
use ragstone_core::bm25;
use ragstone_core::levels::LEVELS;
use ragstone_core::threshold::{Bounds, QueryTerm, sort_heaviest_first};
use ragstone_pg::error::{Error, Result};
use ragstone_pg::spi::{Arg, select};
use ragstone_pg::switch_user::as_owner;
use std::collections::HashMap;

/// Minimum factor by which the expected number of chunks grows when a threshold was too high. The conditions are so
/// cheap that the first threshold may be the score that just enough chunks reach if words are independent; words of a
/// question occur together, so usually more chunks reach it. Starting higher, or with a factor of three, was slower
/// over a million chunks.
const MIN_EXPECTED_GROWTH: f64 = 8.0;

/// Maximum number of words that are looked for. Each one more makes a search slower, and the most frequent ones add least to a score.
const MAX_TERMS: usize = 64;

/// A text query against one collection.
pub struct TextSearch<'a> {
    collection: &'a Collection,
    bounds: Bounds,
    /// The query, encoded for the scoring function.
    query: Vec<u8>,
    chunks: u64,
}

impl<'a> TextSearch<'a> {
    /// Looks up the words of a query.
    pub fn new(collection: &'a Collection, query: &str) -> Result<Self> {
        as_owner(collection.chunks()?.owner, || {
            let words = analyse_query(query, collection)?;
            let counted = count(collection, words.lexemes())?;
            let total = counted.get(&Vec::new()).copied().unwrap_or_default();
            let chunks = total.chunks[0].max(0) as u64;
            let average = total.words.max(0) as f64 / chunks.max(1) as f64;
            let terms = words.lexemes().filter_map(|lexeme| term(lexeme, counted.get(lexeme)?, chunks));
            let bounds = Bounds::new(rarest(terms.collect()), chunks, average, collection.reference_words);
            let weights = bounds.terms().iter().map(|term| (term.lexeme.as_slice(), term.idf));
            let query = bm25::encode_query(average, weights);
            Ok(Self { collection, bounds, query, chunks })
        })
    }

    /// The best chunks: exactly those that scoring every chunk with any of the words would find.
    pub fn best(&self, wanted: usize, filter: Option<&Filter>) -> Result<Ranking> {
        if self.bounds.terms().is_empty() {
            return Ok(Ranking { scored: Vec::new(), exhausted: true });
        }
        let mut expected = self.first_expected(wanted, filter);
        let mut threshold = self.bounds.guess(expected);
        loop {
            let scored = self.reaching(threshold, wanted, filter)?;
            let last = scored.get(wanted - 1).map(|last| last.1);
            if last.is_some_and(|last| last >= threshold) || threshold <= 0.0 {
                // Chunks that do not meet the condition score less than the threshold.
                return Ok(Ranking { exhausted: last.is_none(), scored });
            }
            let reached = scored.iter().take_while(|(_, score)| *score >= threshold).count();
            expected *= (wanted as f64 / reached.max(1) as f64).max(MIN_EXPECTED_GROWTH);
            // At least as many chunks as wanted have the last one's score, so this threshold is not too high.
            threshold = last.unwrap_or_else(|| self.bounds.guess(expected));
        }
    }

    /// Number of chunks that are expected to reach the first threshold.
    fn first_expected(&self, wanted: usize, filter: Option<&Filter>) -> f64 {
        match filter {
            None => wanted as f64,
            // All chunks that meet such a condition may be scored, so the threshold is zero.
            Some(filter) if filter.is_selective() => f64::INFINITY,
            Some(filter) => wanted as f64 * self.chunks as f64 / filter.chunks.max(1) as f64,
        }
    }

    fn reaching(&self, threshold: f64, wanted: usize, filter: Option<&Filter>) -> Result<Vec<(i64, f64)>> {
        let chunks = self.collection.chunks()?;
        let conditions = filter.map(|filter| filter.conditions(4)).unwrap_or_default();
        let statement = format!(
            "SELECT chunk_id, rag._bm25(tsv, words, $2) AS score FROM {}
             WHERE tsv @@ $1::tsquery {conditions}
             ORDER BY score DESC, chunk_id LIMIT $3",
            chunks.name
        );
        let mut arguments = vec![
            Arg::server_text(&self.bounds.tsquery(threshold)),
            Arg::varlena(pg_sys::BYTEAOID, &self.query),
            Arg::new(wanted as i64),
        ];
        arguments.extend(filter.into_iter().flat_map(Filter::arguments));
        let rows = as_owner(chunks.owner, || select(&statement, &arguments))?;
        Ok((0..rows.count).filter_map(|row| Some((rows.int8(row, 0)?, rows.float8(row, 1)?))).collect())
    }
}

/// The terms with the greatest weight, with a notice where others are left out.
fn rarest(mut terms: Vec<QueryTerm>) -> Vec<QueryTerm> {
    if terms.len() > MAX_TERMS {
        Error::information(format!(
            "text search looks for the {MAX_TERMS} rarest of {} words of the query",
            terms.len()
        ))
        .notice(PgLogLevel::NOTICE);
        sort_heaviest_first(&mut terms);
        terms.truncate(MAX_TERMS);
    }
    terms
}

/// What the terms table has of a word.
#[derive(Debug, Clone, Copy, Default)]
struct TermStatistics {
    /// Numbers of chunks: all of them, then those that reach each level over 0.
    chunks: [i64; LEVELS],
    words: i64,
}

fn count<'l>(
    collection: &Collection,
    lexemes: impl Iterator<Item = &'l [u8]>,
) -> Result<HashMap<Vec<u8>, TermStatistics>> {
    let levels: String = (1..LEVELS).map(|level| format!(", level_{level}")).collect();
    let statement = format!(
        "SELECT lexeme, words, chunks{levels} FROM {} WHERE lexeme = ANY ($1)",
        collection.terms()?.name
    );
    // The empty word has the totals.
    let lexemes = lexemes.chain(std::iter::once(&b""[..]));
    let rows = select(&statement, &[Arg::server_texts(lexemes)])?;
    let mut counted: HashMap<Vec<u8>, TermStatistics> = HashMap::new();
    for row in 0..rows.count {
        let entry = counted.entry(rows.server_text(row, 0).unwrap_or_default()).or_default();
        entry.words += rows.int8(row, 1).unwrap_or(0);
        for (level, chunks) in entry.chunks.iter_mut().enumerate() {
            *chunks += rows.int8(row, 2 + level).unwrap_or(0);
        }
    }
    Ok(counted)
}

fn term(lexeme: &[u8], counted: &TermStatistics, chunks: u64) -> Option<QueryTerm> {
    let reached = counted.chunks.map(|chunks| chunks.max(0) as u64);
    let higher = |level: usize| reached.get(level + 1).copied().unwrap_or(0);
    let levels = std::array::from_fn(|level| reached[level].saturating_sub(higher(level)));
    let docs = reached[0];
    (docs > 0).then(|| QueryTerm { lexeme: lexeme.to_vec(), idf: bm25::idf(chunks, docs), chunks: levels })
}
