//! Values that pass through Rust as bytes: `jsonb`, `bytea` and `tsvector`.

use crate::pg::sql_type;
use crate::pg::value::{varlena, varlena_bytes};
use pgrx::callconv::{Arg, ArgAbi};
use pgrx::pg_sys;
use pgrx::pgrx_sql_entity_graph::metadata::{
    ArgumentError, ReturnsError, ReturnsRef, SqlMappingRef, SqlTranslatable, TypeOrigin,
};

/// A `jsonb` that is passed on and never looked into.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Jsonb(pub Vec<u8>);

sql_type::value!(Jsonb, "jsonb", pg_sys::JSONBOID, varlena_bytes, varlena);

/// Bytes of an argument, read where they are.
macro_rules! borrowed {
    ($rust:ident, $sql:literal, $doc:literal) => {
        #[doc = $doc]
        #[derive(Debug, Clone, Copy)]
        pub struct $rust<'a>(pub &'a [u8]);

        // SAFETY: an argument that is not null is a varlena, and lives as long as the call.
        unsafe impl<'fcx> ArgAbi<'fcx> for $rust<'fcx> {
            unsafe fn unbox_arg_unchecked(arg: Arg<'_, 'fcx>) -> Self {
                // SAFETY: as promised by the caller. A value that had to be detoasted lives in the call's memory context.
                unsafe {
                    let datum: Option<pg_sys::Datum> = arg.unbox_arg_using_from_datum();
                    let datum = datum.unwrap_or_else(sql_type::refuse_null);
                    let varlena = pg_sys::pg_detoast_datum_packed(datum.cast_mut_ptr());
                    Self(pgrx::varlena::varlena_to_byte_slice(varlena))
                }
            }
        }

        // SAFETY: the SQL type is a varlena, which is all that is read of it here.
        unsafe impl SqlTranslatable for $rust<'_> {
            const TYPE_IDENT: &'static str = pgrx::pgrx_resolved_type!($rust<'static>);
            const TYPE_ORIGIN: TypeOrigin = TypeOrigin::External;
            const ARGUMENT_SQL: Result<SqlMappingRef, ArgumentError> = Ok(SqlMappingRef::literal($sql));
            const RETURN_SQL: Result<ReturnsRef, ReturnsError> = Err(ReturnsError::Datum);
        }
    };
}

borrowed!(TsVectorBytes, "tsvector", "A `tsvector` argument, after its header.");
borrowed!(Bytes, "bytea", "A `bytea` argument, after its header.");
