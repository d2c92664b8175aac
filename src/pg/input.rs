//! Values of types that are known only at run time, from their text.

use crate::pg::error::Outcome;
use crate::pg::spi::{Arg, server_cstring};
use crate::pg::value::array_datum;
use pgrx::pg_sys;

/// The type of an array's elements; none where the type is no array.
pub fn element_type(oid: pg_sys::Oid) -> Option<pg_sys::Oid> {
    // SAFETY: a look-up by OID.
    let element = unsafe { pg_sys::get_element_type(oid) };
    (element != pg_sys::InvalidOid).then_some(element)
}

impl Arg {
    /// A value of any type as its text says; raises what the type's input function raises.
    pub fn from_text(oid: pg_sys::Oid, text: Option<&str>) -> Outcome<Self> {
        let datum = text.map(|text| datum(oid, text)).transpose()?;
        Ok(Self { oid, datum })
    }

    /// An array as the texts of its elements say.
    pub fn from_texts(array: pg_sys::Oid, element: pg_sys::Oid, texts: &[Option<String>]) -> Outcome<Self> {
        let values = texts.iter().map(|text| text.as_deref().map(|text| datum(element, text)).transpose());
        Ok(Self { oid: array, datum: Some(array_datum(element, values.collect::<Outcome<_>>()?)) })
    }
}

fn datum(oid: pg_sys::Oid, text: &str) -> Outcome<pg_sys::Datum> {
    let text = server_cstring(text)?;
    let (mut function, mut parameter) = (pg_sys::InvalidOid, pg_sys::InvalidOid);
    // SAFETY: look-ups by OID; the text lives through the call, and an input function does not change it.
    unsafe {
        pg_sys::getTypeInputInfo(oid, &mut function, &mut parameter);
        Ok(pg_sys::OidInputFunctionCall(function, text.as_ptr().cast_mut(), parameter, -1))
    }
}
