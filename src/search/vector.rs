//! Ranks chunks by their embeddings.

use crate::collections::catalog::collection::Collection;
use crate::embedding;
use crate::embedding::Embedder;
use crate::search::filter::{Filter, select_chunks};
use crate::search::ranking::Ranking;
use ragstone_client::engine::replay::ReplayableCall;
use ragstone_core::fusion::Scored;
use ragstone_core::protocol::{Kind, Lane};
use ragstone_pg::error::{Error, Result};
use ragstone_pg::spi::{Arg, select};
use ragstone_pg::switch_user::{as_owner, with_settings};
use std::cell::Cell;
use std::collections::HashMap;

/// Maximum of `hnsw.ef_search`.
const MAX_EF_SEARCH: usize = 1000;

thread_local! {
    /// True once pgvector's library is loaded, which defines its settings.
    static IS_LOADED: Cell<bool> = const { Cell::new(false) };
}

/// A vector query against one collection.
pub struct VectorSearch<'a> {
    collection: &'a Collection,
    asked: Option<ReplayableCall>,
    embedding: Vec<f32>,
}

impl<'a> VectorSearch<'a> {
    /// Sends the query to the engine.
    pub fn start(collection: &'a Collection, query: &str) -> Result<Self> {
        let embedder = Embedder::find(&collection.model, Kind::Query)?;
        let asked = Some(embedder.ask(Lane::Query, vec![query.to_owned()])?);
        Ok(Self { collection, asked, embedding: Vec::new() })
    }

    /// The best chunks, by cosine similarity.
    pub fn best(&mut self, wanted: usize, filter: Option<&Filter>) -> Result<Ranking> {
        self.receive()?;
        load_library(&self.collection.vector_schema)?;
        if let Some(filter) = filter.filter(|filter| filter.is_selective()) {
            return self.exact(wanted, Some(filter));
        }
        let ranking = self.by_index(wanted, filter)?;
        // An index scan may end before it has seen all chunks: at `hnsw.max_scan_tuples`, or because of
        // deleted chunks.
        let found = ranking.scored.len() as i64;
        if (found as usize) < wanted && self.has_more_than(found, filter)? {
            return self.exact(wanted, filter);
        }
        Ok(ranking)
    }

    /// True if there are more chunks than `found`. The number that is stored with the collection may be
    /// slightly out of date.
    fn has_more_than(&self, found: i64, filter: Option<&Filter>) -> Result<bool> {
        if let Some(filter) = filter {
            return Ok(found < filter.chunks);
        }
        let table = self.collection.chunks()?;
        let statement = format!("SELECT count(*) > $1 FROM (SELECT FROM {} LIMIT $1 + 1) there", table.name);
        let rows = as_owner(table.owner, || select(&statement, &[Arg::new(found)]))?;
        Ok(rows.boolean(0, 0) == Some(true))
    }

    /// Cosine similarity of the embeddings of these chunks and of the query; 0 for a chunk that was deleted.
    pub fn similarities(&mut self, chunks: &[i64]) -> Result<Vec<f64>> {
        self.receive()?;
        let table = self.collection.chunks()?;
        let statement =
            format!("SELECT chunk_id, {} FROM {} WHERE chunk_id = ANY ($2)", self.distance(), table.name);
        let arguments = [Arg::float4s(&self.embedding), Arg::int8s(chunks.iter().copied())];
        let rows = as_owner(table.owner, || select(&statement, &arguments))?;
        let found: HashMap<i64, f64> = (0..rows.count)
            .filter_map(|row| Some((rows.int8(row, 0)?, 1.0 - rows.float8(row, 1)?)))
            .collect();
        Ok(chunks.iter().map(|chunk| found.get(chunk).copied().unwrap_or(0.0)).collect())
    }

    /// All chunks whose cosine similarity with the query is at least this.
    pub fn reaching(&mut self, min_similarity: f64) -> Result<Vec<i64>> {
        self.receive()?;
        let table = self.collection.chunks()?;
        let statement = format!("SELECT chunk_id FROM {} WHERE 1 - ({}) >= $2", table.name, self.distance());
        let arguments = [Arg::float4s(&self.embedding), Arg::new(min_similarity)];
        let rows = as_owner(table.owner, || select(&statement, &arguments))?;
        Ok((0..rows.count).filter_map(|row| rows.int8(row, 0)).collect())
    }

    /// The query's embedding, after it was received.
    pub fn into_embedding(self) -> Vec<f32> {
        self.embedding
    }

    fn receive(&mut self) -> Result<()> {
        let Some(asked) = self.asked.take() else { return Ok(()) };
        let vectors = embedding::vectors(asked.wait()?)?;
        if vectors.fingerprint != self.collection.fingerprint {
            return Err(Error::wrong_state(format!(
                "collection \"{}\" was embedded by another version of its model",
                self.collection.name
            ))
            .hint("Embed it again with rag.refresh_collection."));
        }
        self.embedding = vectors.values;
        Ok(())
    }

    /// Ranks with the HNSW index. An iterative scan continues if the filter removes too many chunks.
    fn by_index(&self, wanted: usize, filter: Option<&Filter>) -> Result<Ranking> {
        let breadth = wanted.clamp(1, MAX_EF_SEARCH).to_string();
        let settings = [
            ("hnsw.ef_search", breadth.as_str()),
            ("hnsw.iterative_scan", "strict_order"),
            // Otherwise the planner may choose the index on metadata, and sort all chunks that it finds.
            ("enable_bitmapscan", if filter.is_some() { "off" } else { "on" }),
        ];
        let conditions = filter.map(|filter| filter.conditions(2)).unwrap_or_default();
        let distance = self.distance();
        let statement = format!(
            "SELECT chunk_id, {distance} FROM {table} WHERE true{conditions} ORDER BY {distance} LIMIT {wanted}",
            table = self.collection.chunks()?.name
        );
        with_settings(&settings, || self.ranking(&statement, wanted, filter))
    }

    /// Ranks by comparing all chunks that meet the filter.
    fn exact(&self, wanted: usize, filter: Option<&Filter>) -> Result<Ranking> {
        let conditions = filter.map(|filter| filter.conditions(2)).unwrap_or_default();
        let statement = format!(
            "WITH met AS MATERIALIZED (SELECT chunk_id, {distance} AS distance FROM {table} WHERE true{conditions})
             SELECT chunk_id, distance FROM met ORDER BY distance, chunk_id LIMIT {wanted}",
            distance = self.distance(),
            table = self.collection.chunks()?.name
        );
        self.ranking(&statement, wanted, filter)
    }

    /// The SQL expression of the distance. The query is converted once, in a subselect, instead of once for
    /// each chunk.
    fn distance(&self) -> String {
        let (schema, dimensions) = (&self.collection.vector_schema, self.collection.dimensions);
        format!("embedding OPERATOR({schema}.<=>) (SELECT $1::{schema}.halfvec({dimensions}))")
    }

    fn ranking(&self, statement: &str, wanted: usize, filter: Option<&Filter>) -> Result<Ranking> {
        let mut arguments = vec![Arg::float4s(&self.embedding)];
        arguments.extend(filter.into_iter().flat_map(Filter::arguments));
        let rows = select_chunks(self.collection, filter, statement, &arguments)?;
        let similarity = |row| Some((rows.int8(row, 0)?, 1.0 - rows.float8(row, 1)?));
        let mut scored: Vec<Scored> = (0..rows.count).filter_map(similarity).collect();
        scored.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        Ok(Ranking { exhausted: scored.len() < wanted, scored })
    }
}

/// Loads pgvector's library: PostgreSQL does not check settings of a library that is not loaded yet.
fn load_library(vector_schema: &str) -> Result<()> {
    if !IS_LOADED.get() {
        select(&format!("SELECT '[0]'::{vector_schema}.halfvec"), &[])?;
        IS_LOADED.set(true);
    }
    Ok(())
}
