//! What is done when nothing is queued for a collection: its indexes after the first fill, folding its words, counting,
//! telling who listens, and the switch of a migration.

use crate::collections::capture::follow;
use crate::collections::catalog::collection::Collection;
use crate::collections::catalog::tables::create_search_indexes;
use crate::collections::indexing::terms::merge_term_counts;
use crate::collections::lifecycle::migration;
use ragstone_pg::activity;
use ragstone_pg::attempt::in_transaction;
use ragstone_pg::error::Result;
use ragstone_pg::own_tables::{config_owner, with_safe_search_path};
use ragstone_pg::spi::{Arg, connect, run};
use ragstone_pg::switch_user::as_owner;

/// Channel on which a collection's name is sent when it is current.
const CHANNEL: &str = "rag_current";

/// After so many new rows of a terms table it is worth while to count them all.
pub const MIN_APPENDED_TERMS: i64 = 10_000;

/// Whether a collection is done.
pub enum Settled {
    /// It is current, or has gone.
    Done,
    /// Something is queued, or another worker is at it.
    Later,
}

/// Finishes a collection for which nothing is queued. About so many rows were added to its terms table.
pub fn settle(id: i64, appended: i64) -> Result<Settled> {
    let look = || Ok((is_queued(id)?, Collection::find_by_id(id)?));
    let (queued, collection) = in_transaction(|| with_safe_search_path(|| connect(look)))?;
    if queued {
        return Ok(Settled::Later);
    }
    let Some(mut collection) = collection else { return Ok(Settled::Done) };
    if collection.source.is_none() || collection.chunks.is_none() || collection.terms.is_none() {
        return Ok(Settled::Done);
    }
    if collection.error.is_some() {
        // A worker that begins does not know whether it still is so; where it is not, all rows are compared.
        in_transaction(|| with_safe_search_path(|| connect(|| follow::follow(&mut collection))))?;
        return Ok(Settled::Done);
    }
    if !collection.filled {
        activity::report(&format!("ragstone: indexing collection {}", collection.name));
        // The transaction touches the chunk table only, so that nobody waits for the index who does not use it.
        let indexed = in_transaction(|| {
            with_safe_search_path(|| {
                if connect(|| claim_index(id))? {
                    create_search_indexes(&collection).map(|()| true)
                } else {
                    Ok(false)
                }
            })
        })?;
        if !indexed {
            return Ok(Settled::Later);
        }
        collection.filled = true;
    }
    in_transaction(|| {
        with_safe_search_path(|| {
            if appended >= MIN_APPENDED_TERMS {
                merge_terms(&mut collection)?;
            }
            collection.count()?;
            connect(|| {
                collection.update()?;
                notify(&collection)
            })
        })
    })?;
    if collection.successor_of.is_some() {
        in_transaction(|| with_safe_search_path(|| migration::measure(&collection)))?;
        in_transaction(|| with_safe_search_path(|| connect(|| migration::switch(id))))?;
    }
    Ok(Settled::Done)
}

/// Folds the words of a collection for which something is queued all the time.
pub fn merge_terms_while_busy(id: i64) -> Result<()> {
    in_transaction(|| {
        with_safe_search_path(|| {
            let Some(mut collection) = connect(|| Collection::find_by_id(id))? else { return Ok(()) };
            merge_terms(&mut collection)?;
            collection.count()?;
            connect(|| collection.update())
        })
    })
}

fn merge_terms(collection: &mut Collection) -> Result<()> {
    collection.terms_appended = connect(|| count_appended(collection))?;
    merge_term_counts(collection)
}

/// The collections that follow their sources in the background or at once, without those that a restore still brings.
pub fn followed() -> Result<Vec<Collection>> {
    follow::follow_restored()?;
    let rows = run("SELECT id FROM rag.collection WHERE sync <> 'manual'", &[])?;
    let mut found = Collection::find_all(&rows)?;
    found.retain(|collection| !collection.is_restoring());
    Ok(found)
}

fn is_queued(id: i64) -> Result<bool> {
    let rows = as_owner(config_owner()?, || {
        run("SELECT EXISTS (SELECT FROM rag._queue WHERE collection = $1)", &[Arg::new(id)])
    })?;
    Ok(rows.boolean(0, 0) == Some(true))
}

fn claim_index(id: i64) -> Result<bool> {
    let rows = run(
        "SELECT pg_try_advisory_xact_lock(hashtextextended('ragstone index ' || $1, 0))",
        &[Arg::new(id)],
    )?;
    Ok(rows.boolean(0, 0) == Some(true))
}

/// Rows that the terms table has more than when it was folded last.
fn count_appended(collection: &Collection) -> Result<i64> {
    let terms = collection.terms()?;
    let statement = format!("SELECT count(*) FROM {}", terms.name);
    let rows = as_owner(terms.owner, || run(&statement, &[]))?;
    Ok(rows.int8(0, 0).unwrap_or(0) - collection.terms_folded)
}

fn notify(collection: &Collection) -> Result<()> {
    run("SELECT pg_notify($1, $2)", &[Arg::text(CHANNEL), Arg::text(&collection.name)]).map(|_| ())
}
