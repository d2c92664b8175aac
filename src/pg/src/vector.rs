//! Converts embeddings to pgvector's `vector`. Its layout is that of pgvector's `src/vector.h`: a varlena header, the
//! number of dimensions and an unused field, 16 bits each, then the values as `float4`.

use crate::error::{Error, Result, or_raise};
use pgrx::callconv::{BoxRet, FcInfo};
use pgrx::datum::Datum;
use pgrx::pgrx_sql_entity_graph::metadata::{
    ArgumentError, ReturnsError, ReturnsRef, SqlMappingRef, SqlTranslatable, TypeOrigin,
};
use pgrx::{Spi, pg_sys};

/// Bytes before the first value.
const HEADER: usize = 8;

/// Maximum number of dimensions of a `vector` (pgvector's `VECTOR_MAX_DIM`).
const MAX_DIMENSIONS: usize = 16_000;

/// An embedding to be returned to SQL.
#[derive(Debug, Clone, PartialEq)]
pub struct Vector(pub Vec<f32>);

/// Embeddings to be returned to SQL as an array.
#[derive(Debug, Clone, PartialEq)]
pub struct VectorArray(pub Vec<Option<Vec<f32>>>);

/// A `vector` datum in the current memory context. Raises 54000 if a `vector` cannot have this number of dimensions.
pub fn vector_datum(values: &[f32]) -> pg_sys::Datum {
    if !(1..=MAX_DIMENSIONS).contains(&values.len()) {
        let found = values.len();
        or_raise(Err(Error::over_limit(format!(
            "embedding of {found} dimensions does not fit in a vector, which has 1 to {MAX_DIMENSIONS}"
        ))))
    }
    let bytes = HEADER + std::mem::size_of_val(values);
    // SAFETY: the allocation has room for header and values, and palloc aligns to 8 bytes.
    unsafe {
        let vector = pg_sys::palloc0(bytes);
        pgrx::set_varsize_4b(vector.cast(), bytes as i32);
        vector.cast::<u8>().add(4).cast::<i16>().write(values.len() as i16);
        std::ptr::copy_nonoverlapping(
            values.as_ptr(),
            vector.cast::<u8>().add(HEADER).cast::<f32>(),
            values.len(),
        );
        pg_sys::Datum::from(vector)
    }
}

/// The schema in which pgvector is installed, quoted.
pub fn extension_schema() -> Result<String> {
    let schema = Spi::connect(|client| {
        client
            .select(
                "SELECT pg_catalog.quote_ident(n.nspname) FROM pg_catalog.pg_extension e
                 JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) e.extnamespace
                 WHERE e.extname OPERATOR(pg_catalog.=) 'vector'",
                Some(1),
                &[],
            )?
            .first()
            .get_one::<String>()
    });
    match schema {
        Ok(Some(schema)) => Ok(schema),
        Ok(None) | Err(pgrx::spi::Error::InvalidPosition) => {
            Err(Error::undefined("extension \"vector\" is not installed")
                .hint("Run CREATE EXTENSION vector."))
        }
        Err(error) => Err(error.into()),
    }
}

// SAFETY: returns a vector datum, as RETURN_SQL declares.
unsafe impl BoxRet for Vector {
    unsafe fn box_into<'fcx>(self, fcinfo: &mut FcInfo<'fcx>) -> Datum<'fcx> {
        // SAFETY: the datum was just created in the caller's memory context.
        unsafe { fcinfo.return_raw_datum(vector_datum(&self.0)) }
    }
}

// SAFETY: returns an array with the element type of the function's own return type.
unsafe impl BoxRet for VectorArray {
    unsafe fn box_into<'fcx>(self, fcinfo: &mut FcInfo<'fcx>) -> Datum<'fcx> {
        // SAFETY: flinfo is set for every call from SQL.
        let element = unsafe {
            let function = (*(*fcinfo.as_mut_ptr()).flinfo).fn_oid;
            pg_sys::get_element_type(pg_sys::get_func_rettype(function))
        };
        if element == pg_sys::InvalidOid {
            or_raise::<()>(Err(Error::internal("the function does not return an array")));
        }
        // SAFETY: the array was just created in the caller's memory context.
        unsafe { fcinfo.return_raw_datum(array_datum(&self.0, element)) }
    }
}

fn array_datum(vectors: &[Option<Vec<f32>>], element: pg_sys::Oid) -> pg_sys::Datum {
    let mut nulls: Vec<bool> = vectors.iter().map(Option::is_none).collect();
    let mut datums: Vec<pg_sys::Datum> =
        vectors.iter().map(|vector| vector.as_deref().map_or(pg_sys::Datum::null(), vector_datum)).collect();
    let mut dimensions = [vectors.len() as i32];
    let mut lower_bounds = [1];
    // SAFETY: the slices have the given lengths; vector is a varlena aligned to 4 bytes (pgvector's CREATE TYPE leaves the
    // alignment at its default, int4).
    unsafe {
        let array = if vectors.is_empty() {
            pg_sys::construct_empty_array(element)
        } else {
            pg_sys::construct_md_array(
                datums.as_mut_ptr(),
                nulls.as_mut_ptr(),
                1,
                dimensions.as_mut_ptr(),
                lower_bounds.as_mut_ptr(),
                element,
                -1,
                false,
                pg_sys::TYPALIGN_INT as std::ffi::c_char,
            )
        };
        pg_sys::Datum::from(array)
    }
}

// SAFETY: the SQL type is the one that box_into writes.
unsafe impl SqlTranslatable for Vector {
    const TYPE_IDENT: &'static str = pgrx::pgrx_resolved_type!(Vector);
    const TYPE_ORIGIN: TypeOrigin = TypeOrigin::External;
    const ARGUMENT_SQL: Result<SqlMappingRef, ArgumentError> = Ok(SqlMappingRef::literal("vector"));
    const RETURN_SQL: Result<ReturnsRef, ReturnsError> =
        Ok(ReturnsRef::One(SqlMappingRef::literal("vector")));
}

// SAFETY: the SQL type is the one that box_into writes.
unsafe impl SqlTranslatable for VectorArray {
    const TYPE_IDENT: &'static str = pgrx::pgrx_resolved_type!(VectorArray);
    const TYPE_ORIGIN: TypeOrigin = TypeOrigin::External;
    const ARGUMENT_SQL: Result<SqlMappingRef, ArgumentError> = Ok(SqlMappingRef::literal("vector[]"));
    const RETURN_SQL: Result<ReturnsRef, ReturnsError> =
        Ok(ReturnsRef::One(SqlMappingRef::literal("vector[]")));
}
