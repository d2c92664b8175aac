//! Values of types that are known only at run time, such as the keys of a source.

use crate::error::{Error, or_raise};
use crate::text::utf8_from_datum;
use pgrx::pg_sys;
use std::ffi::c_char;

/// A value that Rust owns.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Value {
    /// Its type.
    pub oid: pg_sys::Oid,
    content: Content,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Content {
    ByValue(usize),
    /// The bytes after the header.
    Varlena(Vec<u8>),
    /// All bytes, for a type of fixed length.
    Fixed(Vec<u8>),
}

impl Value {
    /// Copies a value.
    ///
    /// # Safety
    /// The datum must be a valid value of the type, and not null.
    pub unsafe fn copy(oid: pg_sys::Oid, datum: pg_sys::Datum) -> Self {
        let (length, by_value, _) = type_layout(oid);
        let content = match (by_value, usize::try_from(length)) {
            (true, _) => Content::ByValue(datum.value()),
            // SAFETY: a type that is passed by reference and has a fixed length consists of that many bytes.
            (false, Ok(length)) => Content::Fixed(unsafe {
                std::slice::from_raw_parts(datum.cast_mut_ptr::<u8>(), length).to_vec()
            }),
            // SAFETY: all other types that a table can store are varlenas.
            (false, Err(_)) => Content::Varlena(unsafe { varlena_bytes(datum) }),
        };
        Self { oid, content }
    }

    /// A datum of the value in the current memory context.
    pub fn datum(&self) -> pg_sys::Datum {
        match &self.content {
            Content::ByValue(value) => pg_sys::Datum::from(*value),
            Content::Varlena(bytes) => varlena(bytes),
            // SAFETY: the allocation has room for the bytes.
            Content::Fixed(bytes) => unsafe {
                let copy = pg_sys::palloc(bytes.len()).cast::<u8>();
                std::ptr::copy_nonoverlapping(bytes.as_ptr(), copy, bytes.len());
                pg_sys::Datum::from(copy)
            },
        }
    }
}

/// A type's length, whether it is passed by value, and its alignment.
fn type_layout(oid: pg_sys::Oid) -> (i16, bool, c_char) {
    let (mut length, mut by_value, mut align) = (0, false, 0);
    // SAFETY: a look-up by OID.
    unsafe { pg_sys::get_typlenbyvalalign(oid, &mut length, &mut by_value, &mut align) };
    (length, by_value, align)
}

/// True if a datum of the type holds the value itself, and not an address.
pub fn is_passed_by_value(oid: pg_sys::Oid) -> bool {
    type_layout(oid).1
}

/// True if a type is built into PostgreSQL, or is a domain over or an array of such a type: only superusers determine its
/// conversions.
pub fn is_built_in(oid: pg_sys::Oid) -> bool {
    // SAFETY: look-ups by OID.
    let base = unsafe {
        let base = pg_sys::getBaseType(oid);
        let element = pg_sys::get_base_element_type(base);
        if element == pg_sys::InvalidOid { base } else { pg_sys::getBaseType(element) }
    };
    base != pg_sys::InvalidOid && base.to_u32() < pg_sys::FirstNormalObjectId
}

/// The base type of a domain, or the type itself.
pub fn base_type(oid: pg_sys::Oid) -> pg_sys::Oid {
    // SAFETY: a look-up by OID.
    unsafe { pg_sys::getBaseType(oid) }
}

/// True if the values of a type are texts, JSON or XML.
pub fn is_text_or_json(oid: pg_sys::Oid) -> bool {
    let (mut category, mut is_preferred) = (0, false);
    // SAFETY: a look-up by OID.
    unsafe { pg_sys::get_type_category_preferred(oid, &mut category, &mut is_preferred) };
    // Strings, PostgreSQL's internal types (for example "char"), and literals of unknown type.
    let is_text = [b'S', b'Z', b'X'].contains(&(category as u8));
    is_text || [pg_sys::JSONOID, pg_sys::JSONBOID, pg_sys::XMLOID].contains(&oid)
}

/// True if a type has an array type; array types have none.
pub fn has_array_type(oid: pg_sys::Oid) -> bool {
    // SAFETY: a look-up by OID.
    unsafe { pg_sys::get_array_type(oid) != pg_sys::InvalidOid }
}

/// The error 42804 for a column that does not have the expected type.
pub fn has_wrong_type(column: &str, found: pg_sys::Oid, expected: pg_sys::Oid) -> Error {
    // SAFETY: returns a terminated string, even for a type that no longer exists.
    let name = |oid| unsafe {
        utf8_from_datum(pg_sys::Datum::from(pg_sys::cstring_to_text(pg_sys::format_type_be(oid))))
    };
    Error::datatype_mismatch(format!(
        "column \"{column}\" has type {}, expected {}",
        name(found),
        name(expected)
    ))
}

/// An array in the current memory context.
pub fn array_datum(element: pg_sys::Oid, values: Vec<Option<pg_sys::Datum>>) -> pg_sys::Datum {
    let mut nulls: Vec<bool> = values.iter().map(Option::is_none).collect();
    let mut datums: Vec<_> = values.into_iter().map(|value| value.unwrap_or(pg_sys::Datum::null())).collect();
    let (mut dimensions, mut lower_bounds) = ([datums.len() as i32], [1]);
    let (length, by_value, align) = type_layout(element);
    // SAFETY: the slices have the given lengths, and the layout is that of the element type.
    unsafe {
        pg_sys::Datum::from(pg_sys::construct_md_array(
            datums.as_mut_ptr(),
            nulls.as_mut_ptr(),
            i32::from(!nulls.is_empty()),
            dimensions.as_mut_ptr(),
            lower_bounds.as_mut_ptr(),
            element,
            i32::from(length),
            by_value,
            align,
        ))
    }
}

/// A varlena with these bytes, in the current memory context.
pub fn varlena(bytes: &[u8]) -> pg_sys::Datum {
    let length = bytes.len() + 4;
    if length > 0x3fff_ffff {
        return or_raise(Err(Error::over_limit(format!(
            "value of {length} bytes is over the limit of 1 GB"
        ))));
    }
    // SAFETY: the allocation has room for the header and the bytes.
    unsafe {
        let varlena = pg_sys::palloc(length);
        pgrx::set_varsize_4b(varlena.cast(), length as i32);
        std::ptr::copy_nonoverlapping(bytes.as_ptr(), varlena.cast::<u8>().add(4), bytes.len());
        pg_sys::Datum::from(varlena)
    }
}

/// A copy of the bytes of a varlena, without its header.
///
/// # Safety
/// The datum must be a valid varlena that is not null.
pub unsafe fn varlena_bytes(datum: pg_sys::Datum) -> Vec<u8> {
    // SAFETY: as promised by the caller.
    unsafe {
        let varlena = pg_sys::pg_detoast_datum_packed(datum.cast_mut_ptr());
        pgrx::varlena::varlena_to_byte_slice(varlena).to_vec()
    }
}
