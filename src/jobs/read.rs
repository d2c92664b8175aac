//! `rag.job_pieces` and `rag.job_result`: the pieces of the answer and the result of a job.

use crate::jobs::{refuse_uncommitted, unknown};
use ragstone_client::engine::pieces::{MAX_PIECES, ask};
use ragstone_client::processes::place::Place;
use ragstone_client::processes::slots;
use ragstone_core::protocol::{JobRun, Pieces};
use ragstone_pg::bytes::Jsonb;
use ragstone_pg::error::{Error, Result};
use ragstone_pg::own_tables::with_safe_search_path;
use ragstone_pg::session;
use ragstone_pg::spi::{Arg, connect, run};
use ragstone_pg::text::replace_unencodable;
use ragstone_pg::wait::for_latch;
use std::time::{Duration, Instant};

/// Maximum time between two reads of the table, even if the engine reports nothing.
pub const MAX_PAUSE: Duration = Duration::from_secs(1);

/// Pause between two reads of the table while no engine runs.
const NO_ENGINE_PAUSE: Duration = Duration::from_millis(50);

/// Time, in seconds, after the end of a job in which the engine may not know of the end yet: the worker
/// reports it after its commit.
const REPORT_DELAY_S: f64 = 2.0;

/// A row of `rag.job_pieces`.
pub struct Piece {
    /// Number of the piece; None in a row that has the status only.
    pub seq: Option<i32>,
    /// A part of the answer.
    pub piece: Option<String>,
    /// Status of the job; `running` while more pieces may follow.
    pub status: String,
}

/// The part of a job's row that is read again and again during a wait.
pub struct JobState {
    /// `queued`, `running`, `done`, `failed` or `cancelled`.
    pub status: String,
    /// The current attempt; before the job starts, the next one; after it has ended, the last one.
    pub run: JobRun,
    /// Time since the job ended, in seconds.
    since_end: Option<f64>,
}

impl JobState {
    /// The state of a job that the current role may see.
    pub fn find(id: i64) -> Result<Self> {
        let rows = run(
            "SELECT status, attempts, extract(epoch FROM clock_timestamp() - finished_at)::float8,
                    'rag._job'::regclass::oid
             FROM rag.jobs WHERE id = $1",
            &[Arg::new(id)],
        )?;
        let (Some(status), Some(attempts), Some(table)) = (rows.text(0, 0), rows.int4(0, 1), rows.oid(0, 3))
        else {
            return Err(unknown(id));
        };
        let database = session::database();
        let attempt = attempts.unsigned_abs() + u32::from(status == "queued");
        let run = JobRun { database, table: table.to_u32(), job: id.unsigned_abs(), attempt };
        Ok(Self { status, run, since_end: rows.float8(0, 2) })
    }

    /// True if the job has ended.
    pub fn has_ended(&self) -> bool {
        !matches!(self.status.as_str(), "queued" | "running")
    }

    /// The number that precedes the attempt's first piece.
    fn base(&self) -> u32 {
        self.run.attempt.saturating_sub(1) * MAX_PIECES
    }

    fn just_ended(&self) -> bool {
        self.since_end.is_some_and(|seconds| seconds < REPORT_DELAY_S)
    }

    fn row(&self) -> Vec<Piece> {
        vec![Piece { seq: None, piece: None, status: self.status.clone() }]
    }
}

/// The pieces of a job's answer after the number `after`, or one row without a piece if none arrives within `wait`.
pub fn pieces(id: i64, after: u32, wait: Duration) -> Result<Vec<Piece>> {
    refuse_uncommitted(id)?;
    let deadline = Instant::now() + wait;
    let mut end_is_known = false;
    loop {
        let state = with_safe_search_path(|| connect(|| JobState::find(id)))?;
        if !state.has_ended() {
            slots::ensure(Place::Coordinator);
        }
        let left = deadline.saturating_duration_since(Instant::now()).min(MAX_PAUSE);
        let wait = if state.has_ended() && !state.just_ended() { Duration::ZERO } else { left };
        let read = after.saturating_sub(state.base()).min(MAX_PIECES);
        let found = engine(state.run, read, wait, left)?;
        if !found.lost && !found.pieces.is_empty() {
            return Ok(rows(&state, read, found));
        }
        if state.has_ended() {
            return with_safe_search_path(|| connect(|| last_row(id, &state, after, &found)));
        }
        if left.is_zero() || end_is_known {
            return Ok(state.row());
        }
        // Under REPEATABLE READ the snapshot never shows the end of the job.
        end_is_known = found.ended;
    }
}

/// The pieces that the engine has; none, after `pause`, if the engine cannot be reached.
pub fn engine(run: JobRun, after: u32, wait: Duration, pause: Duration) -> Result<Pieces> {
    match ask(run, after, wait) {
        Ok(Some(found)) => Ok(found),
        Err(error) if !error.is_unavailable() => Err(error),
        Ok(None) | Err(_) => {
            for_latch(pause.min(NO_ENGINE_PAUSE));
            Ok(Pieces::default())
        }
    }
}

/// The rows for these pieces. Only the last pieces carry the job's own status.
fn rows(state: &JobState, read: u32, found: Pieces) -> Vec<Piece> {
    let status = if found.ended { state.status.as_str() } else { "running" };
    let first = state.base() + read + 1;
    let numbered = (first..).zip(found.pieces);
    numbered
        .map(|(seq, piece)| Piece {
            seq: i32::try_from(seq).ok(),
            piece: Some(replace_unencodable(piece).into_owned()),
            status: status.to_owned(),
        })
        .collect()
}

/// The last row of a job that has ended. If some pieces were missed, it has the whole result as one piece,
/// whose number shows that the answer starts again.
fn last_row(id: i64, state: &JobState, after: u32, found: &Pieces) -> Result<Vec<Piece>> {
    let whole = state.base() + MAX_PIECES + 1;
    let complete = found.ended && !found.lost && found.posted > 0;
    if state.status != "done" || complete || after >= whole {
        return Ok(state.row());
    }
    let rows = run(
        "SELECT CASE jsonb_typeof(result) WHEN 'string' THEN result #>> '{}'
                ELSE coalesce(result ->> 'answer', result::text) END
         FROM rag.jobs WHERE id = $1",
        &[Arg::new(id)],
    )?;
    Ok(vec![Piece { seq: i32::try_from(whole).ok(), piece: rows.text(0, 0), status: state.status.clone() }])
}

/// The result of a job; None if it has not ended.
///
/// # Errors
/// The error with which the job failed; 57014 if it was cancelled.
pub fn result(id: i64) -> Result<Option<Jsonb>> {
    refuse_uncommitted(id)?;
    with_safe_search_path(|| {
        connect(|| {
            let rows = run(
                "SELECT status, result, sqlstate, message, detail, hint FROM rag.jobs WHERE id = $1",
                &[Arg::new(id)],
            )?;
            let text = |column| rows.text(0, column).unwrap_or_default();
            match rows.text(0, 0).ok_or_else(|| unknown(id))?.as_str() {
                "done" => Ok(rows.jsonb(0, 1)),
                "failed" => Err(Error::of_code(&text(2), text(3)).detail(text(4)).hint(text(5))),
                "cancelled" => Err(Error::cancelled(format!("job {id} was cancelled"))),
                _ => {
                    slots::ensure(Place::Coordinator);
                    Ok(None)
                }
            }
        })
    })
}
