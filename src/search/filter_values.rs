//! Reads the values of a filter as values of their columns' types, under the caller's settings: `2024-5-5` is a
//! date, and a point in time is the same in every time zone.

use crate::search::filter_columns::MetadataColumn;
use pgrx::pg_sys;
use ragstone_core::filter::{ColumnKind, Operand};
use ragstone_pg::bytes::Jsonb;
use ragstone_pg::error::{Error, Result};
use ragstone_pg::own_tables::with_safe_search_path;
use ragstone_pg::portable::with_portable_settings;
use ragstone_pg::spi::{Arg, select};
use ragstone_pg::value::Value;

/// A value of a filter in its column's type.
///
/// # Errors
/// The error of the type's input function, which PostgreSQL raises.
pub fn read(column: &MetadataColumn, operand: &Operand) -> Result<Value> {
    let argument = match (column.of_filter.kind, &operand.text, column.read_as) {
        (ColumnKind::Json, ..) => jsonb(&operand.json)?,
        (ColumnKind::Array, ..) => return read_array(column, &operand.json),
        (_, Some(text), Some(of)) => Arg::from_text(of, Some(text))?,
        (_, Some(text), None) => Arg::text(text),
        (_, None, _) => return Err(Error::internal("a value of a filter has no text")),
    };
    let statement = if column.of_filter.kind == ColumnKind::Unordered {
        "SELECT pg_catalog.format('%s', $1)"
    } else {
        "SELECT $1"
    };
    some(with_portable_settings(|| select(statement, &[argument]))?.value(0, 0))
}

/// The object that contains a value under a column's name, and in it under the names of a path.
pub fn nested(column: &MetadataColumn, path: &[String], operand: &Operand, value: &Value) -> Result<Jsonb> {
    let json = match column.of_filter.kind {
        ColumnKind::Json => operand.json.clone(),
        // The value of an enum is stored as its label. A cast of the type to JSON could be a user's.
        _ if column.is_enum() => quoted(operand.text.as_deref().unwrap_or_default()),
        _ => {
            let statement = "SELECT pg_catalog.to_jsonb($1)";
            let rows =
                with_safe_search_path(|| with_portable_settings(|| select(statement, &[Arg::value(value)])))?;
            rows.jsonb(0, 0)
                .ok_or_else(|| Error::internal("a value of a filter has become null"))?
                .to_json()?
        }
    };
    let json = path.iter().rev().fold(json, |json, name| format!("{{{}: {json}}}", quoted(name)));
    Jsonb::from_json(&format!("{{{}: {json}}}", quoted(&column.of_filter.name)))
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

fn jsonb(json: &str) -> Result<Arg> {
    Ok(Arg::varlena(pg_sys::JSONBOID, &Jsonb::from_json(json)?.0))
}

fn read_array(column: &MetadataColumn, json: &str) -> Result<Value> {
    let statement = format!(
        "SELECT v FROM pg_catalog.jsonb_to_record(pg_catalog.jsonb_build_object('v', $1)) AS r (v {})",
        column.compared_name
    );
    some(select(&statement, &[jsonb(json)?])?.value(0, 0))
}

fn some(value: Option<Value>) -> Result<Value> {
    value.ok_or_else(|| Error::internal("a value of a filter has become null"))
}
