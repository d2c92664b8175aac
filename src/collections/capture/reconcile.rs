//! Compares a collection with its source, to find changes for which no trigger fired: the first fill, a
//! disabled trigger, rows of a partition that was attached or detached.

use crate::collections::capture::source_keys::read_keys;
use crate::collections::capture::unreadable;
use crate::collections::catalog::collection::Collection;
use crate::collections::catalog::keys::KeyColumns;
use crate::collections::catalog::statements::CompareDepth;
use crate::collections::indexing::index_changes::IndexChanges;
use crate::collections::indexing::orphans::delete_orphans as delete_orphans_of;
use crate::collections::queue;
use crate::collections::queue::{Cause, keyless};
use ragstone_pg::attempt::in_subtransaction;
use ragstone_pg::blame::{Blame, blame};
use ragstone_pg::error::Result;
use ragstone_pg::spi::connect;

/// Queues the rows that the collection lacks or has in an older state, and deletes the chunks of deleted
/// rows. Returns the number of queued rows.
///
/// If the comparison fails because a row cannot be read, all rows are compared by key; the unreadable row is
/// queued with the others, so that only this row fails when it is indexed.
pub fn compare(collection: &mut Collection, depth: CompareDepth) -> Result<usize> {
    connect(|| keyless::queue_listed(collection.id))?;
    let read = in_subtransaction(|| {
        delete_orphans(collection)?;
        queue_differing(collection, depth)
    });
    match read {
        Err(error) if blame(&error) == Blame::Row => unreadable::compare(collection, depth),
        noted => noted,
    }
}

/// Queues the rows that differ. One statement finds them.
fn queue_differing(collection: &Collection, depth: CompareDepth) -> Result<usize> {
    let operators = connect(|| KeyColumns::of(collection))?.operators;
    let statement = match depth {
        CompareDepth::Keys => collection.select_missing(&operators)?,
        CompareDepth::Content => collection.select_stale(&operators)?,
    };
    read_keys(collection, &statement, |keys| queue::append(collection.id, keys, Cause::Fill))
}

/// Deletes the chunks of deleted rows, and of rows that no longer have content.
pub fn delete_orphans(collection: &mut Collection) -> Result<()> {
    let operators = connect(|| KeyColumns::of(collection))?.operators;
    let mut changes = IndexChanges::default();
    delete_orphans_of(collection, &collection.select_orphans(&operators)?, &mut changes)?;
    changes.write(collection)?;
    Ok(())
}
