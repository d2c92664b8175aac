//! `rag.count` and `rag.facets`.

use crate::search;
use crate::search::{Facet, RowSelection, parse_filter, parse_k, parse_min_similarity};
use pgrx::iter::TableIterator;
use pgrx::{default, extension_sql_file, name, pg_extern};
use ragstone_pg::bytes::Jsonb;
use ragstone_pg::error::{Error, Result, or_raise};
use ragstone_pg::text::{Utf8, required};
use ragstone_pg::version;

// Not parallel safe, as rag.search.
#[pg_extern(stable, parallel_unsafe, cost = 100000)]
fn count(
    collection: Option<Utf8>,
    query: default!(Option<Utf8>, "NULL"),
    filter: default!(Option<Jsonb>, "NULL"),
    min_similarity: default!(Option<f64>, "NULL"),
) -> i64 {
    version::check();
    let selection = or_raise(selection(collection, query, filter, min_similarity));
    or_raise(search::count(&selection))
}

#[pg_extern(stable, parallel_unsafe, cost = 100000)]
fn facets(
    collection: Option<Utf8>,
    query: default!(Option<Utf8>, "NULL"),
    columns: default!(Option<Vec<Option<Utf8>>>, "NULL"),
    filter: default!(Option<Jsonb>, "NULL"),
    k: default!(Option<i32>, 10),
    min_similarity: default!(Option<f64>, "NULL"),
) -> TableIterator<'static, (name!(column_name, Utf8), name!(value, Option<Jsonb>), name!(rows, i64))> {
    version::check();
    let selection = or_raise(selection(collection, query, filter, min_similarity));
    let columns = or_raise(columns.map(names).transpose());
    let k = or_raise(parse_k(k.unwrap_or(10)));
    let facets = or_raise(search::facets(&selection, columns, k));
    TableIterator::new(facets.into_iter().map(|Facet { column, value, rows }| (Utf8(column), value, rows)))
}

fn selection(
    collection: Option<Utf8>,
    query: Option<Utf8>,
    filter: Option<Jsonb>,
    min_similarity: Option<f64>,
) -> Result<RowSelection> {
    Ok(RowSelection {
        collection: required(collection, "collection")?,
        query: query.map(|query| query.0),
        min_similarity: min_similarity.map(parse_min_similarity).transpose()?,
        filter: parse_filter(filter)?,
    })
}

fn names(columns: Vec<Option<Utf8>>) -> Result<Vec<String>> {
    let names = columns.into_iter().map(|column| column.map(|column| column.0)).collect::<Option<_>>();
    names.ok_or_else(|| Error::null_not_allowed("a column's name in columns must not be null"))
}

extension_sql_file!("../../sql/counts.sql", name = "counts_comments", requires = [count, facets]);
