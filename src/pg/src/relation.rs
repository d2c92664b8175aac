//! Tables and types by OID.

use crate::encoding::server_cstring;
use crate::error::{Error, Result};
use crate::own_tables::with_safe_search_path;
use crate::spi::{Arg, select};
use crate::value::{base_type, has_wrong_type, is_built_in};
use pgrx::{direct_function_call, pg_sys};
use std::cell::RefCell;
use std::collections::HashMap;

thread_local! {
    /// Equality operators by type.
    static EQUALITY: RefCell<HashMap<pg_sys::Oid, String>> = RefCell::new(HashMap::new());
}

/// Protects a table from being dropped or altered until the end of the transaction; other sessions may read and write it.
pub fn lock_against_changes(relation: pg_sys::Oid) {
    // SAFETY: takes a lock that the transaction's end releases; waiting for it can be cancelled.
    unsafe { pg_sys::LockRelationOid(relation, pg_sys::AccessShareLock as i32) };
}

/// Like [`lock_against_changes`], for a table that is to be written.
pub fn lock_for_writing(relation: pg_sys::Oid) {
    // SAFETY: as above.
    unsafe { pg_sys::LockRelationOid(relation, pg_sys::RowExclusiveLock as i32) };
}

/// Keeps other sessions from reading and writing a table until the end of the transaction.
pub fn lock_exclusively(relation: pg_sys::Oid) {
    // SAFETY: as above.
    unsafe { pg_sys::LockRelationOid(relation, pg_sys::AccessExclusiveLock as i32) };
}

/// Locks a table for writing until the end of the transaction. Returns false if the lock is not available at once.
pub fn lock_if_free(relation: pg_sys::Oid) -> bool {
    // SAFETY: as above.
    unsafe { pg_sys::ConditionalLockRelationOid(relation, pg_sys::RowExclusiveLock as i32) }
}

/// Size on disk of a table with its indexes and TOAST table, bytes; `None` if another session has locked it.
pub fn size_if_free(table: pg_sys::Oid) -> Option<i64> {
    // SAFETY: takes and releases a lock; the function takes an OID, and returns a bigint, or null for a table that does not exist.
    unsafe {
        if !pg_sys::ConditionalLockRelationOid(table, pg_sys::AccessShareLock as i32) {
            return None;
        }
        let size = direct_function_call(pg_sys::pg_total_relation_size, &[Some(pg_sys::Datum::from(table))]);
        pg_sys::UnlockRelationOid(table, pg_sys::AccessShareLock as i32);
        size
    }
}

/// True if row-level security applies to the current role's statements on a table, like `row_security_active`.
pub fn has_row_security(table: pg_sys::Oid) -> bool {
    // SAFETY: looks the table up in the catalogue caches, and tolerates a table that does not exist.
    let applies = unsafe { pg_sys::check_enable_rls(table, pg_sys::InvalidOid, true) };
    applies == pg_sys::CheckEnableRlsResult::RLS_ENABLED as i32
}

/// The type of a table's column.
///
/// # Errors
/// 42703 if there is no such column.
pub fn column_type(table: pg_sys::Oid, column: &str) -> Result<pg_sys::Oid> {
    find_column_type(table, column)?
        .ok_or_else(|| Error::undefined_column(format!("column \"{column}\" no longer exists")))
}

/// The type of a table's column, if the table has it.
pub fn find_column_type(table: pg_sys::Oid, column: &str) -> Result<Option<pg_sys::Oid>> {
    let name = server_cstring(column)?;
    // SAFETY: look-ups by OID and name; the name lives through the call.
    let found = unsafe { pg_sys::get_atttype(table, pg_sys::get_attnum(table, name.as_ptr())) };
    Ok((found != pg_sys::InvalidOid).then_some(found))
}

/// Whether a type is one of the text types, by its category in `pg_type`.
pub fn is_text_type(oid: pg_sys::Oid) -> bool {
    let (mut category, mut is_preferred) = (0, false);
    // SAFETY: a look-up by OID, of a type that a column has.
    unsafe { pg_sys::get_type_category_preferred(oid, &mut category, &mut is_preferred) };
    category as u8 == pg_sys::TYPCATEGORY_STRING
}

/// Names of types with their schemas, in the given order. They are computed with the search path pg_catalog only.
pub fn type_names(types: &[pg_sys::Oid]) -> Result<Vec<String>> {
    let types: Vec<_> = types.iter().map(|of| Some(pg_sys::Datum::from(*of))).collect();
    let arguments = [Arg::array(pg_sys::OIDOID, types)];
    let rows =
        with_safe_search_path(|| select(include_str!("../../../sql/queries/type_names.sql"), &arguments))?;
    Ok((0..rows.count).filter_map(|row| rows.text(row, 0)).collect())
}

/// Checks that a column can be compared with values of a type by PostgreSQL's own code alone: a cast of a user would run
/// with the privileges of the comparing role.
///
/// # Errors
/// 42804 if it has another type, and one of the two types is not built in.
pub fn check_comparable(table: pg_sys::Oid, column: &str, wanted: pg_sys::Oid) -> Result<()> {
    let found = column_type(table, column)?;
    if found == wanted || (is_built_in(found) && is_built_in(wanted)) {
        return Ok(());
    }
    Err(has_wrong_type(column, found, wanted).hint("A column of a table that a collection uses has been altered. Call rag.refresh_collection, or restore the column's former type."))
}

/// The equality operator of a type's default sort order, qualified with its schema. Call it with the search path pg_catalog only.
pub fn equality_operator(of: pg_sys::Oid) -> Result<String> {
    if let Some(operator) = EQUALITY.with_borrow(|known| known.get(&of).cloned()) {
        return Ok(operator);
    }
    // SAFETY: the type cache's entries live as long as the session.
    let oid = unsafe { (*pg_sys::lookup_type_cache(of, pg_sys::TYPECACHE_EQ_OPR as i32)).eq_opr };
    let rows = select(include_str!("../../../sql/queries/equality.sql"), &[Arg::new(oid)])?;
    let operator = rows.text(0, 0).ok_or_else(|| {
        Error::undefined_function("key type has no equality operator")
            .detail(format!("The type's OID is {}.", of.to_u32()))
    })?;
    EQUALITY.with_borrow_mut(|known| known.insert(of, operator.clone()));
    Ok(operator)
}

/// The operators of a type's default sort order, qualified with their schema: equal, less, greater. None for a type without an
/// order. Only superusers define such an order, so no user's code runs. Call it with the search path pg_catalog only.
pub fn order_operators(of: pg_sys::Oid) -> Result<Option<[String; 3]>> {
    let flags = pg_sys::TYPECACHE_EQ_OPR | pg_sys::TYPECACHE_LT_OPR | pg_sys::TYPECACHE_GT_OPR;
    // SAFETY: the type cache's entries live as long as the session.
    let (less, greater) = unsafe {
        let entry = pg_sys::lookup_type_cache(of, flags as i32);
        ((*entry).lt_opr, (*entry).gt_opr)
    };
    if less == pg_sys::InvalidOid || greater == pg_sys::InvalidOid {
        return Ok(None);
    }
    let name = |oid| {
        let rows = select(include_str!("../../../sql/queries/equality.sql"), &[Arg::new(oid)])?;
        rows.text(0, 0).ok_or_else(|| Error::internal("an operator has gone"))
    };
    Ok(Some([equality_operator(of)?, name(less)?, name(greater)?]))
}

/// A type without domains: the base type of a domain, and for an array the array of its elements' base type.
pub fn without_domains(of: pg_sys::Oid) -> pg_sys::Oid {
    let base = base_type(of);
    match element_type(base) {
        pg_sys::InvalidOid => base,
        // SAFETY: a look-up by OID.
        element => unsafe { pg_sys::get_array_type(base_type(element)) },
    }
}

/// The kind of a type, a letter of `pg_type.typtype`; 0 if the type does not exist.
pub fn type_kind(oid: pg_sys::Oid) -> u8 {
    // SAFETY: a look-up by OID.
    unsafe { pg_sys::get_typtype(oid) as u8 }
}

/// The element type of an array type; `InvalidOid` for any other type.
pub fn element_type(oid: pg_sys::Oid) -> pg_sys::Oid {
    // SAFETY: a look-up by OID.
    unsafe { pg_sys::get_element_type(oid) }
}
