//! Counts the rows of a source that fit a query and a filter. Rows are read with the caller's rights, so that a
//! count is that of a SELECT of the caller.

use crate::collections::catalog::collection::Collection;
use crate::collections::catalog::keys::key_column;
use crate::search::key_batch::{KeyBatch, key_at};
use crate::search::lookup::WordLookup;
use crate::search::metadata_filter::{FilterTarget, MetadataFilter};
use crate::search::missing::notice_missing;
use crate::search::open_collection;
use crate::search::request::{ParsedQuery, Syntax};
use crate::search::rows::{Reader, stale_places};
use crate::search::text::TextSearch;
use crate::search::vector::VectorSearch;
use ragstone_pg::bytes::Jsonb;
use ragstone_pg::error::{Error, Result};
use ragstone_pg::relation::has_row_security;
use ragstone_pg::spi::{Arg, connect, select};
use ragstone_pg::switch_user::as_owner;
use std::collections::HashSet;

/// Rows of a collection: those that fit a query, a filter, or both.
#[derive(Debug)]
pub struct RowSelection {
    /// Name of the collection.
    pub collection: String,
    /// Words one of which a row has; None stands for any row.
    pub query: Option<String>,
    /// Minimum cosine similarity of the query and a chunk of a row that has none of the words.
    pub min_similarity: Option<f64>,
    /// Conditions on the metadata, in the filter language.
    pub filter: Option<Jsonb>,
}

/// The selected rows in statements in which the source is `s`.
pub struct SelectedRows {
    filter: Option<MetadataFilter>,
    /// The keys of rows that fit the query; None if there is no query.
    keys: Option<Vec<KeyBatch<()>>>,
}

/// A part of the selected rows.
pub struct SelectedPart {
    /// The FROM clause of a SELECT statement.
    pub from: String,
    /// Its WHERE clause.
    pub condition: String,
    /// Their arguments.
    pub arguments: Vec<Arg>,
}

/// Number of the selected rows that the caller may read.
///
/// # Errors
/// As those of a search.
pub fn count(selection: &RowSelection) -> Result<i64> {
    connect(|| {
        let collection = open_collection(&selection.collection)?;
        let rows = SelectedRows::find(&collection, selection)?;
        let mut counted = 0;
        for part in rows.parts(&collection)? {
            let statement = format!("SELECT pg_catalog.count(*) FROM {} WHERE {}", part.from, part.condition);
            let found = select(&statement, &part.arguments)?;
            counted += found.int8(0, 0).unwrap_or(0);
        }
        Ok(counted)
    })
}

impl SelectedRows {
    /// Looks up the rows that fit the query.
    pub fn find(collection: &Collection, selection: &RowSelection) -> Result<Self> {
        Reader::check_privileges(collection)?;
        let filter = MetadataFilter::new(collection, selection.filter.as_ref(), FilterTarget::Source)?;
        let Some(query) = &selection.query else {
            if selection.min_similarity.is_some() {
                return Err(Error::bad_argument("min_similarity without a query")
                    .hint("Give a query, to which the similarity is measured."));
            }
            return Ok(Self { filter, keys: None });
        };
        notice_missing(collection)?;
        let chunks = fitting_chunks(collection, query, selection.min_similarity)?;
        Ok(Self { filter, keys: Some(keys_of(collection, &chunks)?) })
    }

    /// The rows: in one part, or in one for each key if a key column has no array type.
    pub fn parts(&self, collection: &Collection) -> Result<Vec<SelectedPart>> {
        let source = &collection.source_of_any_owner()?.name;
        let part = |from: String, mut arguments: Vec<Arg>| {
            let condition = self.filter.as_ref().map(|filter| filter.condition("", arguments.len() + 1));
            arguments.extend(self.filter.iter().flat_map(MetadataFilter::arguments));
            SelectedPart { from, condition: condition.unwrap_or_else(|| "true".into()), arguments }
        };
        let Some(keys) = &self.keys else { return Ok(vec![part(format!("{source} s"), Vec::new())]) };
        keys.iter()
            .map(|batch| {
                let from =
                    format!("{} JOIN {source} s ON {}", batch.list(), batch.is_key_of_source(collection)?);
                Ok(part(from, batch.arguments()))
            })
            .collect()
    }
}

/// The chunks that have a word of the query or reach the similarity.
fn fitting_chunks(collection: &Collection, query: &str, min_similarity: Option<f64>) -> Result<HashSet<i64>> {
    if query.trim().is_empty() {
        return Ok(HashSet::new());
    }
    let vector = min_similarity.map(|_| VectorSearch::start(collection, query)).transpose()?;
    let sees_all = !has_row_security(collection.source_of_any_owner()?.oid);
    let parsed = ParsedQuery::of_text(query, Syntax::Plain);
    let mut chunks: HashSet<i64> = as_owner(collection.chunks()?.owner, || {
        let lookup = WordLookup::open(collection, sees_all)?;
        let holders = TextSearch::new(collection, lookup, &parsed, None, true)?.holders()?;
        Ok::<_, Error>(holders.into_iter().collect())
    })?;
    if let (Some(mut vector), Some(min_similarity)) = (vector, min_similarity) {
        chunks.extend(vector.reaching(min_similarity)?);
    }
    Ok(chunks)
}

/// The keys of the rows of these chunks, without rows that have changed since they were indexed.
fn keys_of(collection: &Collection, chunks: &HashSet<i64>) -> Result<Vec<KeyBatch<()>>> {
    let table = collection.chunks()?;
    let keys: Vec<_> = (0..collection.key.len()).map(key_column).collect();
    let statement =
        format!("SELECT DISTINCT {} FROM {} WHERE chunk_id = ANY ($1)", keys.join(", "), table.name);
    let rows = as_owner(table.owner, || select(&statement, &[Arg::int8s(chunks.iter().copied())]))?;
    let keys = (0..rows.count).filter_map(|row| key_at(&rows, row, 0, collection));
    let mut kept = Vec::new();
    for batch in KeyBatch::of(keys.map(|key| (key, ())).collect()) {
        let stale = stale_places(collection, &batch)?;
        kept.extend(batch.into_keys().zip(1..).filter(|(_, place)| !stale.contains(place)));
    }
    Ok(KeyBatch::of(kept.into_iter().map(|(key, _)| (key, ())).collect()))
}
