//! Finishes a collection whose queue is empty: creates its indexes after the first fill, merges segments of
//! its text index, counts its chunks, notifies listeners, and switches a migration.

use crate::collections::capture::follow::{self, Followed};
use crate::collections::catalog::collection::{Collection, Sync, TableUse, lock_name};
use crate::collections::catalog::tables::create_search_indexes;
use crate::collections::indexing::segments::{
    MergeExtent, has_older_format, may_have_worthwhile_segments, merge_segments,
};
use crate::collections::indexing::stages::{Stage, timed};
use crate::collections::lifecycle::migration;
use crate::collections::lifecycle::text_rebuild::rebuild_text;
use ragstone_pg::activity;
use ragstone_pg::error::Result;
use ragstone_pg::limited_transaction::{Limits, in_limited_transaction};
use ragstone_pg::own_lock::OwnLock;
use ragstone_pg::own_tables::config_owner;
use ragstone_pg::plans::by_index;
use ragstone_pg::spi::{Arg, connect, run};
use ragstone_pg::switch_user::as_owner;

/// Channel of the notification that a collection has become current. The payload is the collection's number,
/// because its name would be visible to all roles.
const CHANNEL: &str = "rag_current";

/// Result of [`settle`].
pub enum Settled {
    /// The collection is current or paused, or was dropped.
    Done,
    /// Its queue is not empty, or another worker creates its indexes.
    Later,
}

/// Finishes a collection whose queue is empty. Calls `before_indexing` before it creates the vector index,
/// which takes long.
pub fn settle(id: i64, before_indexing: impl FnOnce()) -> Result<Settled> {
    let look = || Ok((is_queued(id)?, Collection::find_by_id(id)?));
    let (queued, collection) = in_limited_transaction(Limits::LocksAndTime, || connect(look))?;
    let Some(mut collection) = collection else { return Ok(Settled::Done) };
    if collection.is_paused {
        return Ok(Settled::Done);
    }
    if queued {
        return Ok(Settled::Later);
    }
    let has_tables = collection.source.is_some() && collection.chunks.is_some() && collection.terms.is_some();
    if !has_tables || collection.is_given_away() {
        return Ok(Settled::Done);
    }
    if collection.error.is_some() {
        // A new worker does not know whether the error still applies. If it no longer applies, all rows are
        // compared.
        in_limited_transaction(Limits::Locks, || {
            connect(|| follow::follow(&mut collection, Followed::AnyRows))
        })?;
        return Ok(Settled::Done);
    }
    let mut extent = MergeExtent::Worthwhile;
    if !collection.filled {
        extent = MergeExtent::All;
        activity::report(&format!("ragstone: indexing collection {}", collection.name));
        // This transaction locks only the chunk table, so that only sessions that use that table wait for the index.
        let indexed = in_limited_transaction(Limits::Locks, || {
            // Another worker may be creating the index.
            if OwnLock::new("index", id).try_for_transaction() {
                connect(|| collection.lock_tables(TableUse::Indexing))?;
                before_indexing();
                timed(Stage::Index, || create_search_indexes(&collection)).map(|()| true)
            } else {
                Ok(false)
            }
        })?;
        if !indexed {
            return Ok(Settled::Later);
        }
        collection.filled = true;
    }
    read_index(id, || {
        in_limited_transaction(Limits::Locks, || {
            connect(|| collection.lock_tables(TableUse::Writing))?;
            timed(Stage::Merge, || merge_segments(&collection, extent))?;
            collection.count()?;
            connect(|| {
                collection.update()?;
                notify(&collection)
            })
        })
    })?;
    if collection.successor_of.is_some() {
        switch_migration(&mut collection)?;
    }
    Ok(Settled::Done)
}

/// Measures a successor that has caught up, and gives it its predecessor's name.
fn switch_migration(successor: &mut Collection) -> Result<()> {
    in_limited_transaction(Limits::Locks, || {
        connect(|| successor.lock_tables(TableUse::Reading))?;
        migration::measure(successor)
    })?;
    in_limited_transaction(Limits::LocksAndTime, || connect(|| migration::switch(successor.id)))
}

/// Merges segments of a collection whose queue is not empty.
pub fn merge_while_busy(id: i64) -> Result<()> {
    read_index(id, || {
        in_limited_transaction(Limits::Locks, || {
            let found = connect(|| Collection::find_to_use(id, Some(TableUse::Writing)))?;
            let Some(mut collection) = found else { return Ok(()) };
            timed(Stage::Merge, || merge_segments(&collection, MergeExtent::Worthwhile))?;
            collection.count()?;
            connect(|| collection.update())
        })
    })
}

/// Runs work that reads the text index of a collection. If the index has an older format, it is rebuilt and
/// the work is run again.
fn read_index<T>(id: i64, mut work: impl FnMut() -> Result<T>) -> Result<T> {
    match work() {
        Err(error) if error.is_of_corrupted_data() && rebuild_older(id)? => work(),
        done => done,
    }
}

/// Rebuilds the text index of a collection if it has an older format. Returns true if it did.
fn rebuild_older(id: i64) -> Result<bool> {
    in_limited_transaction(Limits::Locks, || {
        let Some(found) = connect(|| Collection::find_by_id(id))? else { return Ok(false) };
        lock_name(&found.name);
        let Some(collection) = connect(|| Collection::find_to_use(id, Some(TableUse::Reading)))? else {
            return Ok(false);
        };
        let owner = collection.terms()?.owner;
        if !connect(|| as_owner(owner, || has_older_format(&collection)))? {
            return Ok(false);
        }
        activity::report(&format!(
            "ragstone: building the text index of collection {} again",
            collection.name
        ));
        rebuild_text(&collection)?;
        Ok(true)
    })
}

/// The numbers of the collections that follow their sources, are not paused, and whose first fill has ended.
pub fn filled() -> Result<Vec<i64>> {
    let rows =
        run("SELECT id FROM rag.collection WHERE sync <> 'manual' AND filled AND paused_at IS NULL", &[])?;
    Ok((0..rows.count).filter_map(|row| rows.int8(row, 0)).collect())
}

/// True if a collection may have segments that are worth merging: writers to an immediate collection add
/// segments without queuing rows. Otherwise the stored counts of an immediate collection are updated, as a
/// merge would do.
pub fn may_merge(id: i64) -> Result<bool> {
    in_limited_transaction(Limits::LocksAndTime, || {
        let found = connect(|| Collection::find_to_use(id, Some(TableUse::Reading)))?;
        let usable = found.filter(|collection| !collection.is_given_away() && collection.error.is_none());
        let Some(mut collection) = usable else { return Ok(false) };
        let may_merge = connect(|| may_have_worthwhile_segments(&collection))?;
        if !may_merge && collection.sync == Sync::Immediate {
            let stored = (collection.source_rows, collection.chunk_count);
            collection.count()?;
            if (collection.source_rows, collection.chunk_count) != stored {
                connect(|| collection.update())?;
            }
        }
        Ok(may_merge)
    })
}

/// The collections with sync `background` or `immediate`, except paused ones and those that a restore has not
/// completed.
pub fn followed() -> Result<Vec<Collection>> {
    follow::follow_restored()?;
    let rows = run("SELECT id FROM rag.collection WHERE sync <> 'manual' AND paused_at IS NULL", &[])?;
    let mut found = Collection::find_all(&rows)?;
    found.retain(|collection| !collection.is_restoring() && !collection.is_given_away());
    Ok(found)
}

fn is_queued(id: i64) -> Result<bool> {
    let look = || run("SELECT EXISTS (SELECT FROM rag._queue WHERE collection = $1)", &[Arg::new(id)]);
    let rows = as_owner(config_owner()?, || by_index(look))?;
    Ok(rows.boolean(0, 0) == Some(true))
}

fn notify(collection: &Collection) -> Result<()> {
    run("SELECT pg_notify($1, $2)", &[Arg::text(CHANNEL), Arg::text(&collection.id.to_string())]).map(|_| ())
}
