//! Arrays as arguments of a statement, so that one statement can process many rows.

use crate::spi::Arg;
use crate::text::utf8_datum;
use crate::value::{Value, array_datum, varlena};
use pgrx::datum::IntoDatum;
use pgrx::pg_sys;

impl Arg {
    /// A `text[]` of texts in UTF-8.
    pub fn texts<S: AsRef<str>>(values: impl IntoIterator<Item = S>) -> Self {
        let datums = values.into_iter().map(|value| Some(utf8_datum(value.as_ref()))).collect();
        Self::array(pg_sys::TEXTOID, datums)
    }

    /// A `text[]` of texts in UTF-8 and nulls.
    pub fn optional_texts<'a>(values: impl IntoIterator<Item = Option<&'a str>>) -> Self {
        Self::array(pg_sys::TEXTOID, values.into_iter().map(|value| value.map(utf8_datum)).collect())
    }

    /// A `text[]` that is null.
    pub fn null_texts() -> Self {
        Self { oid: pg_sys::TEXTARRAYOID, datum: None }
    }

    /// A `real[]`.
    pub fn float4s<'a>(values: impl IntoIterator<Item = &'a f32>) -> Self {
        Self::array(pg_sys::FLOAT4OID, values.into_iter().map(|value| value.into_datum()).collect())
    }

    /// A `bigint[]`.
    pub fn int8s(values: impl IntoIterator<Item = i64>) -> Self {
        Self::array(pg_sys::INT8OID, values.into_iter().map(IntoDatum::into_datum).collect())
    }

    /// An `integer[]`.
    pub fn int4s(values: impl IntoIterator<Item = i32>) -> Self {
        Self::array(pg_sys::INT4OID, values.into_iter().map(IntoDatum::into_datum).collect())
    }

    /// A `smallint[]`.
    pub fn int2s(values: &[i16]) -> Self {
        Self::array(pg_sys::INT2OID, values.iter().map(|value| value.into_datum()).collect())
    }

    /// A `bytea[]`.
    pub fn byteas<'a>(values: impl IntoIterator<Item = &'a [u8]>) -> Self {
        Self::varlenas(pg_sys::BYTEAOID, values)
    }

    /// An array of a varlena type, from the bytes of its values without their headers.
    pub fn varlenas<'a>(element: pg_sys::Oid, values: impl IntoIterator<Item = &'a [u8]>) -> Self {
        Self::array(element, values.into_iter().map(|bytes| Some(varlena(bytes))).collect())
    }

    /// An array of values; their type must have an array type.
    pub fn values<'a>(element: pg_sys::Oid, values: impl IntoIterator<Item = &'a Value>) -> Self {
        Self::array(element, values.into_iter().map(|value| Some(value.datum())).collect())
    }

    /// An array; `element` must have an array type.
    pub fn array(element: pg_sys::Oid, values: Vec<Option<pg_sys::Datum>>) -> Self {
        // SAFETY: a look-up by OID.
        let oid = unsafe { pg_sys::get_array_type(element) };
        Self { oid, datum: Some(array_datum(element, values)) }
    }
}
