//! Compares a collection with a source that has unreadable rows, for which a cast or view of the owner fails
//! or a value has no text form. Each of these rows is queued, and fails alone when it is indexed.

use crate::collections::capture::source_keys::read_keys;
use crate::collections::catalog::collection::Collection;
use crate::collections::catalog::keys::{Key, KeyColumns, fits};
use crate::collections::catalog::statements::CompareDepth;
use crate::collections::indexing::index_changes::IndexChanges;
use crate::collections::indexing::orphans::delete_orphans;
use crate::collections::queue;
use crate::collections::queue::Cause;
use ragstone_pg::attempt::in_subtransaction;
use ragstone_pg::blame::{Blame, blame};
use ragstone_pg::error::{Error, Result};
use ragstone_pg::portable::as_source_owner;
use ragstone_pg::spi::{connect, run};

/// Number of rows that are compared in one statement.
const ROWS_PER_STATEMENT: usize = 1_000;

/// At most this number of rows is queued as a whole: that costs less than finding the unreadable ones.
const FEW_ROWS: usize = 16;

/// Queues the rows that differ or cannot be read, and deletes the chunks of deleted rows. Returns the number
/// of queued rows.
pub fn compare(collection: &mut Collection, depth: CompareDepth) -> Result<usize> {
    let keys = connect(|| KeyColumns::of(collection))?;
    let mut changes = IndexChanges::default();
    delete_orphans(collection, &collection.select_gone(&keys.operators)?, &mut changes)?;
    changes.write(collection)?;
    let statement = collection.select_differing(&keys, depth)?;
    let mut queued = 0;
    read_keys(collection, &collection.select_keys()?, |found| {
        for rows in found.chunks(ROWS_PER_STATEMENT) {
            queued += queue_differing(collection, &keys, &statement, rows)?;
        }
        Ok(())
    })?;
    Ok(queued)
}

/// Queues the rows among these that differ. If one of them cannot be read, each half is compared separately.
fn queue_differing(
    collection: &Collection,
    keys: &KeyColumns,
    statement: &str,
    rows: &[Key],
) -> Result<usize> {
    let owner = collection.source()?.owner;
    let differing = in_subtransaction(|| {
        connect(|| {
            let found = as_source_owner(owner, || run(statement, &keys.arguments(rows.iter())))?;
            let found = (0..found.count).filter_map(|row| found.texts(row, 0));
            Ok::<_, Error>(found.filter(|key| fits(collection, key)).collect::<Vec<_>>())
        })
    });
    let queue = |rows: &[Key]| queue::append(collection.id, rows, Cause::Fill).map(|()| rows.len());
    match differing {
        Ok(differing) => queue(&differing),
        Err(error) if blame(&error) != Blame::Row => Err(error),
        Err(_) if rows.len() <= FEW_ROWS => queue(rows),
        Err(_) => {
            let (first, second) = rows.split_at(rows.len() / 2);
            Ok(queue_differing(collection, keys, statement, first)?
                + queue_differing(collection, keys, statement, second)?)
        }
    }
}
