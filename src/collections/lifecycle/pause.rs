//! `rag.pause_collection` and `rag.resume_collection`.

use crate::collections::catalog::collection::{Collection, Sync};
use crate::collections::catalog::tables::keep_others_from_writing;
use crate::collections::lifecycle::drop::related;
use crate::collections::lifecycle::migration::open;
use crate::collections::queue;
use ragstone_client::processes::wake;
use ragstone_pg::error::{Error, Result};
use ragstone_pg::own_tables::{config_owner, with_safe_search_path};
use ragstone_pg::spi::{Arg, connect, run};
use ragstone_pg::switch_user::as_owner;

/// Keeps the changes of a collection's source queued from the commit on. Waits for the transactions that are writing
/// its chunks. A migration pauses with it.
pub fn pause(name: &str) -> Result<()> {
    with_safe_search_path(|| {
        connect(|| {
            let collection = open(name, "pause its collection")?;
            if collection.sync == Sync::Manual {
                return Err(Error::wrong_state(format!(
                    "collection \"{name}\" is manual and does not follow its source"
                ))
                .hint("It changes only when rag.refresh_collection is called."));
            }
            for part in with_related(collection)? {
                // A collection whose tables are missing or altered is not written.
                if part.chunks().is_ok() {
                    keep_others_from_writing(&part)?;
                }
                set_paused(part.id, true)?;
            }
            Ok(())
        })
    })
}

/// Has the changes indexed that were queued since [`pause`].
pub fn resume(name: &str) -> Result<()> {
    with_safe_search_path(|| {
        connect(|| {
            let collection = open(name, "resume its collection")?;
            for part in with_related(collection)?.into_iter().filter(|part| part.is_paused) {
                set_paused(part.id, false)?;
                // A worker finishes a fill or a migration only after it has indexed something.
                if !part.filled || part.successor_of.is_some() {
                    queue::append_all(part.id)?;
                }
                wake::collection_at_commit(part.id);
            }
            Ok(())
        })
    })
}

fn with_related(collection: Collection) -> Result<Vec<Collection>> {
    let mut parts = related(&collection)?;
    parts.push(collection);
    Ok(parts)
}

fn set_paused(collection: i64, is_paused: bool) -> Result<()> {
    let sql =
        "UPDATE rag.collection SET paused_at = CASE WHEN $2 THEN coalesce(paused_at, clock_timestamp()) END
               WHERE id = $1";
    let arguments = [Arg::new(collection), Arg::new(is_paused)];
    as_owner(config_owner()?, || run(sql, &arguments)).map(|_| ())
}
