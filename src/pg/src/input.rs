//! Converts text to values of types that are known only at run time.

use crate::encoding::server_cstring;
use crate::error::{Error, Result};
use crate::spi::{Arg, run};
use crate::value::Value;
use pgrx::pg_sys;

/// The kind of JSON value that represents the values of a type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// Anything.
    Json,
    /// An array.
    Array,
    /// An object.
    Object,
    /// A string, number or boolean.
    Scalar,
}

/// The JSON kind of a type's values; for a domain, that of its base type.
pub fn shape(oid: pg_sys::Oid) -> Shape {
    // SAFETY: look-ups by OID.
    let (base, array, row) = unsafe {
        let base = pg_sys::getBaseType(oid);
        (base, pg_sys::get_element_type(base) != pg_sys::InvalidOid, pg_sys::type_is_rowtype(base))
    };
    match base {
        pg_sys::JSONOID | pg_sys::JSONBOID => Shape::Json,
        _ if array => Shape::Array,
        _ if row => Shape::Object,
        _ => Shape::Scalar,
    }
}

/// A type's name with its schema, quoted for a statement.
pub fn qualified_name(oid: pg_sys::Oid) -> Result<String> {
    let rows = run(
        "SELECT pg_catalog.format('%I.%I', n.nspname, t.typname)
         FROM pg_catalog.pg_type t JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) t.typnamespace
         WHERE t.oid OPERATOR(pg_catalog.=) $1",
        &[Arg::new(oid)],
    )?;
    rows.text(0, 0).ok_or_else(|| Error::internal("a type no longer exists"))
}

impl Arg {
    /// A value of any type from its text; errors of the type's input function are raised. Null is converted as well,
    /// because a domain may reject it.
    pub fn from_text(oid: pg_sys::Oid, text: Option<&str>) -> Result<Self> {
        let datum = datum(oid, text)?;
        Ok(Self { oid, datum: text.map(|_| datum) })
    }

    /// A value with the type of a domain. PostgreSQL reports it with the domain's base type.
    pub fn value_of(oid: pg_sys::Oid, value: &Value) -> Self {
        Self { oid, datum: Some(value.datum()) }
    }
}

fn datum(oid: pg_sys::Oid, text: Option<&str>) -> Result<pg_sys::Datum> {
    let text = text.map(server_cstring).transpose()?;
    let start = text.as_ref().map_or(std::ptr::null_mut(), |text| text.as_ptr().cast_mut());
    let (mut function, mut parameter) = (pg_sys::InvalidOid, pg_sys::InvalidOid);
    // SAFETY: look-ups by OID; the text lives through the call, and an input function does not change it. PostgreSQL calls
    // a strict input function only if there is a text.
    unsafe {
        pg_sys::getTypeInputInfo(oid, &mut function, &mut parameter);
        Ok(pg_sys::OidInputFunctionCall(function, start, parameter, -1))
    }
}
