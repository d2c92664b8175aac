//! The extension's own tables: their owner, and a search path without schemas of users.

use crate::catalogue::extension_relation_owner;
use crate::error::{Error, Result};
use crate::spi::connect;
use crate::switch_user::{as_owner, with_settings};
use pgrx::pg_sys;

/// Runs `work`, statements on the catalogue, with a search path that contains no object of a user.
pub fn with_safe_search_path<T>(work: impl FnOnce() -> T) -> T {
    with_settings(&[("search_path", "pg_catalog, pg_temp")], work)
}

/// The error for a role that does not own a table.
pub fn not_owner(action: &str, table: &str) -> Error {
    Error::forbidden(format!("must be owner of table {table} to {action}"))
}

/// The owner of the extension's own tables.
pub fn config_owner() -> Result<pg_sys::Oid> {
    extension_relation_owner(c"collection")
}

/// Runs `work`, statements on the extension's own tables, as their owner. Each statement must restrict itself to the
/// caller's rows.
pub fn as_config_owner<T>(work: impl FnOnce() -> Result<T>) -> Result<T> {
    connect(|| as_owner(config_owner()?, work))
}
