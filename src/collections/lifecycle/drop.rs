//! `rag.drop_collection`.

use crate::collections::capture::triggers;
use crate::collections::catalog::collection::{Collection, TableUse, lock_name};
use crate::collections::catalog::tables::is_marked;
use crate::collections::queue;
use pgrx::{PgLogLevel, pg_sys};
use ragstone_pg::error::{Error, Result};
use ragstone_pg::own_tables::{config_owner, with_safe_search_path};
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
    let mut collection = collection.clone();
    triggers::remove(&collection)?;
    collection.lock_tables(TableUse::Reading)?;
    for relation in [&collection.chunks, &collection.terms].into_iter().flatten() {
        if is_marked(&collection, relation)? {
            as_owner(relation.owner, || run_once(&format!("DROP TABLE {}", relation.name)))?;
        } else {
            let left = format!("table {} is left, since it has no mark of the collection", relation.name);
            Error::information(left)
                .hint("If nobody needs it, drop it with DROP TABLE.")
                .notice(PgLogLevel::NOTICE);
        }
    }
    queue::forget(collection.id)?;
    collection.delete()
}

/// The collection that will replace this one, or that this one has replaced.
pub fn related(collection: &Collection) -> Result<Vec<Collection>> {
    let sql = "SELECT id FROM rag.collection WHERE successor_of = $1 OR predecessor_of = $1";
    let rows = as_owner(config_owner()?, || run(sql, &[Arg::new(collection.id)]))?;
    Collection::find_all(&rows)
}

/// The source's owner may drop a collection, or the chunk table's owner if the source was dropped, or else the source's last owner.
fn check_owner(collection: &Collection) -> Result<()> {
    if let Some(relation) = collection.source.as_ref().or(collection.chunks.as_ref()) {
        return relation.check_owner("drop its collection");
    }
    let owner = collection.accepted_owner.unwrap_or(pg_sys::Oid::from(pg_sys::BOOTSTRAP_SUPERUSERID));
    let rows = run("SELECT pg_has_role($1, 'USAGE')", &[Arg::new(owner)])?;
    match rows.boolean(0, 0) {
        Some(true) => Ok(()),
        _ => Err(Error::forbidden(format!("must be owner of collection \"{}\" to drop it", collection.name))),
    }
}
