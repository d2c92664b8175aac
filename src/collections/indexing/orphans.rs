//! Deletes chunks whose row was deleted.

use crate::collections::catalog::collection::Collection;
use crate::collections::indexing::index_changes::IndexChanges;
use ragstone_pg::cursor::Cursor;
use ragstone_pg::error::{Error, Result};
use ragstone_pg::plans::by_index;
use ragstone_pg::spi::{Arg, connect, run};
use ragstone_pg::switch_user::as_owner;

/// Number of chunks that one statement deletes.
const DELETE_BATCH: i64 = 10_000;

/// Deletes the chunks that `select` returns, which are those whose row was deleted. Returns the numbers of
/// rows and of chunks.
pub fn delete_orphans(
    collection: &Collection,
    select: &str,
    changes: &mut IndexChanges,
) -> Result<(i64, i64)> {
    let owner = collection.chunks()?.owner;
    let delete = collection.delete_chunks()?;
    let cursor = connect(|| as_owner(owner, || Cursor::open(select, &[])))?;
    let (mut gone, mut chunks) = (0, 0);
    loop {
        let found = connect(|| {
            let orphans = as_owner(owner, || cursor.fetch(DELETE_BATCH))?;
            let numbers = Arg::int8s((0..orphans.count).filter_map(|row| orphans.int8(row, 0)));
            let deleted = as_owner(owner, || by_index(|| run(&delete, &[numbers])))?;
            changes.count_deleted(&deleted);
            gone += (0..deleted.count).filter(|row| deleted.int4(*row, 0) == Some(1)).count() as i64;
            chunks += deleted.count as i64;
            Ok::<_, Error>(orphans.count)
        })?;
        if found == 0 {
            break;
        }
    }
    connect(|| as_owner(owner, || cursor.close()))?;
    Ok((gone, chunks))
}
