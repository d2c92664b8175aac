//! The extension's own tables: who may write them, and a search path on which nothing of a user's is found meanwhile.

use crate::error::{Error, Result};
use crate::spi::{connect, run};
use crate::switch_user::{as_owner, with_settings};
use pgrx::pg_sys;

/// Does `work`, our own statements on the catalogue, with nothing on the search path that a user could have put there.
pub fn with_safe_search_path<T>(work: impl FnOnce() -> T) -> T {
    with_settings(&[("search_path", "pg_catalog, pg_temp")], work)
}

/// Whoever may not do this to a table.
pub fn not_owner(action: &str, table: &str) -> Error {
    Error::forbidden(format!("must be owner of table {table} to {action}"))
}

/// Who may write the extension's own tables.
pub fn config_owner() -> Result<pg_sys::Oid> {
    run(
        "SELECT relowner FROM pg_catalog.pg_class
         WHERE oid OPERATOR(pg_catalog.=) 'rag.collection'::pg_catalog.regclass",
        &[],
    )?
    .oid(0, 0)
    .ok_or_else(|| Error::internal("rag.collection has no owner"))
}

/// Does `work`, statements on the extension's own tables, which belong to its owner: each says itself whose rows it is about.
pub fn as_config_owner<T>(work: impl FnOnce() -> Result<T>) -> Result<T> {
    connect(|| as_owner(config_owner()?, work))
}
