//! Rows with a NULL in their key. No chunk can be stored for such a row, because the row could not be found
//! by its key. It is listed as failed while it exists in the source.

use crate::collections::catalog::collection::Collection;
use crate::collections::catalog::keys::{KeyColumns, PartialKey};
use crate::collections::queue;
use ragstone_pg::error::{Error, Result};
use ragstone_pg::own_tables::config_owner;
use ragstone_pg::plans::by_index;
use ragstone_pg::portable::as_source_owner;
use ragstone_pg::spi::{Arg, run};
use ragstone_pg::switch_user::as_owner;
use std::collections::BTreeSet;

/// The error of a row with a NULL in its key.
pub fn error(column: &str) -> Error {
    Error::not_null_violation("a row's key is null")
        .detail(format!("The key column is \"{column}\"."))
        .hint("Give every row a key, or leave such rows out of the materialized view.")
}

/// Lists these keys as failed if the source has rows with them, otherwise removes them from the list. Deletes
/// the queue entries.
pub fn check(collection: &Collection, keys: &BTreeSet<PartialKey>, ids: &[i64]) -> Result<()> {
    let columns = KeyColumns::of(collection)?;
    for key in keys {
        let (condition, arguments) = columns.match_partial(collection, key);
        let statement = collection.select_exists(&condition)?;
        let rows = as_source_owner(collection.source()?.owner, || run(&statement, &arguments))?;
        if rows.boolean(0, 0) == Some(true) { list(collection, key)? } else { clear(collection, key)? }
    }
    queue::delete(collection.id, ids)
}

fn list(collection: &Collection, key: &PartialKey) -> Result<()> {
    let null = key.iter().position(Option::is_none).unwrap_or_default();
    let error = error(&collection.key[null]);
    let arguments = [
        Arg::new(collection.id),
        array(key),
        Arg::text(&error.code()),
        Arg::text(&error.message),
        Arg::text(&error.detail),
    ];
    as_owner(config_owner()?, || {
        run(
            "INSERT INTO rag._failure (collection, key, attempts, sqlstate, message, detail)
             VALUES ($1, $2, 1, $3, $4, $5) ON CONFLICT (collection, key) DO NOTHING",
            &arguments,
        )
    })?;
    Ok(())
}

fn clear(collection: &Collection, key: &PartialKey) -> Result<()> {
    let statement = "DELETE FROM rag._failure WHERE collection = $1 AND key = $2";
    let arguments = [Arg::new(collection.id), array(key)];
    as_owner(config_owner()?, || by_index(|| run(statement, &arguments))).map(|_| ())
}

fn array(key: &PartialKey) -> Arg {
    Arg::optional_texts(key.iter().map(Option::as_deref))
}

/// Queues the listed keys again, because their rows may have been deleted without a trigger firing.
pub fn queue_listed(collection: i64) -> Result<()> {
    let statement = "INSERT INTO rag._queue (collection, is_fill, key)
                     SELECT collection, true, key FROM rag._failure
                     WHERE collection = $1 AND pg_catalog.array_position(key, NULL) IS NOT NULL";
    as_owner(config_owner()?, || by_index(|| run(statement, &[Arg::new(collection)]))).map(|_| ())
}
