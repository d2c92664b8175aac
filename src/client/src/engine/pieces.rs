//! The streamed output of a job: its worker posts pieces to the engine, and sessions read them.

use crate::engine::client;
use ragstone_core::protocol::{JobRun, Pieces, Request, Response};
use ragstone_pg::attempt::outside_transaction;
use ragstone_pg::error::{Error, Result};
use std::cell::Cell;
use std::time::Duration;

/// Margin added to the requested wait for the engine's answer.
const ANSWER_MARGIN: Duration = Duration::from_secs(2);

/// Maximum number of pieces of one attempt at a job. The numbers of the next attempt follow it.
pub const MAX_PIECES: u32 = 1_000_000;

thread_local! {
    /// The job that this process runs if it is a job's worker, and the number of pieces posted so far.
    static CURRENT: Cell<Option<(JobRun, u32)>> = const { Cell::new(None) };
}

/// Lets this process post the pieces of a job.
pub fn begin(run: JobRun) {
    CURRENT.set(Some((run, 0)));
}

/// True if this process runs a job, so that its output is streamed.
pub fn is_streaming() -> bool {
    CURRENT.get().is_some()
}

/// Posts a piece of output for the sessions that follow the job. Does nothing outside a job's worker, and never fails.
pub fn post_piece(text: &str) {
    let Some((run, posted)) = CURRENT.get() else { return };
    if text.is_empty() || posted + 1 >= MAX_PIECES {
        return;
    }
    CURRENT.set(Some((run, posted + 1)));
    client::post(&Request::PostPiece { run, seq: posted + 1, piece: text.to_owned() });
}

/// Reports the end of the job, after its commit. Without an engine nothing is reported; waiting sessions poll the table.
pub fn end(run: JobRun) {
    CURRENT.set(None);
    let announced = outside_transaction(|| {
        // Connects if no piece was posted before.
        if ask(run, u32::MAX, Duration::ZERO)?.is_some() {
            client::post(&Request::EndPieces(run));
            // The answer shows that the engine has read all messages before it.
            ask(run, u32::MAX, Duration::ZERO)?;
        }
        Ok(())
    });
    drop(announced);
}

/// Waits for a piece after number `after`, or for the job's end. Returns the engine's pieces; `None` if no engine is running.
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
