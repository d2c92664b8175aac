//! `rag.drop_collection`.

use crate::collections::capture::triggers;
use crate::collections::catalog::collection::{Collection, TableUse, lock_name};
use crate::collections::catalog::relation::has_rights_of;
use crate::collections::catalog::tables::is_marked;
use crate::collections::queue;
use pgrx::{PgLogLevel, pg_sys};
use ragstone_pg::error::{Error, Result};
use ragstone_pg::own_tables::{config_owner, with_safe_search_path};
use ragstone_pg::spi::{Arg, connect, run, run_once};
use ragstone_pg::switch_user::as_owner;

/// Drops a collection's tables and its row. The source stays. With `if_exists`, a collection that does not exist is a
/// NOTICE.
pub fn drop_collection(name: &str, if_exists: bool) -> Result<()> {
    with_safe_search_path(|| {
        connect(|| {
            lock_name(name);
            if if_exists && Collection::find_latest(name)?.is_none() {
                Error::information(format!("collection \"{name}\" does not exist, skipping"))
                    .notice(PgLogLevel::NOTICE);
                return Ok(());
            }
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
            let left =
                format!("table {} is not dropped, because it has no mark of the collection", relation.name);
            Error::information(left)
                .hint("If it is not needed, drop it with DROP TABLE.")
                .notice(PgLogLevel::NOTICE);
        }
    }
    queue::forget(collection.id)?;
    collection.delete()
}

/// The other collection of a migration: the one that will replace this collection, or that it has replaced.
pub fn related(collection: &Collection) -> Result<Vec<Collection>> {
    let sql = "SELECT id FROM rag.collection WHERE successor_of = $1 OR predecessor_of = $1";
    let rows = as_owner(config_owner()?, || run(sql, &[Arg::new(collection.id)]))?;
    Collection::find_all(&rows)
}

/// Checks that the caller may drop the collection: it must have the rights of the source's owner; if the
/// source was dropped, of the chunk table's owner; if both were dropped, of the source's last owner.
fn check_owner(collection: &Collection) -> Result<()> {
    if let Some(relation) = collection.source.as_ref().or(collection.chunks.as_ref()) {
        return relation.check_owner("drop its collection");
    }
    let owner = collection.accepted_owner.unwrap_or(pg_sys::Oid::from(pg_sys::BOOTSTRAP_SUPERUSERID));
    match has_rights_of(owner)? {
        true => Ok(()),
        false => {
            Err(Error::forbidden(format!("must be owner of collection \"{}\" to drop it", collection.name)))
        }
    }
}
