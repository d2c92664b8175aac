//! Looks up relations by name, their owners, and numbers from sequences in the catalogue caches: a query would take longer
//! than the INSERT that needs the result.

use crate::error::{Error, Result};
use pgrx::{direct_function_call, pg_sys};
use std::ffi::CStr;

/// The relation with this name in schema `rag`.
pub fn extension_relation(name: &CStr) -> Result<pg_sys::Oid> {
    // SAFETY: look-ups by terminated names.
    let oid = unsafe {
        let schema = pg_sys::get_namespace_oid(c"rag".as_ptr(), true);
        pg_sys::get_relname_relid(name.as_ptr(), schema)
    };
    if oid == pg_sys::InvalidOid { Err(gone(name)) } else { Ok(oid) }
}

/// The owner of the relation with this name in schema `rag`.
pub fn extension_relation_owner(name: &CStr) -> Result<pg_sys::Oid> {
    let relation = extension_relation(name)?;
    // SAFETY: the tuple is a row of pg_class, and is released after it was read.
    unsafe {
        let cache = pg_sys::SysCacheIdentifier::RELOID as i32;
        let tuple = pg_sys::SearchSysCache1(cache, pg_sys::Datum::from(relation));
        if tuple.is_null() {
            return Err(gone(name));
        }
        let owner = (*pg_sys::GETSTRUCT(tuple).cast::<pg_sys::FormData_pg_class>()).relowner;
        pg_sys::ReleaseSysCache(tuple);
        Ok(owner)
    }
}

/// The next number of a sequence in schema `rag`, with the current role's privileges.
pub fn next_in_sequence(sequence: &CStr) -> Result<i64> {
    let sequence = extension_relation(sequence)?;
    // SAFETY: nextval takes an OID, and returns a bigint or raises.
    let number = unsafe { direct_function_call(pg_sys::nextval_oid, &[Some(pg_sys::Datum::from(sequence))]) };
    number.ok_or_else(|| Error::internal("a sequence without a number"))
}

fn gone(name: &CStr) -> Error {
    Error::internal(format!("rag.{} no longer exists", name.to_string_lossy()))
}
