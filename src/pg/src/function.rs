//! Support for SQL functions that need more than pgrx's `#[pg_extern]`: the function call, and the macro that exports them.

use crate::bytes::JsonbRef;
use crate::error::Result;
use crate::event_trigger::{RowEffect, row_effect};
use crate::procedure::check_may_commit;
use crate::trigger::TriggerCall;
use crate::tuplestore::Tuplestore;
use crate::windowapi::Partition;
use pgrx::callconv::{Arg, ArgAbi};
use pgrx::datum::FromDatum;
use pgrx::pg_sys;
use pgrx::pgrx_sql_entity_graph::metadata::{
    ArgumentError, ReturnsError, ReturnsRef, SqlMappingRef, SqlTranslatable, TypeOrigin,
};
use std::ffi::CStr;
use std::marker::PhantomData;

/// A call of an SQL function in progress. In the signature of a `#[pg_extern]` function it does not become an SQL argument.
#[derive(Clone, Copy)]
pub struct FunctionCall<'a> {
    fcinfo: pg_sys::FunctionCallInfo,
    _call: PhantomData<&'a ()>,
}

impl<'a> FunctionCall<'a> {
    /// Wraps PostgreSQL's description of a call.
    ///
    /// # Safety
    /// `fcinfo` must belong to a call in progress that lasts as long as `'a`.
    pub unsafe fn new(fcinfo: pg_sys::FunctionCallInfo) -> Self {
        Self { fcinfo, _call: PhantomData }
    }

    /// An argument, if it is not null. As for columns of [`Rows`](crate::spi::Rows), the caller requests the type that the
    /// function declares.
    pub fn argument<T: FromDatum>(self, index: usize) -> Option<T> {
        // SAFETY: the call is in progress, and the argument has the type that the function declares.
        unsafe { pgrx::fcinfo::pg_getarg::<T>(self.fcinfo, index) }
    }

    /// The bytes of a varlena argument without its header, read in place; `None` if it is null.
    pub fn bytes(self, index: usize) -> Option<&'a [u8]> {
        // SAFETY: callers use it for varlena arguments only. A value that had to be detoasted lives in the call's memory
        // context.
        unsafe {
            let datum = pgrx::fcinfo::pg_getarg_datum(self.fcinfo, index)?;
            let varlena = pg_sys::pg_detoast_datum_packed(datum.cast_mut_ptr());
            Some(pgrx::varlena::varlena_to_byte_slice(varlena))
        }
    }

    /// A `jsonb` argument; `None` if it is null.
    pub fn jsonb(self, index: usize) -> Option<JsonbRef<'a>> {
        self.bytes(index).map(JsonbRef::of_argument)
    }

    /// An argument of any type, not null, as text for readers: the result of the type's output function, without a cast.
    /// Booleans become `true` and `false`, and `char(n)` loses its padding.
    pub fn text_for_readers(self, index: usize) -> pg_sys::Datum {
        let type_oid = self.argument_type(index);
        // SAFETY: the call is in progress, and the argument has the type of its expression and is not null; an output
        // function returns a terminated string.
        unsafe {
            let datum = pgrx::fcinfo::pg_getarg_datum(self.fcinfo, index).unwrap_or(pg_sys::Datum::null());
            let base = pg_sys::getBaseType(type_oid);
            // A text is returned without a copy, since it may be long.
            if base == pg_sys::TEXTOID || base == pg_sys::VARCHAROID {
                return datum;
            }
            if base == pg_sys::BOOLOID {
                let word = if datum.value() != 0 { c"true" } else { c"false" };
                return pg_sys::Datum::from(pg_sys::cstring_to_text(word.as_ptr()));
            }
            let (mut function, mut is_varlena) = (pg_sys::InvalidOid, false);
            pg_sys::getTypeOutputInfo(type_oid, &mut function, &mut is_varlena);
            let text = CStr::from_ptr(pg_sys::OidOutputFunctionCall(function, datum));
            let bytes = text.to_bytes();
            let shown = if base == pg_sys::BPCHAROID { trim_end(bytes) } else { bytes };
            pg_sys::Datum::from(pg_sys::cstring_to_text_with_len(text.as_ptr(), shown.len() as i32))
        }
    }

    /// The actual type of a polymorphic argument; `InvalidOid` if the caller does not know it.
    pub fn argument_type(self, index: usize) -> pg_sys::Oid {
        // SAFETY: the call is in progress; without an expression the type is unknown.
        unsafe { pg_sys::get_fn_expr_argtype((*self.fcinfo).flinfo, index as i32) }
    }

    /// The trigger call, if the function was called as a trigger.
    pub fn trigger(self) -> Option<TriggerCall> {
        // SAFETY: the call is in progress.
        unsafe { TriggerCall::of(self.fcinfo) }
    }

    /// The effect on rows of the command for which the function was called as an event trigger.
    pub fn row_effect(self) -> RowEffect {
        // SAFETY: the call is in progress.
        unsafe { row_effect(self.fcinfo) }
    }

    /// The partition of a window function, unless it was called without OVER.
    pub fn partition(self) -> Option<Partition<'a>> {
        // SAFETY: the call is in progress.
        unsafe { Partition::of(self.fcinfo) }
    }

    /// The tuple store for the rows of a function that returns TABLE.
    pub fn tuplestore<const N: usize>(self) -> Result<Tuplestore<N>> {
        // SAFETY: the call is in progress.
        unsafe { Tuplestore::of(self.fcinfo) }
    }

    /// Returns an error if the CALL may not end its transaction: in a transaction block, or in a function.
    pub fn check_may_commit(self, what: &str) -> Result<()> {
        // SAFETY: the call is in progress.
        unsafe { check_may_commit(self.fcinfo, what) }
    }
}

/// Removes trailing spaces. In all server encodings, a space byte is never part of another character.
fn trim_end(bytes: &[u8]) -> &[u8] {
    let end = bytes.iter().rposition(|byte| *byte != b' ').map_or(0, |last| last + 1);
    &bytes[..end]
}

// SAFETY: as for pgrx's own FunctionCallInfo, which this wraps.
unsafe impl<'fcx> ArgAbi<'fcx> for FunctionCall<'fcx> {
    unsafe fn unbox_arg_unchecked(arg: Arg<'_, 'fcx>) -> Self {
        // SAFETY: as promised by the caller; the call is in progress while its arguments live.
        unsafe { Self::new(<pg_sys::FunctionCallInfo as ArgAbi>::unbox_arg_unchecked(arg)) }
    }

    fn is_virtual_arg() -> bool {
        true
    }
}

// SAFETY: it has no SQL type.
unsafe impl SqlTranslatable for FunctionCall<'_> {
    const TYPE_IDENT: &'static str = pgrx::pgrx_resolved_type!(FunctionCall<'static>);
    const TYPE_ORIGIN: TypeOrigin = TypeOrigin::External;
    const ARGUMENT_SQL: Result<SqlMappingRef, ArgumentError> = Ok(SqlMappingRef::Skip);
    const RETURN_SQL: Result<ReturnsRef, ReturnsError> = Err(ReturnsError::Datum);
}

/// Exports a function under the C name `$symbol`, for SQL that is written by hand: pgrx cannot define procedures, trigger
/// functions that return a row, or functions that fill the executor's tuple store. `$finfo` must be `pg_finfo_` followed by
/// the symbol; PostgreSQL reads the calling convention from it. `$body` takes a [`FunctionCall`] and returns a datum.
#[macro_export]
macro_rules! sql_function {
    ($finfo:ident, $symbol:ident, $body:path) => {
        #[doc = "The version of the calling convention, for Postgres."]
        #[unsafe(no_mangle)]
        pub extern "C" fn $finfo() -> &'static ::pgrx::pg_sys::Pg_finfo_record {
            static VERSION_1: ::pgrx::pg_sys::Pg_finfo_record =
                ::pgrx::pg_sys::Pg_finfo_record { api_version: 1 };
            &VERSION_1
        }

        #[doc = "The function.\n\n# Safety\nTo be called by Postgres only."]
        #[::pgrx::pg_guard]
        #[unsafe(no_mangle)]
        pub unsafe extern "C-unwind" fn $symbol(
            fcinfo: ::pgrx::pg_sys::FunctionCallInfo,
        ) -> ::pgrx::pg_sys::Datum {
            // SAFETY: Postgres calls the function with its own fcinfo.
            $body(unsafe { $crate::function::FunctionCall::new(fcinfo) })
        }
    };
}

pub use sql_function;
