//! The queue `rag._queue` holds the keys of changed rows. Writers append to it; a worker deletes exactly the
//! entries that it has processed. [`claim`] claims work from it, [`failure`] records failures, and
//! [`keyless`] handles rows without a usable key.

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
    /// A trigger fired for a change of the row.
    Change,
    /// A comparison with the source, as in a first fill, found that the collection lacks the row's current
    /// state.
    Fill,
}

/// Wakes a worker when the transaction commits, because segments of a text index may have to be merged.
pub fn segment_added() {
    wake::segment_at_commit();
}

/// Queues rows of a collection, and wakes a worker when the transaction commits.
pub fn append(collection: i64, keys: &[Key], cause: Cause) -> Result<()> {
    let Some(columns) = keys.first().map(Vec::len) else { return Ok(()) };
    let texts = |place| Arg::texts(keys.iter().map(move |key: &Key| &key[place]));
    append_columns(collection, (0..columns).map(texts).collect(), cause)
}

/// Queues rows whose key contains a NULL.
pub fn append_partial(collection: i64, keys: &BTreeSet<PartialKey>, cause: Cause) -> Result<()> {
    let Some(columns) = keys.first().map(Vec::len) else { return Ok(()) };
    let texts =
        |place: usize| Arg::optional_texts(keys.iter().map(move |key: &PartialKey| key[place].as_deref()));
    append_columns(collection, (0..columns).map(texts).collect(), cause)
}

/// Queues keys, which are given as one array per column.
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

/// True if rows of a collection are queued, or have failed and will be retried, in the active snapshot.
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

/// Deletes entries of a collection that were processed. Each is looked up by the whole primary key: where statistics say that the
/// table is empty, `id = ANY (…)` would be a filter on all entries of the collection.
pub fn delete(collection: i64, ids: &[i64]) -> Result<()> {
    if !ids.is_empty() {
        let arguments = [Arg::new(collection), Arg::int8s(ids.iter().copied())];
        let delete = || {
            run(
                "DELETE FROM rag._queue WHERE ctid = ANY (ARRAY(
                   SELECT entry.ctid FROM unnest($2) AS done(id)
                   CROSS JOIN (VALUES (false), (true)) AS kind(is_fill)
                   CROSS JOIN LATERAL (
                     SELECT q.ctid FROM rag._queue q
                     WHERE q.collection = $1 AND q.is_fill = kind.is_fill AND q.id = done.id OFFSET 0) AS entry))",
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
