//! `CALL rag.wait_for_job(…)`: a procedure, so that it can wait without a snapshot.

use crate::jobs::read::{JobState, MAX_PAUSE, engine};
use crate::jobs::refuse_uncommitted;
use ragstone_client::processes::place::Place;
use ragstone_client::processes::slots;
use ragstone_pg::error::{Error, Result};
use ragstone_pg::own_tables::with_safe_search_path;
use ragstone_pg::procedure::{commit, with_snapshot};
use ragstone_pg::spi::connect;
use ragstone_pg::wait::for_latch;
use std::time::{Duration, Instant};

/// Pause before the table is read again if the engine has reported an end that the table does not show yet.
const RECHECK_PAUSE: Duration = Duration::from_millis(50);

/// Waits until a job has ended. The caller must be able to commit.
///
/// # Errors
/// 57014 after the timeout.
pub fn wait(id: i64, timeout: Option<Duration>) -> Result<()> {
    refuse_uncommitted(id)?;
    let deadline = timeout.map(|timeout| Instant::now() + timeout);
    let mut end_is_known = false;
    loop {
        let state = with_snapshot(|| with_safe_search_path(|| connect(|| JobState::find(id))))?;
        let left = deadline.map_or(MAX_PAUSE, |deadline| deadline.saturating_duration_since(Instant::now()));
        if state.has_ended() {
            return Ok(());
        }
        if left.is_zero() {
            return Err(timed_out(id, &state.status));
        }
        slots::ensure(Place::Coordinator);
        // The commit releases the snapshot, so that the wait does not hold back VACUUM.
        commit();
        let left = left.min(MAX_PAUSE);
        // No piece has a number above this, so the engine responds only when the job ends.
        let found = engine(state.run, u32::MAX, left, left)?;
        // If the table still does not show the end, the worker could not store it.
        if found.ended && std::mem::replace(&mut end_is_known, true) {
            for_latch(left.min(RECHECK_PAUSE));
        }
    }
}

fn timed_out(id: i64, status: &str) -> Error {
    Error::cancelled(format!("job {id} did not end within the timeout, and is {status}"))
        .hint("Wait again, or cancel it with rag.cancel_job.")
}
