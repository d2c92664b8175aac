//! The values of metadata columns among rows, with the number of rows that have each.

use crate::collections::catalog::collection::Collection;
use crate::collections::catalog::statements::json_of;
use crate::search::counted_rows::{RowSelection, SelectedPart, SelectedRows};
use crate::search::filter_columns::MetadataColumn;
use crate::search::metadata_filter::refused;
use crate::search::open_collection;
use pgrx::pg_sys;
use ragstone_core::filter::{ColumnKind, FilterColumn, FilterError, FilterFault, resolve};
use ragstone_pg::bytes::Jsonb;
use ragstone_pg::error::{Error, Result};
use ragstone_pg::own_tables::config_owner;
use ragstone_pg::portable::as_source_owner;
use ragstone_pg::relation::element_type;
use ragstone_pg::spi::{Arg, connect, select};
use ragstone_pg::value::Value;
use std::collections::HashMap;

/// A value of a column.
#[derive(Debug)]
pub struct Facet {
    /// The column, or the path to a part of it, as the caller named it.
    pub column: String,
    /// The value; None for rows without one.
    pub value: Option<Jsonb>,
    /// Number of the rows that have it.
    pub rows: i64,
}

/// The `k` most frequent values of each of these columns among the selected rows that the caller may read; None
/// stands for all metadata columns.
///
/// # Errors
/// As those of a search; 42703 for a column that is not among the metadata.
pub fn facets(selection: &RowSelection, columns: Option<Vec<String>>, k: usize) -> Result<Vec<Facet>> {
    connect(|| {
        let collection = open_collection(&selection.collection)?;
        let known = MetadataColumn::all(&collection)?;
        let of_filter: Vec<FilterColumn> = known.iter().map(|column| column.of_filter.clone()).collect();
        let names = columns.unwrap_or_else(|| collection.metadata.clone());
        let found = names
            .iter()
            .map(|name| resolve(name, &of_filter).map_err(|error| refused_column(&collection, name, error)));
        let found = found.collect::<Result<Vec<_>>>()?;
        let rows = SelectedRows::find(&collection, selection)?;
        let mut facets = Vec::new();
        for (name, (place, path)) in names.iter().zip(found) {
            let counted = of_column(&collection, &rows, &known[place], &path, k)?;
            facets.extend(shown(&known[place], counted)?.into_iter().map(|(value, rows)| Facet {
                column: name.clone(),
                value,
                rows,
            }));
        }
        Ok(facets)
    })
}

/// The error of a name in `columns` that is not valid.
fn refused_column(collection: &Collection, name: &str, error: FilterError) -> Error {
    if collection.metadata.is_empty() || error.fault != FilterFault::UnknownColumn {
        return refused(collection, error);
    }
    Error::undefined_column(format!("columns has \"{name}\", which is not among the metadata"))
        .hint(error.hint)
}

/// The most frequent values of a column. A row counts once for each different element of its array.
fn of_column(
    collection: &Collection,
    rows: &SelectedRows,
    column: &MetadataColumn,
    path: &[String],
    k: usize,
) -> Result<Vec<(Option<Value>, i64)>> {
    let parts = rows.parts(collection)?;
    let is_whole = parts.len() == 1;
    let mut counted: Vec<(Option<Value>, i64)> = Vec::new();
    let mut places: HashMap<Option<Value>, usize> = HashMap::new();
    for SelectedPart { from, condition, mut arguments } in parts {
        let value = values(column, path, &mut arguments);
        let limit = if is_whole { format!(" LIMIT {k}") } else { String::new() };
        let statement = format!(
            "SELECT v.value, pg_catalog.count(*) FROM {from} CROSS JOIN LATERAL ({value}) v (value) WHERE {condition}
             GROUP BY 1 ORDER BY 2 DESC, 1{limit}"
        );
        let found = select(&statement, &arguments)?;
        for row in 0..found.count {
            let (value, count) = (found.value(row, 0), found.int8(row, 1).unwrap_or(0));
            let place = *places.entry(value.clone()).or_insert_with(|| {
                counted.push((value, 0));
                counted.len() - 1
            });
            counted[place].1 += count;
        }
    }
    counted.sort_by_key(|(_, rows)| std::cmp::Reverse(*rows));
    counted.truncate(k);
    Ok(counted)
}

/// A SELECT of a row's values: one, or the different elements of an array.
fn values(column: &MetadataColumn, path: &[String], arguments: &mut Vec<Arg>) -> String {
    let mut value = column.in_source.clone();
    if !path.is_empty() {
        arguments.push(Arg::texts(path));
        value = format!("({value} OPERATOR(pg_catalog.#>) ${})", arguments.len());
    }
    match column.of_filter.kind {
        ColumnKind::Array => format!(
            "SELECT DISTINCT e FROM pg_catalog.unnest({value}) e UNION ALL
             SELECT NULL WHERE {value} IS NULL"
        ),
        ColumnKind::Json => format!(
            "SELECT DISTINCT e FROM pg_catalog.jsonb_array_elements(
               CASE pg_catalog.jsonb_typeof({value}) WHEN 'array' THEN {value} WHEN 'null' THEN '[]'
               ELSE pg_catalog.jsonb_build_array({value}) END) e
             WHERE {value} IS NOT NULL UNION ALL
             SELECT NULL WHERE {value} IS NULL OR {value} OPERATOR(pg_catalog.=) 'null'"
        ),
        _ => format!("SELECT {value}{}", column.collation),
    }
}

/// The values as JSON, in the form in which metadata are shown.
fn shown(column: &MetadataColumn, counted: Vec<(Option<Value>, i64)>) -> Result<Vec<(Option<Jsonb>, i64)>> {
    let of = match element_type(column.compared) {
        pg_sys::InvalidOid => column.compared,
        element => element,
    };
    let values = counted.iter().map(|(value, _)| value.as_ref().map(Value::datum)).collect();
    // The types' output functions, which no user has written, may run as the extension's owner.
    let statement = format!(
        "SELECT {} FROM pg_catalog.unnest($1) WITH ORDINALITY s (value, place) ORDER BY place",
        json_of("value")
    );
    let rows = as_source_owner(config_owner()?, || select(&statement, &[Arg::array(of, values)]))?;
    if rows.count != counted.len() {
        return Err(Error::internal("not all values of a facet can be shown"));
    }
    Ok(counted.into_iter().enumerate().map(|(row, (_, count))| (rows.jsonb(row, 0), count)).collect())
}
