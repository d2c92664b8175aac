//! SQL identifiers: as arguments of type `name`, `regclass` and `regconfig`, and quoted for a statement.

use crate::sql_type;
use crate::text::utf8_from_datum;
use pgrx::datum::{Datum, FromDatum, UnboxDatum};
use pgrx::pg_sys;

/// A `name`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Name(pub String);

/// A `regclass`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RegClass(pub pg_sys::Oid);

/// A `regprocedure`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RegProcedure(pub pg_sys::Oid);

/// A `regconfig`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RegConfig(pub pg_sys::Oid);

impl FromDatum for Name {
    unsafe fn from_polymorphic_datum(datum: pg_sys::Datum, is_null: bool, _: pg_sys::Oid) -> Option<Self> {
        if is_null {
            return None;
        }
        // SAFETY: a name is a terminated string in 64 bytes; the text made of it is valid.
        Some(Self(unsafe {
            utf8_from_datum(pg_sys::Datum::from(pg_sys::cstring_to_text(datum.cast_mut_ptr())))
        }))
    }
}

// SAFETY: as above; the copy borrows nothing.
unsafe impl UnboxDatum for Name {
    type As<'src> = Self;

    unsafe fn unbox<'src>(datum: Datum<'src>) -> Self
    where
        Self: 'src,
    {
        // SAFETY: as promised by the caller.
        match unsafe { Self::from_datum(datum.sans_lifetime(), false) } {
            Some(name) => name,
            None => Self(String::new()),
        }
    }
}

impl FromDatum for RegClass {
    unsafe fn from_polymorphic_datum(datum: pg_sys::Datum, is_null: bool, _: pg_sys::Oid) -> Option<Self> {
        (!is_null).then(|| Self(pg_sys::Oid::from(datum.value() as u32)))
    }
}

impl FromDatum for RegProcedure {
    unsafe fn from_polymorphic_datum(datum: pg_sys::Datum, is_null: bool, _: pg_sys::Oid) -> Option<Self> {
        (!is_null).then(|| Self(pg_sys::Oid::from(datum.value() as u32)))
    }
}

impl FromDatum for RegConfig {
    unsafe fn from_polymorphic_datum(datum: pg_sys::Datum, is_null: bool, _: pg_sys::Oid) -> Option<Self> {
        (!is_null).then(|| Self(pg_sys::Oid::from(datum.value() as u32)))
    }
}

sql_type::argument!(Name, "name");
sql_type::argument!(RegClass, "regclass");
sql_type::argument!(RegProcedure, "regprocedure");
sql_type::argument!(RegConfig, "regconfig");

/// Quotes an identifier for a statement.
pub fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// Quotes a text as a literal for a statement, independent of `standard_conforming_strings`.
pub fn literal(text: &str) -> String {
    format!("E'{}'", text.replace('\\', "\\\\").replace('\'', "''"))
}
