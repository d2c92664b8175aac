//! `rag.next` and `rag.result`: what the submitter of a job sees of it.

use crate::jobs::{refuse_own, unknown};
use ragstone_client::engine::pieces::{MAX_PIECES, ask};
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

/// The table is looked at so often, whatever the engine says.
const LOOK: Duration = Duration::from_secs(1);

/// Pause between two looks where no engine runs.
const PAUSE: Duration = Duration::from_millis(50);

/// A worker says that a job has ended just after everybody can see it: so long the engine may not know yet, in seconds.
const TELLING: f64 = 2.0;

/// A row of `rag.next`.
pub struct Piece {
    /// Its number; none in a row that only tells the status.
    pub seq: Option<i32>,
    /// A part of the answer.
    pub piece: Option<String>,
    /// The job's status; `running` as long as more may come.
    pub status: String,
}

/// What is asked for again and again of a job.
pub struct State {
    /// `queued`, `running`, `done`, `failed` or `cancelled`.
    pub status: String,
    /// The attempt that is under way, was the last, or is the next.
    pub run: JobRun,
    /// Seconds since it ended.
    since_end: Option<f64>,
}

impl State {
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

    /// Whether nothing more happens to it.
    pub fn has_ended(&self) -> bool {
        !matches!(self.status.as_str(), "queued" | "running")
    }

    /// The number before the first piece of the attempt.
    fn base(&self) -> u32 {
        self.run.attempt.saturating_sub(1) * MAX_PIECES
    }

    fn just_ended(&self) -> bool {
        self.since_end.is_some_and(|seconds| seconds < TELLING)
    }

    fn row(&self) -> Vec<Piece> {
        vec![Piece { seq: None, piece: None, status: self.status.clone() }]
    }
}

/// The pieces of a job's answer after a number, or one row without a piece where none comes in time.
pub fn next(id: i64, after: u32, wait: Duration) -> Result<Vec<Piece>> {
    refuse_own(id)?;
    let deadline = Instant::now() + wait;
    let mut told_of_end = false;
    loop {
        let state = with_safe_search_path(|| connect(|| State::find(id)))?;
        if !state.has_ended() {
            slots::ensure();
        }
        let left = deadline.saturating_duration_since(Instant::now()).min(LOOK);
        let wait = if state.has_ended() && !state.just_ended() { Duration::ZERO } else { left };
        let here = after.saturating_sub(state.base()).min(MAX_PIECES);
        let found = engine(state.run, here, wait, left)?;
        if !found.lost && !found.pieces.is_empty() {
            return Ok(rows(&state, here, found));
        }
        if state.has_ended() {
            return with_safe_search_path(|| connect(|| rest(id, &state, after, &found)));
        }
        if left.is_zero() || told_of_end {
            return Ok(state.row());
        }
        // Under REPEATABLE READ the end is never seen in the table.
        told_of_end = found.ended;
    }
}

/// What the engine knows; nothing, after a pause, where it cannot be asked.
pub fn engine(run: JobRun, after: u32, wait: Duration, pause: Duration) -> Result<Pieces> {
    match ask(run, after, wait) {
        Ok(Some(found)) => Ok(found),
        Err(error) if !error.is_unavailable() => Err(error),
        Ok(None) | Err(_) => {
            for_latch(pause.min(PAUSE));
            Ok(Pieces::default())
        }
    }
}

/// The job's own status is told with its last pieces, and not before.
fn rows(state: &State, here: u32, found: Pieces) -> Vec<Piece> {
    let status = if found.ended { state.status.as_str() } else { "running" };
    let first = state.base() + here + 1;
    let numbered = (first..).zip(found.pieces);
    numbered
        .map(|(seq, piece)| Piece {
            seq: i32::try_from(seq).ok(),
            piece: Some(replace_unencodable(piece).into_owned()),
            status: status.to_owned(),
        })
        .collect()
}

/// The end of a job that was done: nothing where all pieces were read, or else its whole result as one piece, whose number
/// says that the answer begins anew.
fn rest(id: i64, state: &State, after: u32, found: &Pieces) -> Result<Vec<Piece>> {
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

/// What a job gave; nothing while it has not ended.
///
/// # Errors
/// That with which it failed; 57014 where it was cancelled.
pub fn result(id: i64) -> Result<Option<Jsonb>> {
    refuse_own(id)?;
    with_safe_search_path(|| {
        connect(|| {
            let rows = run(
                "SELECT status, result, sqlstate, message, detail, hint FROM rag.jobs WHERE id = $1",
                &[Arg::new(id)],
            )?;
            let text = |column| rows.text(0, column).unwrap_or_default();
            match rows.text(0, 0).ok_or_else(|| unknown(id))?.as_str() {
                "done" => Ok(rows.bytes(0, 1).map(Jsonb)),
                "failed" => Err(Error::of_code(&text(2), text(3)).detail(text(4)).hint(text(5))),
                "cancelled" => Err(Error::cancelled(format!("job {id} was cancelled"))),
                _ => {
                    slots::ensure();
                    Ok(None)
                }
            }
        })
    })
}
