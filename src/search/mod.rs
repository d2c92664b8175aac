//! Search: the best chunks of a collection for a query, from rows that the caller may read. [`candidates`] ranks chunks
//! with [`vector`] and [`text`], [`filter`] restricts them, and [`rows`] looks them up.

mod ranking;
mod candidates;
mod demands;
mod expansion;
mod filter;
mod filter_values;
mod key_batch;
mod lookup;
mod postings;
mod request;
mod rows;
mod shown;
mod step;
mod text;
mod vector;
mod visible_rows;
mod within;

pub use postings::postings;
pub use request::{
    DEFAULT_FUSION, DEFAULT_TYPOS, Mode, SearchRequest, Syntax, parse_fusion, parse_k, parse_k_up_to,
};
pub use step::{passages_as_step, search_as_step};

use crate::collections::catalog::collection::{Collection, Sync, TableUse};
use crate::collections::queue;
use crate::search::candidates::Candidates;
use crate::search::filter_values::stored_values;
use crate::search::request::ParsedQuery;
use crate::search::rows::Reader;
pub use crate::search::rows::VisibleChunk;
use crate::search::vector::VectorSearch;
use pgrx::PgLogLevel;
use ragstone_client::processes::place::Place;
use ragstone_client::processes::slots;
use ragstone_core::fusion::Fused;
use ragstone_pg::error::{Error, Result};
use ragstone_pg::own_tables::with_safe_search_path;
use ragstone_pg::relation::has_row_security;
use ragstone_pg::spi::connect;
use std::collections::HashSet;

/// Minimum number of chunks that are looked up at a time: some may be hidden from the caller, or deleted.
const MIN_LOOKUP_CHUNKS: usize = 16;

/// One result of a search.
#[derive(Debug, Clone)]
pub struct Hit {
    /// The chunk's number, score and ranks.
    pub ranked: Fused,
    /// Whether the caller may know score and ranks: they are wanted, and do not depend on rows that he may not see.
    pub shows_scores: bool,
    /// The chunk and its row.
    pub chunk: VisibleChunk,
}

/// Result of a search for passages that answer a question.
#[derive(Debug)]
pub struct Passages {
    /// Best first.
    pub hits: Vec<Hit>,
    /// Cosine similarity of each hit's embedding and the question's, in every mode.
    pub similarities: Vec<f64>,
    /// The question's embedding.
    pub question: Vec<f32>,
    /// Name of the model of both embeddings.
    pub model: String,
    /// Whether rows of the source wait to be indexed, or the collection does not follow it.
    pub is_behind: bool,
}

/// The best hits, best first.
pub fn search(request: &SearchRequest) -> Result<Vec<Hit>> {
    connect(|| Ok(find(&open(request)?, request)?.0))
}

/// The best hits, with how similar each is to the query.
pub fn passages(request: &SearchRequest) -> Result<Passages> {
    connect(|| {
        let collection = open(request)?;
        // Before the search: what is indexed meanwhile was not searched.
        let is_behind = is_behind(&collection)?;
        let (hits, vector) = find(&collection, request)?;
        let mut vector = vector.map_or_else(|| VectorSearch::start(&collection, &request.query), Ok)?;
        let numbers: Vec<i64> = hits.iter().map(|hit| hit.ranked.chunk).collect();
        let similarities = vector.similarities(&numbers)?;
        let question = vector.into_embedding();
        Ok(Passages { hits, similarities, question, model: collection.model, is_behind })
    })
}

/// A manual collection follows its source when it is refreshed.
fn is_behind(collection: &Collection) -> Result<bool> {
    let follows = collection.filled
        && collection.error.is_none()
        && !collection.is_restoring()
        && !collection.is_given_away();
    Ok(!follows || (collection.sync != Sync::Manual && queue::has_work(collection.id)?))
}

/// The collection of a request, after the request is checked against it.
fn open(request: &SearchRequest) -> Result<Collection> {
    let collection = with_safe_search_path(|| Collection::get(&request.collection, Some(TableUse::Reading)))?;
    request.check_against(&collection)?;
    if collection.sync != Sync::Manual {
        slots::ensure(Place::FIRST_INDEXER);
    }
    Ok(collection)
}

/// The best hits, and the vector search if there was one.
fn find<'a>(
    collection: &'a Collection,
    request: &'a SearchRequest,
) -> Result<(Vec<Hit>, Option<VectorSearch<'a>>)> {
    Reader::check_privileges(collection)?;
    let filter = request.filter.as_ref().map(|filter| stored_values(collection, filter)).transpose()?;
    let mut reader = Reader::new(collection, filter.as_ref());
    let query = ParsedQuery::new(request);
    if query.embedded.trim().is_empty() {
        return Ok((Vec::new(), None));
    }
    if !collection.filled {
        notice_filling(collection)?;
    }
    let mut candidates = Candidates::start(collection, request, &query, &mut reader)?;
    loop {
        let hits = best(&mut candidates, &mut reader, request)?;
        if hits.len() == request.k || !candidates.deepen() {
            return Ok((hits, candidates.into_vector()));
        }
    }
}

/// A collection in its first fill lacks rows and indexes.
fn notice_filling(collection: &Collection) -> Result<()> {
    let mut message = format!("collection \"{}\" is being filled", collection.name);
    // To others the number tells of rows that they may not see.
    if !has_row_security(collection.source_of_any_owner()?.oid) {
        let mut counted = collection.clone();
        with_safe_search_path(|| counted.count())?;
        message += &format!(": {} rows are indexed so far", counted.source_rows);
    }
    Error::information(message)
        .hint("Wait for the others with rag.wait_until_current.")
        .notice(PgLogLevel::NOTICE);
    Ok(())
}

/// The best hits among the candidates at the current depth.
fn best(candidates: &mut Candidates, reader: &mut Reader, request: &SearchRequest) -> Result<Vec<Hit>> {
    let ranking = candidates.rank(reader)?;
    let shows_scores = request.scores && candidates.are_scores_of_visible_rows();
    let mut hits = Vec::with_capacity(request.k);
    let mut sources = HashSet::new();
    let mut rest = ranking.as_slice();
    while hits.len() < request.k && !rest.is_empty() {
        let slice = (request.k - hits.len()).max(MIN_LOOKUP_CHUNKS).min(rest.len());
        let (now, later) = rest.split_at(slice);
        rest = later;
        let numbers: Vec<i64> = now.iter().map(|fused| fused.chunk).collect();
        reader.read(&numbers)?;
        for fused in now {
            let Some(chunk) = reader.visible(fused.chunk) else { continue };
            if hits.len() == request.k || (request.per_source && !sources.insert(chunk.source_key.0.clone()))
            {
                continue;
            }
            hits.push(Hit { ranked: *fused, shows_scores, chunk: chunk.clone() });
        }
    }
    Ok(hits)
}
