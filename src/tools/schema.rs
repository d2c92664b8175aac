//! JSON Schemas for the parameters of functions, in the subset of JSON Schema 2020-12 that all providers
//! support.

use pgrx::pg_sys;
use ragstone_pg::arguments::Parameter;
use ragstone_pg::error::{Error, Result};
use ragstone_pg::relation;
use ragstone_pg::spi::{Arg, run};
use serde_json::{Map, Value, json};

/// Maximum nesting of rows, arrays and domains.
const MAX_TYPE_DEPTH: usize = 8;

/// True if all providers accept the name; for tools, it must match `^[a-zA-Z0-9_-]{1,64}$`.
pub fn is_name(name: &str, longest: usize) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    (1..=longest).contains(&name.len()) && name.bytes().all(fits)
}

/// The schema of an object with exactly these parameters as members.
pub fn of_parameters(parameters: &[Parameter]) -> Result<Value> {
    let mut properties = Map::new();
    for parameter in parameters {
        let mut schema = of_type(parameter.oid, MAX_TYPE_DEPTH)?;
        // DEFAULT NULL is not mentioned, because the schema shows that the parameter is not required.
        if let Some(default) = parameter.default.as_ref().filter(|default| !default.starts_with("NULL")) {
            remark(&mut schema, &format!("default: {default}"));
        }
        properties.insert(parameter.name.clone(), schema);
    }
    let required = parameters.iter().filter(|parameter| parameter.required);
    let required: Vec<_> = required.map(|parameter| parameter.name.as_str()).collect();
    Ok(object(properties, &required))
}

/// The schema of a value of a type. The search path must be `pg_catalog`.
pub fn of_column(oid: pg_sys::Oid) -> Result<Value> {
    of_type(oid, MAX_TYPE_DEPTH)
}

fn object(properties: Map<String, Value>, required: &[&str]) -> Value {
    json!({
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": false,
    })
}

fn of_type(oid: pg_sys::Oid, depth_left: usize) -> Result<Value> {
    if let Some(known) = known(oid) {
        return Ok(known);
    }
    let rows = run(include_str!("../../sql/queries/type.sql"), &[Arg::new(oid)])?;
    let (Some(kind), Some(name)) = (rows.text(0, 0), rows.text(0, 1)) else {
        return Err(Error::internal(format!("type with OID {} does not exist", oid.to_u32())));
    };
    if depth_left == 0 {
        return Err(Error::not_supported(format!("type {name} has more than {MAX_TYPE_DEPTH} nested types")));
    }
    let element = relation::element_type(oid);
    match kind.as_str() {
        _ if element != pg_sys::InvalidOid => {
            Ok(json!({"type": "array", "items": of_type(element, depth_left - 1)?}))
        }
        "d" => {
            let base = rows.oid(0, 2).unwrap_or(pg_sys::InvalidOid);
            let mut schema = of_type(base, depth_left - 1)?;
            for check in rows.texts(0, 3).unwrap_or_default() {
                remark(&mut schema, &check);
            }
            Ok(schema)
        }
        "e" => Ok(json!({"type": "string", "enum": rows.texts(0, 4).unwrap_or_default()})),
        "c" => of_row(oid, depth_left),
        _ => Ok(
            json!({"type": "string", "description": format!("PostgreSQL's text for a value of type {name}")}),
        ),
    }
}

fn of_row(oid: pg_sys::Oid, depth_left: usize) -> Result<Value> {
    let rows = run(
        "SELECT a.attname::text, a.atttypid
         FROM pg_catalog.pg_type t JOIN pg_catalog.pg_attribute a ON a.attrelid = t.typrelid
         WHERE t.oid = $1 AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum",
        &[Arg::new(oid)],
    )?;
    let mut properties = Map::new();
    for row in 0..rows.count {
        if let (Some(name), Some(oid)) = (rows.text(row, 0), rows.oid(row, 1)) {
            properties.insert(name, of_type(oid, depth_left - 1)?);
        }
    }
    Ok(object(properties, &[]))
}

/// The schemas of types that JSON Schema supports. Numbers are read from the digits that the model wrote, so
/// that `numeric` loses no precision.
fn known(oid: pg_sys::Oid) -> Option<Value> {
    let text = |format: &str| json!({"type": "string", "format": format});
    Some(match oid {
        pg_sys::INT2OID | pg_sys::INT4OID | pg_sys::INT8OID => json!({"type": "integer"}),
        pg_sys::FLOAT4OID | pg_sys::FLOAT8OID | pg_sys::NUMERICOID => json!({"type": "number"}),
        pg_sys::BOOLOID => json!({"type": "boolean"}),
        pg_sys::TEXTOID | pg_sys::VARCHAROID | pg_sys::BPCHAROID | pg_sys::NAMEOID => {
            json!({"type": "string"})
        }
        pg_sys::DATEOID => text("date"),
        pg_sys::TIMESTAMPOID | pg_sys::TIMESTAMPTZOID => text("date-time"),
        pg_sys::TIMEOID | pg_sys::TIMETZOID => text("time"),
        pg_sys::INTERVALOID => text("duration"),
        pg_sys::UUIDOID => text("uuid"),
        pg_sys::JSONOID | pg_sys::JSONBOID => json!({"description": "any JSON value"}),
        _ => return None,
    })
}

/// Adds a remark to the description in a schema.
pub fn remark(schema: &mut Value, remark: &str) {
    let present = schema.get("description").and_then(Value::as_str);
    let all = present.map_or_else(|| remark.to_owned(), |present| format!("{present}; {remark}"));
    if let Some(members) = schema.as_object_mut() {
        members.insert("description".to_owned(), Value::String(all));
    }
}
