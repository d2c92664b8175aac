//! `rag.drop_collection`.

use crate::collections::capture::triggers;
use crate::collections::catalog::collection::Collection;
use crate::collections::catalog::collection::lock_name;
use crate::collections::queue;
use ragstone_pg::error::Result;
use ragstone_pg::own_tables::with_safe_search_path;
use ragstone_pg::spi::{Arg, connect, run, run_once};
use ragstone_pg::switch_user::as_owner;

/// Drops a collection's tables and its row. The source stays.
pub fn drop_collection(name: &str) -> Result<()> {
    with_safe_search_path(|| {
        connect(|| {
            lock_name(name);
            let collection = Collection::get_latest(name)?;
            check_owner(&collection)?;
            for beside in related(&collection)? {
                drop_tables(&beside)?;
            }
            drop_tables(&collection)
        })
    })
}

/// Drops the triggers and tables of a collection, and deletes its rows in Ragstone's own tables.
pub fn drop_tables(collection: &Collection) -> Result<()> {
    triggers::remove(collection)?;
    for relation in [&collection.chunks, &collection.terms].into_iter().flatten() {
        as_owner(relation.owner, || run_once(&format!("DROP TABLE {}", relation.name)))?;
    }
    queue::forget(collection.id)?;
    collection.delete()
}

/// The collection that will replace this one, or that this one has replaced.
fn related(collection: &Collection) -> Result<Vec<Collection>> {
    let rows = run(
        "SELECT id FROM rag.collection WHERE successor_of = $1 OR predecessor_of = $1",
        &[Arg::new(collection.id)],
    )?;
    Collection::find_all(&rows)
}

/// The source's owner may drop a collection, or the chunk table's owner if the source was dropped. If both were
/// dropped, any role may: the collection's row protects nothing.
fn check_owner(collection: &Collection) -> Result<()> {
    let relation = collection.source.as_ref().or(collection.chunks.as_ref());
    relation.map_or(Ok(()), |relation| relation.check_owner("drop its collection"))
}
