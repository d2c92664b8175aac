//! Search: the best chunks of a collection for a query, from rows that the caller may read. [`candidates`] ranks chunks
//! with [`vector`] and [`text`], [`filter`] restricts them, [`rows`] looks them up, and [`page`] takes a page of them.

mod ranking;
mod candidates;
mod counted_rows;
mod demands;
mod expansion;
mod facets;
mod filter;
mod filter_columns;
mod filter_values;
mod hit;
mod metadata_filter;
mod key_batch;
mod lookup;
mod missing;
mod page;
mod postings;
mod request;
mod rows;
mod shown;
mod step;
mod text;
mod vector;
mod visible_rows;
mod within;

pub use counted_rows::{RowSelection, count};
pub use facets::{Facet, facets};
pub use hit::Hit;
pub use key_batch::KeyBatch;
pub use missing::notice_queued;
pub use postings::postings;
pub use request::{
    Mode, SearchRequest, Syntax, parse_depth, parse_filter, parse_fusion, parse_k, parse_k_up_to,
    parse_min_similarity, parse_page_offset,
};
pub use shown::ShownColumns;
pub use step::{passages_as_step, search_as_step};

use crate::collections::catalog::collection::{Collection, Sync, TableUse};
use crate::search::candidates::Candidates;
use crate::search::metadata_filter::{FilterTarget, MetadataFilter};
use crate::search::missing::{is_behind, notice_missing};
use crate::search::page::Page;
use crate::search::request::ParsedQuery;
use crate::search::rows::Reader;
use crate::search::vector::VectorSearch;
use ragstone_client::processes::place::Place;
use ragstone_client::processes::slots;
use ragstone_pg::error::Result;
use ragstone_pg::own_tables::with_safe_search_path;
use ragstone_pg::spi::connect;
use std::rc::Rc;

/// Result of a search for passages that answer a question.
#[derive(Debug)]
pub struct Passages {
    /// The hits, best first.
    pub hits: Vec<Hit>,
    /// The question's embedding.
    pub question: Vec<f32>,
    /// Name of the model of these embeddings.
    pub model: String,
    /// True if rows of the source wait to be indexed, or if the collection does not follow its source.
    pub is_behind: bool,
}

/// The best hits, best first.
pub fn search(request: &SearchRequest) -> Result<Vec<Hit>> {
    connect(|| Ok(find(&open_collection(&request.collection)?, request)?.0))
}

/// The best hits, with their similarity to the query.
pub fn passages(request: &SearchRequest) -> Result<Passages> {
    connect(|| {
        let collection = open_collection(&request.collection)?;
        // This is checked before the search, because the search does not contain rows that are indexed
        // meanwhile.
        let is_behind = is_behind(&collection)?;
        let (hits, vector) = find(&collection, request)?;
        let question = vector.map(VectorSearch::into_embedding).unwrap_or_default();
        Ok(Passages { hits, question, model: collection.model, is_behind })
    })
}

/// The collection of this name, with its source as a search expects it.
pub fn open_collection(name: &str) -> Result<Collection> {
    let collection = with_safe_search_path(|| Collection::get(name, Some(TableUse::Reading)))?;
    collection.check_columns()?;
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
    let filter =
        MetadataFilter::new(collection, request.filter.as_ref(), FilterTarget::Metadata)?.map(Rc::new);
    let mut reader = Reader::new(collection, filter.as_ref());
    let query = ParsedQuery::new(request);
    if query.embedded.trim().is_empty() {
        return Ok((Vec::new(), None));
    }
    notice_missing(collection)?;
    let mut candidates = Candidates::start(collection, request, &query, &mut reader)?;
    let mut page = Page::new(request);
    loop {
        page.add_block(&mut candidates, &mut reader)?;
        if page.is_full() || !candidates.deepen() {
            break;
        }
    }
    let hits = page.into_hits(&mut candidates)?;
    if hits.is_empty() {
        notice_queued(collection)?;
    }
    Ok((hits, candidates.into_vector()))
}
