//! `rag.search`, and what the text index of a collection holds.

use crate::search;
use crate::search::{Hit, Mode, SearchRequest, Syntax, parse_fusion, parse_k};
use pgrx::iter::TableIterator;
use pgrx::{default, extension_sql_file, name, pg_extern};
use ragstone_pg::bytes::Jsonb;
use ragstone_pg::error::or_raise;
use ragstone_pg::text::{Utf8, required, text_or};
use ragstone_pg::version;

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
    ),
> {
    version::check();
    let request = SearchRequest {
        collection: or_raise(required(collection, "collection")),
        query: or_raise(required(query, "query")),
        k: or_raise(parse_k(k.unwrap_or(10))),
        mode: or_raise(Mode::parse(&text_or(mode, "hybrid"))),
        filter,
        fusion: or_raise(parse_fusion(&text_or(fusion, "minmax"), vector_weight.unwrap_or(0.5))),
        per_source: per_source.unwrap_or(false),
        scores: scores.unwrap_or(true),
        syntax: or_raise(Syntax::parse(&text_or(syntax, "plain"))),
        typos: typos.unwrap_or(true),
    };
    let hits = or_raise(search::search_as_step(&request));
    TableIterator::new((1..).zip(hits).map(|(rank, Hit { ranked, shows_scores, chunk })| {
        let place = |rank: Option<u32>| rank.filter(|_| shows_scores).map(|rank| rank as i32);
        (
            rank,
            shows_scores.then_some(ranked.score),
            chunk.source_key,
            chunk.title.map(Utf8),
            chunk.heading.map(Utf8),
            Utf8(chunk.content),
            chunk.metadata,
            place(ranked.vector_rank),
            place(ranked.text_rank),
            ranked.chunk,
        )
    }))
}

/// What the text index holds of the chunks that are there, for tests and for whoever wonders why a word is not found.
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
