//! The extension's own tables: who may write them, and a search path on which nothing of a user's is found meanwhile.

use crate::error::{Error, Outcome};
use crate::spi::{connect, run};
use crate::switch_user::{as_owner, with_settings};
use pgrx::{PgSqlErrorCode, pg_sys};

/// Does `work`, our own statements on the catalogue, with nothing on the search path that a user could have put there.
pub fn locked<T>(work: impl FnOnce() -> T) -> T {
    with_settings(&[("search_path", "pg_catalog, pg_temp")], work)
}

/// Whoever may not do this to a table.
pub fn not_owner(action: &str, table: &str) -> Error {
    Error::new(
        PgSqlErrorCode::ERRCODE_INSUFFICIENT_PRIVILEGE,
        format!("must be owner of table {table} to {action}"),
    )
}

/// Who may write the extension's own tables.
pub fn config_owner() -> Outcome<pg_sys::Oid> {
    run(
        "SELECT relowner FROM pg_catalog.pg_class
         WHERE oid OPERATOR(pg_catalog.=) 'rag.collection'::pg_catalog.regclass",
        &[],
    )?
    .oid(0, 0)
    .ok_or_else(|| Error::internal("rag.collection has no owner"))
}

/// Does `work`, statements on the extension's own tables, which belong to its owner: each says itself whose rows it is about.
pub fn on_tables<T>(work: impl FnOnce() -> Outcome<T>) -> Outcome<T> {
    connect(|| as_owner(config_owner()?, work))
}
