//! Reads the arguments of functions from JSON objects: by name, each converted to its parameter's type. They are passed as
//! parameters of a statement, and never become part of its text.

use crate::bytes::Jsonb;
use crate::error::{Error, Result};
use crate::input::{Shape, qualified_name, shape};
use crate::spi::{Arg, run};
use pgrx::pg_sys;

/// A parameter of a function.
#[derive(Debug, Clone)]
pub struct Parameter {
    /// The parameter's name; empty if it has none.
    pub name: String,
    /// Its type.
    pub oid: pg_sys::Oid,
    /// The type's name, for messages.
    pub type_name: String,
    /// True if it has no default.
    pub required: bool,
    /// The default as an expression.
    pub default: Option<String>,
    /// True if it is VARIADIC.
    pub variadic: bool,
}

/// A member of a JSON object of arguments.
#[derive(Debug, Clone)]
pub struct JsonArgument {
    /// The parameter's name.
    pub name: String,
    /// Its JSON type, as `jsonb_typeof` names it.
    pub shape: String,
    json: String,
    /// A scalar without its quotes; `None` for null.
    scalar: Option<String>,
}

impl Parameter {
    /// The parameters of functions, in order, each with the function's OID. Call it under the search path `pg_catalog`.
    pub fn of(functions: &[pg_sys::Oid]) -> Result<Vec<(pg_sys::Oid, Self)>> {
        let oids = functions.iter().map(|oid| Some(pg_sys::Datum::from(*oid))).collect();
        let rows =
            run(include_str!("../../../sql/queries/parameters.sql"), &[Arg::array(pg_sys::OIDOID, oids)])?;
        let parameter = |row| {
            let parameter = Self {
                name: rows.text(row, 1).unwrap_or_default(),
                oid: rows.oid(row, 2)?,
                type_name: rows.text(row, 3)?,
                required: rows.boolean(row, 4)?,
                default: rows.text(row, 5),
                variadic: rows.boolean(row, 6)?,
            };
            Some((rows.oid(row, 0)?, parameter))
        };
        Ok((0..rows.count).filter_map(parameter).collect())
    }

    /// True if the argument is an array, object or scalar as the parameter's type requires.
    pub fn fits(&self, given: &JsonArgument) -> bool {
        match (shape(self.oid), given.shape.as_str()) {
            (_, "null") | (Shape::Json, _) | (Shape::Array, "array") | (Shape::Object, "object") => true,
            (Shape::Scalar, shape) => matches!(shape, "string" | "number" | "boolean"),
            _ => false,
        }
    }

    /// The argument as a value of the parameter's type, read under the current search path.
    ///
    /// # Errors
    /// 22023 if its JSON type does not fit; errors of the type's input function are raised. `whose` names the function in messages.
    pub fn value(&self, given: &JsonArgument, whose: &str) -> Result<Arg> {
        if !self.fits(given) {
            return Err(Error::bad_argument(format!(
                "argument \"{}\" of {whose}: expected {}, not a JSON {}",
                given.name, self.type_name, given.shape
            )));
        }
        match (shape(self.oid), given.shape.as_str()) {
            (_, "null") => Arg::from_text(self.oid, None),
            (Shape::Json, _) => Arg::from_text(self.oid, Some(&given.json)),
            (Shape::Scalar, _) => Arg::from_text(self.oid, given.scalar.as_deref()),
            (Shape::Array | Shape::Object, _) => self.converted_from_json(given),
        }
    }

    /// Converts an array or a row with PostgreSQL's `jsonb_to_record`.
    fn converted_from_json(&self, given: &JsonArgument) -> Result<Arg> {
        let statement = format!(
            "SELECT v FROM pg_catalog.jsonb_to_record(
               pg_catalog.jsonb_build_object('v', $1::pg_catalog.text::pg_catalog.jsonb)) AS r (v {})",
            qualified_name(self.oid)?
        );
        let rows = run(&statement, &[Arg::text(&given.json)])?;
        match rows.value(0, 0) {
            Some(value) => Ok(Arg::value_of(self.oid, &value)),
            None => Arg::from_text(self.oid, None),
        }
    }
}

/// The members of a JSON object. Call it under the search path `pg_catalog`. `what` describes the object in messages.
///
/// # Errors
/// 22023 if it is not an object.
pub fn json_arguments(args: &Jsonb, what: &str) -> Result<Vec<JsonArgument>> {
    let args = Arg::varlena(pg_sys::JSONBOID, &args.0);
    let shape = run("SELECT jsonb_typeof($1)", &[args])?.text(0, 0).unwrap_or_default();
    if shape != "object" {
        return Err(Error::bad_argument(format!(
            "{what} must be a JSON object of named arguments, not a JSON {shape}"
        )));
    }
    let rows =
        run("SELECT key, jsonb_typeof(value), value::text, value #>> '{}' FROM jsonb_each($1)", &[args])?;
    let given = (0..rows.count).filter_map(|row| {
        Some(JsonArgument {
            name: rows.text(row, 0)?,
            shape: rows.text(row, 1)?,
            json: rows.text(row, 2)?,
            scalar: rows.text(row, 3),
        })
    });
    Ok(given.collect())
}
