//! Reads the keys of a source's rows.

use crate::collections::catalog::collection::Collection;
use crate::collections::catalog::keys::{Key, PartialKey, whole};
use crate::collections::queue;
use crate::collections::queue::Cause;
use ragstone_pg::cursor::Cursor;
use ragstone_pg::error::{Error, Result};
use ragstone_pg::portable::as_source_owner;
use ragstone_pg::spi::{Arg, connect, run};

/// Number of keys in one fetch.
const KEYS_PER_FETCH: i64 = 10_000;

/// Calls `work` with the keys that a statement selects, batch by batch. Returns their number. Rows with a
/// NULL in their key are queued. Ends with an error if another session waits for a lock on the source.
pub fn read_keys(
    collection: &Collection,
    statement: &str,
    mut work: impl FnMut(&[Key]) -> Result<()>,
) -> Result<usize> {
    let source = collection.source()?.oid;
    read_all_keys(collection, statement, |keys| {
        yield_to_waiters(source)?;
        work(keys)
    })
}

/// As [`read_keys`], but continues if other sessions wait for a lock on the source.
pub fn read_all_keys(
    collection: &Collection,
    statement: &str,
    mut work: impl FnMut(&[Key]) -> Result<()>,
) -> Result<usize> {
    let source = collection.source()?;
    let cursor = connect(|| as_source_owner(source.owner, || Cursor::open(statement, &[])))?;
    let mut all = 0;
    loop {
        let found: Vec<PartialKey> = connect(|| {
            let rows = as_source_owner(source.owner, || cursor.fetch(KEYS_PER_FETCH))?;
            Ok::<_, Error>((0..rows.count).filter_map(|row| rows.optional_texts(row, 0)).collect())
        })?;
        if found.is_empty() {
            break;
        }
        let keys: Vec<Key> = found.iter().filter_map(whole).collect();
        let keyless = found.into_iter().filter(|key| whole(key).is_none()).collect();
        connect(|| {
            queue::append_partial(collection.id, &keyless, Cause::Fill)?;
            work(&keys)
        })?;
        all += keys.len() + keyless.len();
    }
    connect(|| as_source_owner(source.owner, || cursor.close()))?;
    Ok(all)
}

/// Raises an error to end a long comparison if another session waits for a lock on the table. The comparison
/// is started again later.
fn yield_to_waiters(source: pgrx::pg_sys::Oid) -> Result<()> {
    let rows = run(
        "SELECT FROM pg_locks WHERE relation = $1 AND locktype = 'relation' AND NOT granted
           AND database = (SELECT oid FROM pg_database WHERE datname = current_database())",
        &[Arg::new(source)],
    )?;
    if rows.count == 0 {
        return Ok(());
    }
    Err(Error::lock_not_available("another session waits for a lock on the source"))
}
