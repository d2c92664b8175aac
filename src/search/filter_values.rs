//! The values of a filter as the collection has them: `2024-5-5` is the date that is stored as `2024-05-05`, and a moment is the same
//! in every time zone.

use crate::collections::catalog::collection::Collection;
use pgrx::pg_sys;
use ragstone_pg::attempt::in_subtransaction;
use ragstone_pg::bytes::Jsonb;
use ragstone_pg::error::{Error, Result};
use ragstone_pg::own_tables::with_safe_search_path;
use ragstone_pg::portable::with_portable_settings;
use ragstone_pg::relation::{column_type, element_type, type_names};
use ragstone_pg::spi::{Arg, select};
use ragstone_pg::value::{Value, base_type, is_built_in, is_text_or_json};
use serde_json::Value as Json;

/// A filter in which strings are read as values of their columns' types, under the settings of the caller, and written as the
/// collection has them.
///
/// # Errors
/// As the column's type refuses a string, with the name of the column.
pub fn stored_values(collection: &Collection, filter: &Jsonb) -> Result<Jsonb> {
    let source = collection.source_of_any_owner()?.oid;
    let mut stored = filter.clone();
    let mut members = None;
    for column in &collection.metadata {
        let column_type = column_type(source, column)?;
        if !may_be_written_otherwise(column_type) {
            continue;
        }
        if members.is_none() {
            members = Some(filter.to_value()?);
        }
        let Some(given) = members.as_ref().and_then(|members| members.get(column)) else { continue };
        if let Some(value) = read(column, column_type, given)? {
            stored = replace(&stored, column, &value)?;
        }
    }
    Ok(stored)
}

/// Whether a value of a type, or an element of one, can be written in several ways, which PostgreSQL's own code reads.
fn may_be_written_otherwise(of: pg_sys::Oid) -> bool {
    is_built_in(of) && !is_text_or_json(scalar(of))
}

/// The type itself, or that of an array's elements, without its domains.
fn scalar(of: pg_sys::Oid) -> pg_sys::Oid {
    let base = base_type(of);
    match element_type(base) {
        pg_sys::InvalidOid => base,
        element => base_type(element),
    }
}

/// A string, or an array of strings, as a value of the column's type; none if it is something else.
fn read(column: &str, column_type: pg_sys::Oid, given: &Json) -> Result<Option<Value>> {
    let is_array = element_type(base_type(column_type)) != pg_sys::InvalidOid;
    let (argument, array) = match given {
        Json::String(text) if !is_array => (Arg::text(text), ""),
        Json::Array(items) if is_array => {
            let texts: Option<Vec<_>> = items.iter().map(Json::as_str).collect();
            let Some(texts) = texts else { return Ok(None) };
            (Arg::texts(texts), "[]")
        }
        _ => return Ok(None),
    };
    let value = in_subtransaction(|| {
        let name = type_names(&[scalar(column_type)])?.join("");
        Ok(select(&format!("SELECT $1::{name}{array}"), &[argument])?.value(0, 0))
    });
    value.map_err(|error| error.with_fact(format!("the filter has it for column \"{column}\"")))
}

/// The filter with another value of a column.
fn replace(filter: &Jsonb, column: &str, value: &Value) -> Result<Jsonb> {
    let statement = "SELECT $1 || jsonb_build_object($2, $3)";
    let arguments = [Arg::varlena(pg_sys::JSONBOID, &filter.0), Arg::text(column), Arg::value(value)];
    let rows = with_safe_search_path(|| with_portable_settings(|| select(statement, &arguments)))?;
    rows.jsonb(0, 0).ok_or_else(|| Error::internal("a filter has become null"))
}
