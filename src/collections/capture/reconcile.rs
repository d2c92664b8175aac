//! Compares a collection with its source, for what no trigger saw: the first fill, a disabled trigger, rows of a
//! partition that was attached or detached.

use crate::collections::catalog::collection::Collection;
use crate::collections::catalog::keys::{Key, KeyColumns};
use crate::collections::indexing::orphans::delete_orphans as delete_orphans_of;
use crate::collections::indexing::terms::TermCounts;
use crate::collections::queue;
use crate::collections::queue::Cause;
use ragstone_pg::cursor::Cursor;
use ragstone_pg::error::{Error, Result};
use ragstone_pg::spi::{Arg, connect, run};
use ragstone_pg::switch_user::as_owner;

/// Number of keys that are read at a time.
const KEYS_PER_FETCH: i64 = 10_000;

/// How closely rows are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CompareDepth {
    /// Only which rows exist.
    Keys,
    /// Also their content.
    Content,
}

/// Queues the rows that the collection lacks or has in an older state, and deletes the chunks of deleted rows. Returns
/// the number of queued rows.
pub fn compare(collection: &mut Collection, depth: CompareDepth) -> Result<usize> {
    delete_orphans(collection)?;
    let operators = connect(|| KeyColumns::of(collection))?.operators;
    let statement = match depth {
        CompareDepth::Keys => collection.select_missing(&operators)?,
        CompareDepth::Content => collection.select_stale(&operators)?,
    };
    let source = collection.source()?.clone();
    let cursor = connect(|| as_owner(source.owner, || Cursor::open(&statement, &[])))?;
    let mut noted = 0;
    loop {
        let found = connect(|| {
            let rows = as_owner(source.owner, || cursor.fetch(KEYS_PER_FETCH))?;
            let keys: Vec<Key> = (0..rows.count).filter_map(|row| rows.texts(row, 0)).collect();
            let whole: Vec<Key> = keys.into_iter().filter(|key| key.len() == collection.key.len()).collect();
            queue::append(collection.id, &whole, Cause::Fill)?;
            noted += whole.len();
            yield_to_waiters(source.oid)?;
            Ok::<_, Error>(rows.count)
        })?;
        if found == 0 {
            break;
        }
    }
    connect(|| as_owner(source.owner, || cursor.close()))?;
    Ok(noted)
}

/// Deletes the chunks of deleted rows.
pub fn delete_orphans(collection: &mut Collection) -> Result<()> {
    let operators = connect(|| KeyColumns::of(collection))?.operators;
    let mut terms = TermCounts::default();
    delete_orphans_of(collection, &operators, &mut terms)?;
    terms.write(collection)
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
