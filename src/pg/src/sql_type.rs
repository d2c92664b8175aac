//! The common implementation of pgrx's traits for Rust types that represent SQL types.

use crate::error::{Error, or_raise};

/// Raises an error when a function that is not STRICT gets a null for an argument that is not an [`Option`].
pub fn refuse_null<T>() -> T {
    or_raise(Err(Error::internal("null given to an argument that is not nullable")))
}

/// Makes a type that implements `FromDatum` usable as an argument of SQL functions.
macro_rules! argument {
    ($rust:ident, $sql:literal) => {
        const _: () = {
            use pgrx::callconv::{Arg, ArgAbi};
            use pgrx::pgrx_sql_entity_graph::metadata::{
                ArgumentError, ReturnsError, ReturnsRef, SqlMappingRef, SqlTranslatable, TypeOrigin,
            };

            // SAFETY: an argument that is not null is a datum of the type that ARGUMENT_SQL names.
            unsafe impl<'fcx> ArgAbi<'fcx> for $rust {
                unsafe fn unbox_arg_unchecked(arg: Arg<'_, 'fcx>) -> Self {
                    // SAFETY: as promised by the caller.
                    let value = unsafe { arg.unbox_arg_using_from_datum::<Self>() };
                    value.unwrap_or_else(crate::sql_type::refuse_null)
                }
            }

            // SAFETY: the SQL type is the one that the type's conversions read and write.
            unsafe impl SqlTranslatable for $rust {
                const TYPE_IDENT: &'static str = pgrx::pgrx_resolved_type!($rust);
                const TYPE_ORIGIN: TypeOrigin = TypeOrigin::External;
                const ARGUMENT_SQL: Result<SqlMappingRef, ArgumentError> = Ok(SqlMappingRef::literal($sql));
                const RETURN_SQL: Result<ReturnsRef, ReturnsError> =
                    Ok(ReturnsRef::One(SqlMappingRef::literal($sql)));
            }
        };
    };
}
pub(super) use argument;

/// Makes a type with one field usable as an argument and result of functions, and as a value of statements. `$read`
/// converts a valid, non-null datum to the field; `$write` converts the field to a datum in the current memory context.
macro_rules! value {
    ($rust:ident, $sql:literal, $oid:expr, $read:path, $write:path) => {
        crate::sql_type::argument!($rust, $sql);

        const _: () = {
            use pgrx::callconv::{BoxRet, FcInfo};
            use pgrx::datum::{Datum, FromDatum, IntoDatum};
            use pgrx::pg_sys;

            impl FromDatum for $rust {
                unsafe fn from_polymorphic_datum(
                    datum: pg_sys::Datum,
                    is_null: bool,
                    _: pg_sys::Oid,
                ) -> Option<Self> {
                    // SAFETY: as promised by the caller.
                    (!is_null).then(|| Self(unsafe { $read(datum) }))
                }
            }

            impl IntoDatum for $rust {
                fn into_datum(self) -> Option<pg_sys::Datum> {
                    Some($write(&self.0))
                }

                fn type_oid() -> pg_sys::Oid {
                    $oid
                }
            }

            // SAFETY: returns a datum of the type that RETURN_SQL names.
            unsafe impl BoxRet for $rust {
                unsafe fn box_into<'fcx>(self, fcinfo: &mut FcInfo<'fcx>) -> Datum<'fcx> {
                    // SAFETY: the datum was just created in the caller's memory context.
                    unsafe { fcinfo.return_raw_datum($write(&self.0)) }
                }
            }
        };
    };
}
pub(super) use value;
