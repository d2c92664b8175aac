//! `rag.wait_until_current` and `rag.wait_for_migration`.

use crate::collections::catalog::collection::{Collection, Sync};
use crate::collections::lifecycle::migration;
use crate::collections::queue;
use ragstone_client::processes::place::Place;
use ragstone_client::processes::{slots, wake};
use ragstone_pg::error::{Error, Result};
use ragstone_pg::own_tables::with_safe_search_path;
use ragstone_pg::session;
use ragstone_pg::spi::{connect, with_latest_snapshot};
use ragstone_pg::wait::for_latch;
use std::time::{Duration, Instant};

/// Minimum time between two checks of the queue. The time is also at least `POLL_REST` times the duration of
/// the last check.
const POLL_INTERVAL: Duration = Duration::from_millis(20);
const POLL_REST: u32 = 20;

/// Waits until the collection contains all changes that were committed to its source; returns false if the
/// timeout expires first. Rows that are no longer retried do not count.
///
/// # Errors
/// 55000 or 42P01 if the collection cannot become current, also if this happens during the wait.
pub fn wait(name: &str, timeout: Option<Duration>) -> Result<bool> {
    wait_for(timeout, || is_current(name))
}

/// Waits until the collection's migration has caught up, so that searches use the new version; returns false if the
/// timeout expires first.
///
/// # Errors
/// 55000 if the collection is in no migration, also if it is rolled back during the wait; 55000 or 42P01 if the new
/// version cannot become current.
pub fn wait_for_migration(name: &str, timeout: Option<Duration>) -> Result<bool> {
    wait_for(timeout, || is_switched(name))
}

fn wait_for(timeout: Option<Duration>, is_reached: impl Fn() -> Result<bool>) -> Result<bool> {
    let deadline = timeout.map(|timeout| Instant::now() + timeout);
    loop {
        // Under REPEATABLE READ the transaction's own snapshot would never show the worker's commits.
        let begin = Instant::now();
        if with_safe_search_path(|| connect(|| with_latest_snapshot(&is_reached)))? {
            return Ok(true);
        }
        if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
            return Ok(false);
        }
        slots::ensure(Place::FIRST_INDEXER);
        let rest = POLL_INTERVAL.max(begin.elapsed() * POLL_REST);
        for_latch(
            deadline.map_or(rest, |deadline| rest.min(deadline.saturating_duration_since(Instant::now()))),
        );
    }
}

/// True if the collection is current in the active snapshot.
fn is_current(name: &str) -> Result<bool> {
    let collection = Collection::get(name, None)?;
    check_possible(&collection)?;
    if !collection.filled || collection.is_restoring() {
        return Ok(false);
    }
    Ok(!queue::has_work(collection.id)?)
}

/// True if the collection's migration has caught up, in the active snapshot.
fn is_switched(name: &str) -> Result<bool> {
    let collection = Collection::get(name, None)?;
    let other = migration::beside(collection.id)?.ok_or_else(|| migration::no_migration(name))?;
    if other.predecessor_of.is_some() {
        return Ok(true);
    }
    check_possible(&other)?;
    Ok(false)
}

fn check_possible(collection: &Collection) -> Result<()> {
    let state = |message: String| Error::wrong_state(message);
    let name = &collection.name;
    collection.source()?;
    collection.chunks()?;
    collection.terms()?;
    if wake::is_collection_pending(collection.id) {
        return Err(state(format!("collection \"{name}\" waits for changes of the current transaction"))
            .hint("COMMIT first."));
    }
    if collection.sync == Sync::Manual {
        return Err(state(format!("collection \"{name}\" is manual and does not follow its source"))
            .hint("Bring it up to date with rag.refresh_collection."));
    }
    if collection.is_paused {
        return Err(
            state(format!("collection \"{name}\" is paused")).hint("Resume it with rag.resume_collection.")
        );
    }
    if session::is_standby() {
        return Err(state(format!("collection \"{name}\" is brought up to date on the primary server"))
            .hint("Wait there."));
    }
    match &collection.error {
        Some(error) => Err(state(format!("collection \"{name}\" cannot follow its source: {error}"))),
        None => collection.check_columns(),
    }
}
