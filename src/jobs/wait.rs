//! `CALL rag.wait_for_job(…)`: a procedure, so that it waits with no snapshot.

use crate::jobs::read::{State, engine};
use crate::jobs::refuse_own;
use ragstone_client::processes::slots;
use ragstone_pg::error::{Error, Result};
use ragstone_pg::own_tables::with_safe_search_path;
use ragstone_pg::procedure::{commit, with_snapshot};
use ragstone_pg::spi::connect;
use ragstone_pg::wait::for_latch;
use std::time::{Duration, Instant};

/// The table is looked at so often, whatever the engine says.
const LOOK: Duration = Duration::from_secs(1);

/// Pause between two looks where the engine has nothing more to say.
const PAUSE: Duration = Duration::from_millis(50);

/// Waits until a job has ended. Only where the transaction may be ended.
///
/// # Errors
/// 57014 when the time is over.
pub fn wait(id: i64, timeout: Option<Duration>) -> Result<()> {
    refuse_own(id)?;
    let deadline = timeout.map(|timeout| Instant::now() + timeout);
    let mut told_of_end = false;
    loop {
        let state = with_snapshot(|| with_safe_search_path(|| connect(|| State::find(id))))?;
        let left = deadline.map_or(LOOK, |deadline| deadline.saturating_duration_since(Instant::now()));
        if state.has_ended() {
            return Ok(());
        }
        if left.is_zero() {
            return Err(too_slow(id, &state.status));
        }
        slots::ensure();
        // What was read holds back no VACUUM while this waits.
        commit();
        let left = left.min(LOOK);
        // Pieces are not wanted, but the end is.
        let found = engine(state.run, u32::MAX, left, left)?;
        // An end that the table does not know of is one that could not be written down.
        if found.ended && std::mem::replace(&mut told_of_end, true) {
            for_latch(left.min(PAUSE));
        }
    }
}

fn too_slow(id: i64, status: &str) -> Error {
    Error::cancelled(format!("job {id} has not ended in time, but is {status}"))
        .hint("Wait again, or cancel it with rag.cancel_job.")
}
