//! `rag.search`, and the contents of a collection's text index.

use crate::search;
use crate::search::{
    Hit, Mode, SearchRequest, Syntax, parse_depth, parse_filter, parse_fusion, parse_k, parse_min_similarity,
    parse_page_offset,
};
use pgrx::iter::TableIterator;
use pgrx::{default, extension_sql_file, name, pg_extern};
use ragstone_pg::bytes::Jsonb;
use ragstone_pg::error::{Result, or_raise};
use ragstone_pg::text::{Utf8, required, text_or};
use ragstone_pg::version;

/// The arguments of `rag.search`.
#[derive(Default)]
pub struct SearchArguments {
    /// Name of the collection.
    pub collection: Option<Utf8>,
    /// Text to search for.
    pub query: Option<Utf8>,
    /// Maximum number of hits.
    pub k: Option<i32>,
    /// Which rankings count.
    pub mode: Option<Utf8>,
    /// Conditions on the metadata.
    pub filter: Option<Jsonb>,
    /// How the two rankings are fused.
    pub fusion: Option<Utf8>,
    /// Weight of the vector ranking.
    pub vector_weight: Option<f64>,
    /// Whether each row of the source is shown once.
    pub per_source: Option<bool>,
    /// Whether scores and places are shown.
    pub scores: Option<bool>,
    /// How the query is read.
    pub syntax: Option<Utf8>,
    /// Whether words that are spelt much alike are found.
    pub typos: Option<bool>,
    /// Number of hits of earlier pages.
    pub page_offset: Option<i32>,
    /// Length of each ranking in a block of results.
    pub depth: Option<i32>,
    /// Minimum similarity of a hit.
    pub min_similarity: Option<f64>,
}

impl SearchArguments {
    /// The search, with defaults for what is null.
    ///
    /// # Errors
    /// 22004 and 22023.
    pub fn request(self) -> Result<SearchRequest> {
        let collection = required(self.collection, "collection")?;
        let query = required(self.query, "query")?;
        let k = parse_k(self.k.unwrap_or(10))?;
        Ok(SearchRequest {
            page_offset: parse_page_offset(self.page_offset.unwrap_or(0), k)?,
            depth: parse_depth(self.depth)?,
            min_similarity: self.min_similarity.map(parse_min_similarity).transpose()?,
            mode: Mode::parse(&text_or(self.mode, "hybrid"))?,
            filter: parse_filter(self.filter)?,
            fusion: parse_fusion(&text_or(self.fusion, "minmax"), self.vector_weight.unwrap_or(0.5))?,
            per_source: self.per_source.unwrap_or(false),
            scores: self.scores.unwrap_or(true),
            syntax: Syntax::parse(&text_or(self.syntax, "plain"))?,
            typos: self.typos.unwrap_or(true),
            ..SearchRequest::new(collection, query, k)
        })
    }
}

// Not parallel safe: it switches roles, and a leader does not tell its parallel workers about that.
#[pg_extern(stable, parallel_unsafe, cost = 100000)]
#[allow(
    clippy::too_many_arguments,
    clippy::type_complexity,
    reason = "arguments and columns of the SQL function"
)]
fn search(
    collection: Option<Utf8>,
    query: Option<Utf8>,
    k: default!(Option<i32>, 10),
    mode: default!(Option<Utf8>, "'hybrid'"),
    filter: default!(Option<Jsonb>, "NULL"),
    fusion: default!(Option<Utf8>, "'minmax'"),
    vector_weight: default!(Option<f64>, 0.5),
    per_source: default!(Option<bool>, false),
    scores: default!(Option<bool>, true),
    syntax: default!(Option<Utf8>, "'plain'"),
    typos: default!(Option<bool>, true),
    page_offset: default!(Option<i32>, 0),
    depth: default!(Option<i32>, 100),
    min_similarity: default!(Option<f64>, "NULL"),
) -> TableIterator<
    'static,
    (
        name!(rank, i32),
        name!(score, Option<f64>),
        name!(source_key, Jsonb),
        name!(title, Option<Utf8>),
        name!(heading, Option<Utf8>),
        name!(content, Utf8),
        name!(metadata, Jsonb),
        name!(vector_rank, Option<i32>),
        name!(text_rank, Option<i32>),
        name!(chunk_id, i64),
        name!(similarity, Option<f64>),
        name!(seq, i32),
        name!(start_at, i32),
        name!(end_at, i32),
    ),
> {
    version::check();
    let arguments = SearchArguments {
        collection,
        query,
        k,
        mode,
        filter,
        fusion,
        vector_weight,
        per_source,
        scores,
        syntax,
        typos,
        page_offset,
        depth,
        min_similarity,
    };
    let request = or_raise(arguments.request());
    let hits = or_raise(search::search_as_step(&request));
    let first_rank = request.page_offset as i32 + 1;
    TableIterator::new((first_rank..).zip(hits).map(move |(rank, Hit { ranked, shows_scores, chunk })| {
        let place = |rank: Option<u32>| rank.filter(|_| shows_scores).map(|rank| rank as i32);
        (
            rank,
            shows_scores.then_some(ranked.score),
            chunk.row.key,
            chunk.row.title.map(Utf8),
            chunk.stored.heading.map(Utf8),
            Utf8(chunk.stored.content),
            chunk.row.metadata,
            place(ranked.vector_rank),
            place(ranked.text_rank),
            ranked.chunk,
            ranked.similarity.filter(|_| request.scores),
            chunk.stored.seq,
            chunk.stored.start_at,
            chunk.stored.end_at,
        )
    }))
}

/// The contents of the text index for chunks that still exist, for tests and for finding out why a word is
/// not found.
#[pg_extern(stable, parallel_unsafe, cost = 100000)]
fn _postings(
    collection: &str,
) -> TableIterator<
    'static,
    (name!(lexeme, Utf8), name!(chunk_id, i64), name!(frequency, i32), name!(fields, i32)),
> {
    version::check();
    let postings = or_raise(search::postings(collection));
    TableIterator::new(postings.into_iter().map(|posting| {
        let frequency = i32::try_from(posting.frequency).unwrap_or(i32::MAX);
        (Utf8(posting.lexeme), posting.chunk, frequency, i32::from(posting.fields))
    }))
}

extension_sql_file!("../../sql/search.sql", name = "search_comments", requires = [search, _postings]);
