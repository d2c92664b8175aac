//! SQL's identifiers: as arguments of type `name`, `regclass` and `regconfig`, and as they stand in a statement.

use crate::pg::error::{Error, or_raise};
use crate::pg::text::utf8_from_datum;
use pgrx::callconv::{Arg, ArgAbi};
use pgrx::datum::{Datum, FromDatum, UnboxDatum};
use pgrx::pg_sys;
use pgrx::pgrx_sql_entity_graph::metadata::{
    ArgumentError, ReturnsError, ReturnsRef, SqlMappingRef, SqlTranslatable, TypeOrigin,
};

/// A `name`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Name(pub String);

/// A `regclass`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RegClass(pub pg_sys::Oid);

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

impl FromDatum for RegConfig {
    unsafe fn from_polymorphic_datum(datum: pg_sys::Datum, is_null: bool, _: pg_sys::Oid) -> Option<Self> {
        (!is_null).then(|| Self(pg_sys::Oid::from(datum.value() as u32)))
    }
}

macro_rules! sql_type {
    ($rust:ident, $sql:literal) => {
        // SAFETY: an argument that is not null is a datum of the type that ARGUMENT_SQL names.
        unsafe impl<'fcx> ArgAbi<'fcx> for $rust {
            unsafe fn unbox_arg_unchecked(arg: Arg<'_, 'fcx>) -> Self {
                // SAFETY: as promised by the caller.
                match unsafe { arg.unbox_arg_using_from_datum::<Self>() } {
                    Some(value) => value,
                    None => or_raise(Err(Error::internal("null given to an argument that is not nullable"))),
                }
            }
        }

        // SAFETY: the SQL type is the one that the conversion above reads.
        unsafe impl SqlTranslatable for $rust {
            const TYPE_IDENT: &'static str = pgrx::pgrx_resolved_type!($rust);
            const TYPE_ORIGIN: TypeOrigin = TypeOrigin::External;
            const ARGUMENT_SQL: Result<SqlMappingRef, ArgumentError> = Ok(SqlMappingRef::literal($sql));
            const RETURN_SQL: Result<ReturnsRef, ReturnsError> =
                Ok(ReturnsRef::One(SqlMappingRef::literal($sql)));
        }
    };
}

sql_type!(Name, "name");
sql_type!(RegClass, "regclass");
sql_type!(RegConfig, "regconfig");

/// An identifier as it stands in a statement.
pub fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A text as it stands in a statement, whatever `standard_conforming_strings` is.
pub fn literal(text: &str) -> String {
    format!("E'{}'", text.replace('\\', "\\\\").replace('\'', "''"))
}
