//! Values that pass through Rust as bytes: `jsonb`, `bytea` and `tsvector`.

use crate::pg::error::{Error, or_raise};
use crate::pg::value::{varlena, varlena_bytes};
use pgrx::callconv::{Arg, ArgAbi, BoxRet, FcInfo};
use pgrx::datum::{Datum, FromDatum, IntoDatum};
use pgrx::pg_sys;
use pgrx::pgrx_sql_entity_graph::metadata::{
    ArgumentError, ReturnsError, ReturnsRef, SqlMappingRef, SqlTranslatable, TypeOrigin,
};

/// A `jsonb` that is passed on and never looked into.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Jsonb(pub Vec<u8>);

impl FromDatum for Jsonb {
    unsafe fn from_polymorphic_datum(datum: pg_sys::Datum, is_null: bool, _: pg_sys::Oid) -> Option<Self> {
        // SAFETY: as promised by the caller.
        (!is_null).then(|| Self(unsafe { varlena_bytes(datum) }))
    }
}

impl IntoDatum for Jsonb {
    fn into_datum(self) -> Option<pg_sys::Datum> {
        Some(varlena(&self.0))
    }

    fn type_oid() -> pg_sys::Oid {
        pg_sys::JSONBOID
    }
}

// SAFETY: gives a jsonb datum, as RETURN_SQL says.
unsafe impl BoxRet for Jsonb {
    unsafe fn box_into<'fcx>(self, fcinfo: &mut FcInfo<'fcx>) -> Datum<'fcx> {
        // SAFETY: the datum is freshly made in the caller's memory context.
        unsafe { fcinfo.return_raw_datum(varlena(&self.0)) }
    }
}

// SAFETY: an argument that is not null is a jsonb datum, as ARGUMENT_SQL says.
unsafe impl<'fcx> ArgAbi<'fcx> for Jsonb {
    unsafe fn unbox_arg_unchecked(arg: Arg<'_, 'fcx>) -> Self {
        // SAFETY: as promised by the caller.
        match unsafe { arg.unbox_arg_using_from_datum::<Self>() } {
            Some(value) => value,
            None => or_raise(Err(Error::internal("null given to an argument that is not nullable"))),
        }
    }
}

// SAFETY: the SQL type is the one that the conversions above read and write.
unsafe impl SqlTranslatable for Jsonb {
    const TYPE_IDENT: &'static str = pgrx::pgrx_resolved_type!(Jsonb);
    const TYPE_ORIGIN: TypeOrigin = TypeOrigin::External;
    const ARGUMENT_SQL: Result<SqlMappingRef, ArgumentError> = Ok(SqlMappingRef::literal("jsonb"));
    const RETURN_SQL: Result<ReturnsRef, ReturnsError> = Ok(ReturnsRef::One(SqlMappingRef::literal("jsonb")));
}

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
                    let Some(datum) = datum else {
                        return or_raise(Err(Error::internal(
                            "null given to an argument that is not nullable",
                        )));
                    };
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
