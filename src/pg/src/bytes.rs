//! Values that Rust handles as bytes: `jsonb`, `bytea` and `text`.

use crate::encoding::server_cstring;
use crate::error::{Error, Result};
use crate::sql_type;
use crate::text::utf8_from_datum;
use crate::value::{varlena, varlena_bytes};
use pgrx::callconv::{Arg, ArgAbi};
use pgrx::pg_sys;
use pgrx::pgrx_sql_entity_graph::metadata::{
    ArgumentError, ReturnsError, ReturnsRef, SqlMappingRef, SqlTranslatable, TypeOrigin,
};

/// A `jsonb`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Jsonb(pub Vec<u8>);

impl Jsonb {
    /// Converts it to JSON text.
    pub fn to_json(&self) -> Result<String> {
        json_of(varlena(&self.0))
    }

    /// Parses JSON text. Raises 22P02 if it is not valid.
    pub fn from_json(json: &str) -> Result<Self> {
        let datum = jsonb_datum(json)?;
        // SAFETY: the datum is a jsonb that was just made.
        Ok(Self(unsafe { varlena_bytes(datum) }))
    }

    /// Converts it to a serde value. Returns 54000 if it is nested deeper than serde permits, which `jsonb` may be.
    pub fn to_value(&self) -> Result<serde_json::Value> {
        serde_json::from_str(&self.to_json()?)
            .map_err(|_| Error::over_limit("JSON is nested deeper than the limit of 128 levels"))
    }
}

/// A `jsonb` datum in the current memory context, from JSON text. Raises 22P02 if the text is not valid.
pub fn jsonb_datum(json: &str) -> Result<pg_sys::Datum> {
    let text = server_cstring(json)?;
    // SAFETY: jsonb_in takes a terminated string in the server's encoding, and returns a jsonb.
    let datum = unsafe {
        pg_sys::OidInputFunctionCall(
            pg_sys::Oid::from(pg_sys::F_JSONB_IN),
            text.as_ptr().cast_mut(),
            pg_sys::InvalidOid,
            -1,
        )
    };
    Ok(datum)
}

fn json_of(jsonb: pg_sys::Datum) -> Result<String> {
    // SAFETY: jsonb_out takes a jsonb, and returns a terminated string in the server's encoding; the text made of it is
    // valid.
    let text = unsafe {
        let json = pg_sys::OidOutputFunctionCall(pg_sys::Oid::from(pg_sys::F_JSONB_OUT), jsonb);
        utf8_from_datum(pg_sys::Datum::from(pg_sys::cstring_to_text(json)))
    };
    Ok(text)
}

sql_type::value!(Jsonb, "jsonb", pg_sys::JSONBOID, varlena_bytes, varlena);

/// A `jsonb` argument, which is read in place and passed on without a copy.
#[derive(Debug, Clone, Copy)]
pub struct JsonbRef<'a> {
    /// The datum in PostgreSQL's memory, if there is one.
    datum: Option<pg_sys::Datum>,
    /// The bytes after the header.
    pub bytes: &'a [u8],
}

impl<'a> JsonbRef<'a> {
    /// A value of which only the bytes after its header are at hand.
    pub fn of_argument(bytes: &'a [u8]) -> Self {
        Self { datum: None, bytes }
    }
}

impl JsonbRef<'_> {
    /// The datum. It lives as long as the argument, or in the current memory context.
    pub fn datum(&self) -> pg_sys::Datum {
        self.datum.unwrap_or_else(|| varlena(self.bytes))
    }

    /// Converts it to JSON text.
    pub fn to_json(self) -> Result<String> {
        json_of(self.datum())
    }
}

impl<'a> From<&'a Jsonb> for JsonbRef<'a> {
    fn from(value: &'a Jsonb) -> Self {
        Self { datum: None, bytes: &value.0 }
    }
}

// SAFETY: an argument that is not null is a jsonb, and lives as long as the call.
unsafe impl<'fcx> ArgAbi<'fcx> for JsonbRef<'fcx> {
    unsafe fn unbox_arg_unchecked(arg: Arg<'_, 'fcx>) -> Self {
        // SAFETY: as promised by the caller. A value that had to be detoasted lives in the call's memory context.
        unsafe {
            let datum: Option<pg_sys::Datum> = arg.unbox_arg_using_from_datum();
            let datum = datum.unwrap_or_else(sql_type::refuse_null);
            let varlena = pg_sys::pg_detoast_datum_packed(datum.cast_mut_ptr());
            let bytes = pgrx::varlena::varlena_to_byte_slice(varlena);
            Self { datum: Some(pg_sys::Datum::from(varlena)), bytes }
        }
    }
}

// SAFETY: the SQL type is the one that is read above.
unsafe impl SqlTranslatable for JsonbRef<'_> {
    const TYPE_IDENT: &'static str = pgrx::pgrx_resolved_type!(JsonbRef<'static>);
    const TYPE_ORIGIN: TypeOrigin = TypeOrigin::External;
    const ARGUMENT_SQL: Result<SqlMappingRef, ArgumentError> = Ok(SqlMappingRef::literal("jsonb"));
    const RETURN_SQL: Result<ReturnsRef, ReturnsError> = Err(ReturnsError::Datum);
}

/// The bytes of an argument, which are read in place.
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

        // SAFETY: the SQL type is a varlena, and only its bytes are read here.
        unsafe impl SqlTranslatable for $rust<'_> {
            const TYPE_IDENT: &'static str = pgrx::pgrx_resolved_type!($rust<'static>);
            const TYPE_ORIGIN: TypeOrigin = TypeOrigin::External;
            const ARGUMENT_SQL: Result<SqlMappingRef, ArgumentError> = Ok(SqlMappingRef::literal($sql));
            const RETURN_SQL: Result<ReturnsRef, ReturnsError> = Err(ReturnsError::Datum);
        }
    };
}

borrowed!(TextBytes, "text", "A `text` argument in the server's encoding, after its header.");
borrowed!(Bytes, "bytea", "A `bytea` argument, after its header.");
