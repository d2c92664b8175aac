//! `rag._queue` has the keys of rows that have changed. Writers append to it; a worker deletes exactly the entries that
//! it has processed. [`claim`] takes work from it, [`failure`] records what could not be
//! done, and [`keyless`] what cannot be, since a row has no key.

pub mod claim;
pub mod failure;
mod floors;
pub mod keyless;

use crate::collections::catalog::keys::{Key, PartialKey};
use ragstone_client::processes::wake;
use ragstone_pg::error::Result;
use ragstone_pg::own_tables::config_owner;
use ragstone_pg::plans::by_index;
use ragstone_pg::spi::{Arg, run, select};
use ragstone_pg::switch_user::as_owner;
use std::collections::BTreeSet;

/// Why a row is queued. Within a collection, changes go first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// A trigger saw it change.
    Change,
    /// A comparison with the source found that the collection lacks it, as in a first fill.
    Fill,
}

/// Wakes a worker when the transaction commits, since segments of a text index may have to be merged.
pub fn segment_added() {
    wake::segment_at_commit();
}

/// Queues rows of a collection, and wakes a worker when the transaction commits.
pub fn append(collection: i64, keys: &[Key], cause: Cause) -> Result<()> {
    let Some(columns) = keys.first().map(Vec::len) else { return Ok(()) };
    let texts = |place| Arg::texts(keys.iter().map(move |key: &Key| &key[place]));
    append_columns(collection, (0..columns).map(texts).collect(), cause)
}

/// Queues rows of which some or all key columns are NULL.
pub fn append_partial(collection: i64, keys: &BTreeSet<PartialKey>, cause: Cause) -> Result<()> {
    let Some(columns) = keys.first().map(Vec::len) else { return Ok(()) };
    let texts =
        |place: usize| Arg::optional_texts(keys.iter().map(move |key: &PartialKey| key[place].as_deref()));
    append_columns(collection, (0..columns).map(texts).collect(), cause)
}

/// Queues keys, given as an array for each column.
fn append_columns(collection: i64, keys: Vec<Arg>, cause: Cause) -> Result<()> {
    let columns = keys.len();
    let arrays: Vec<_> = (0..columns).map(|place| format!("${}::text[]", place + 3)).collect();
    let names: Vec<_> = (1..=columns).map(|place| format!("t{place}")).collect();
    let statement = format!(
        "INSERT INTO rag._queue (collection, is_fill, key)
         SELECT $1, $2, ARRAY[{names}] FROM unnest({arrays}) t ({names})",
        names = names.join(", "),
        arrays = arrays.join(", "),
    );
    let mut arguments = vec![Arg::new(collection), Arg::new(cause == Cause::Fill)];
    arguments.extend(keys);
    as_owner(config_owner()?, || run(&statement, &arguments))?;
    wake::collection_at_commit(collection);
    Ok(())
}

/// Queues a comparison of all rows of a collection.
pub fn append_all(collection: i64) -> Result<()> {
    as_owner(config_owner()?, || {
        run("INSERT INTO rag._queue (collection) VALUES ($1)", &[Arg::new(collection)])
    })?;
    wake::collection_at_commit(collection);
    Ok(())
}

/// Whether rows of a collection are queued, or have failed and are tried again; by the snapshot that is active.
pub fn has_work(collection: i64) -> Result<bool> {
    let look = || {
        select(
            "SELECT EXISTS (SELECT FROM rag._queue WHERE collection = $1)
                 OR EXISTS (SELECT FROM rag._failure WHERE collection = $1 AND retry_at IS NOT NULL)",
            &[Arg::new(collection)],
        )
    };
    let rows = as_owner(config_owner()?, || by_index(look))?;
    Ok(rows.boolean(0, 0) == Some(true))
}

/// Deletes entries of a collection that were processed.
pub fn delete(collection: i64, ids: &[i64]) -> Result<()> {
    if !ids.is_empty() {
        let arguments = [Arg::new(collection), Arg::int8s(ids.iter().copied())];
        let delete = || {
            run(
                "DELETE FROM rag._queue WHERE collection = $1 AND is_fill = ANY ('{false,true}') AND id = ANY ($2)",
                &arguments,
            )
        };
        as_owner(config_owner()?, || by_index(delete))?;
    }
    Ok(())
}

/// Deletes all entries and failures of a collection.
pub fn forget(collection: i64) -> Result<()> {
    as_owner(config_owner()?, || {
        by_index(|| {
            run("DELETE FROM rag._queue WHERE collection = $1", &[Arg::new(collection)])?;
            run("DELETE FROM rag._failure WHERE collection = $1", &[Arg::new(collection)]).map(|_| ())
        })
    })
}
