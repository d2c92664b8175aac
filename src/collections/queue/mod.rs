//! `rag._queue`: keys of rows that have changed. Writers add to it; the worker deletes exactly what it has read.

pub mod claim;
pub mod failure;

use crate::collections::catalog::keys::Key;
use ragstone_client::processes::wake;
use ragstone_pg::error::Result;
use ragstone_pg::own_tables::config_owner;
use ragstone_pg::spi::{Arg, run};
use ragstone_pg::switch_user::as_owner;

/// Notes changed rows of a collection. Their worker hears of it when the transaction commits.
pub fn append(collection: i64, keys: &[Key]) -> Result<()> {
    let Some(columns) = keys.first().map(Vec::len) else { return Ok(()) };
    let arrays: Vec<_> = (0..columns).map(|place| format!("${}::text[]", place + 2)).collect();
    let names: Vec<_> = (1..=columns).map(|place| format!("t{place}")).collect();
    let statement = format!(
        "INSERT INTO rag._queue (collection, key) SELECT $1, ARRAY[{names}] FROM unnest({arrays}) t ({names})",
        names = names.join(", "),
        arrays = arrays.join(", "),
    );
    let mut arguments = vec![Arg::new(collection)];
    arguments.extend((0..columns).map(|place| Arg::texts(keys.iter().map(|key| &key[place]))));
    as_owner(config_owner()?, || run(&statement, &arguments))?;
    wake::collection_at_commit(collection);
    Ok(())
}

/// Notes that all rows of a collection are to be compared.
pub fn append_all(collection: i64) -> Result<()> {
    as_owner(config_owner()?, || {
        run("INSERT INTO rag._queue (collection) VALUES ($1)", &[Arg::new(collection)])
    })?;
    wake::collection_at_commit(collection);
    Ok(())
}

/// Deletes what was read.
pub fn delete(ids: &[i64]) -> Result<()> {
    if !ids.is_empty() {
        let ids = Arg::int8s(ids.iter().copied());
        as_owner(config_owner()?, || run("DELETE FROM rag._queue WHERE id = ANY ($1)", &[ids]))?;
    }
    Ok(())
}

/// Forgets everything about a collection.
pub fn forget(collection: i64) -> Result<()> {
    as_owner(config_owner()?, || {
        run("DELETE FROM rag._queue WHERE collection = $1", &[Arg::new(collection)])?;
        run("DELETE FROM rag._failure WHERE collection = $1", &[Arg::new(collection)]).map(|_| ())
    })
}
