//! Follows text search configurations that a command renames or moves to another schema. Collections store
//! the names of configurations, because `pg_upgrade` does not support columns that store their OIDs.

use pgrx::{PgLogLevel, pg_sys};
use ragstone_pg::error::{Error, Result};
use ragstone_pg::own_tables::config_owner;
use ragstone_pg::spi::{Arg, run};
use ragstone_pg::switch_user::as_owner;
use std::cell::RefCell;

thread_local! {
    /// OIDs and names of the configurations that collections use, as they were before the current command.
    static NAMED: RefCell<Vec<(pg_sys::Oid, String)>> = const { RefCell::new(Vec::new()) };
}

/// Remembers the names of the configurations that collections use, before the current command changes them.
/// Must be called within SPI.
pub fn remember() -> Result<()> {
    let sql = "SELECT t.oid, t.oid::regconfig::text FROM pg_ts_config t
               WHERE t.oid::regconfig::text IN (SELECT c.language FROM rag.collection c)";
    let rows = as_owner(config_owner()?, || run(sql, &[]))?;
    let named = (0..rows.count).filter_map(|row| Some((rows.oid(row, 0)?, rows.text(row, 1)?)));
    NAMED.set(named.collect());
    Ok(())
}

/// Stores the new names of the configurations that the command has renamed. Must be called within SPI.
pub fn follow() -> Result<()> {
    for (configuration, former) in NAMED.take() {
        let arguments = [Arg::new(configuration), Arg::text(&former)];
        let rows = as_owner(config_owner()?, || {
            run(
                "UPDATE rag.collection c SET language = t.oid::regconfig::text FROM pg_ts_config t
                 WHERE t.oid = $1 AND c.language = $2 AND t.oid::regconfig::text <> $2
                 RETURNING c.name::text, c.language_place IS NOT NULL",
                &arguments,
            )
        })?;
        for row in (0..rows.count).filter(|row| rows.boolean(*row, 1) == Some(true)) {
            tell_to_rebuild(&rows.text(row, 0).unwrap_or_default());
        }
    }
    Ok(())
}

/// Warns that the text index must be rebuilt: if each row may have its own configuration, the text index
/// stores the name of the configuration that found a chunk's words.
fn tell_to_rebuild(collection: &str) {
    Error::warning(format!("collection \"{collection}\" finds rows of this text search configuration only after its text index is rebuilt"))
        .hint(format!("Call rag.refresh_collection('{collection}', text => true)."))
        .notice(PgLogLevel::WARNING);
}
