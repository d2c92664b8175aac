//! A job's pieces in the engine: the worker that posts them, and the session that asks for them.

use crate::engine::client;
use ragstone_core::protocol::{JobRun, Pieces, Request, Response};
use ragstone_pg::attempt::outside_transaction;
use ragstone_pg::error::{Error, Result};
use std::cell::Cell;
use std::time::Duration;

/// An engine that runs answers at once; one that does not answer so much later than it was to is not waited for.
const ANSWER_MARGIN: Duration = Duration::from_secs(2);

/// Most pieces of one attempt at a job: the next attempt's numbers begin after it.
pub const MAX_PIECES: u32 = 1_000_000;

thread_local! {
    /// What this process works on, where it is a job's worker, and how many pieces it has posted.
    static CURRENT: Cell<Option<(JobRun, u32)>> = const { Cell::new(None) };
}

/// This process works on a job from now on.
pub fn begin(run: JobRun) {
    CURRENT.set(Some((run, 0)));
}

/// Whether this process works on a job, so that pieces of its answer are of use.
pub fn is_streaming() -> bool {
    CURRENT.get().is_some()
}

/// Hands on a piece of the answer to whoever reads along. Does nothing outside a job's worker, and never fails.
pub fn post_piece(text: &str) {
    let Some((run, posted)) = CURRENT.get() else { return };
    if text.is_empty() || posted + 1 >= MAX_PIECES {
        return;
    }
    CURRENT.set(Some((run, posted + 1)));
    client::post(&Request::PostPiece { run, seq: posted + 1, piece: text.to_owned() });
}

/// Says that the job has ended, once all can see it. Where no engine runs nobody is told, and those who wait see it later.
pub fn end(run: JobRun) {
    CURRENT.set(None);
    let told = outside_transaction(|| {
        // Connects where nothing was posted before.
        if ask(run, u32::MAX, Duration::ZERO)?.is_some() {
            client::post(&Request::EndPieces(run));
            // The answer says that all before it has been read.
            ask(run, u32::MAX, Duration::ZERO)?;
        }
        Ok(())
    });
    drop(told);
}

/// What the engine knows after waiting for a piece after `after` or the end; nothing where no engine runs.
pub fn ask(run: JobRun, after: u32, wait: Duration) -> Result<Option<Pieces>> {
    let wait_ms = u32::try_from(wait.as_millis()).unwrap_or(u32::MAX);
    match client::call_if_running_with_timeout(
        Request::NextPieces { run, after, wait_ms },
        wait + ANSWER_MARGIN,
    )? {
        None => Ok(None),
        Some(Response::Pieces(pieces)) => Ok(Some(pieces)),
        Some(other) => Err(Error::internal(format!("unexpected answer to a request for pieces: {other:?}"))),
    }
}
