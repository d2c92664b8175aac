//! Reads the keys of a source's rows.

use crate::collections::catalog::collection::Collection;
use crate::collections::catalog::keys::{Key, fits};
use ragstone_pg::cursor::Cursor;
use ragstone_pg::error::{Error, Result};
use ragstone_pg::portable::as_source_owner;
use ragstone_pg::spi::{Arg, connect, run};

/// Number of keys that are read at a time.
const KEYS_PER_FETCH: i64 = 10_000;

/// Calls `work` with the keys that a statement selects, some at a time. Returns their number. Others that wait for the source come first.
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

/// The same, whoever waits.
pub fn read_all_keys(
    collection: &Collection,
    statement: &str,
    mut work: impl FnMut(&[Key]) -> Result<()>,
) -> Result<usize> {
    let source = collection.source()?;
    let cursor = connect(|| as_source_owner(source.owner, || Cursor::open(statement, &[])))?;
    let mut all = 0;
    loop {
        let (found, keys) = connect(|| {
            let rows = as_source_owner(source.owner, || cursor.fetch(KEYS_PER_FETCH))?;
            let keys = (0..rows.count).filter_map(|row| rows.texts(row, 0));
            let whole: Vec<Key> = keys.filter(|key| fits(collection, key)).collect();
            Ok::<_, Error>((rows.count, whole))
        })?;
        if found == 0 {
            break;
        }
        connect(|| work(&keys))?;
        all += keys.len();
    }
    connect(|| as_source_owner(source.owner, || cursor.close()))?;
    Ok(all)
}

/// Ends a long comparison if another session waits for a lock on the table. It is started again later.
fn yield_to_waiters(source: pgrx::pg_sys::Oid) -> Result<()> {
    let rows = run(
        "SELECT FROM pg_locks WHERE relation = $1 AND locktype = 'relation' AND NOT granted
           AND database = (SELECT oid FROM pg_database WHERE datname = current_database())",
        &[Arg::new(source)],
    )?;
    if rows.count == 0 {
        return Ok(());
    }
    Err(Error::lock_not_available("somebody waits for the source"))
}
