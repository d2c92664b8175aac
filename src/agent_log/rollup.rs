//! Reports read sums and no steps: here the database's first worker adds steps and runs to the sums, soon after they are
//! committed, and never in the transactions of those who write them, who would wait for each other.
//!
//! Each step is added once. A step has the number of the transaction that wrote it, and all transactions with numbers below
//! `xmin` of a snapshot have ended, so that what they wrote is seen or never will be. Steps are taken in the order of
//! (written, id) up to there, and the place is written down with the sums. Runs end by an update, in any order, so they have a flag.
//!
//! After a restore the numbers are those of another server. The place comes with its server, as `rag._log_state` has it; where that
//! is not this one, the sums of the days that the tables have are computed anew. From then on a number from `foreign_from` on,
//! of a step up to `foreign_step`, is foreign, unless the row says that a transaction of this server with that number wrote it.

use crate::agent_log::writer::as_log_owner;
use pgrx::log;
use ragstone_client::settings;
use ragstone_pg::error::{Error, Result};
use ragstone_pg::spi::{Arg, run};
use ragstone_pg::switch_user::with_settings;
use ragstone_pg::transactions;
use std::time::{Duration, Instant};

/// Steps that are added in one transaction: a fraction of a second.
const STEPS_AT_ONCE: i64 = 20_000;

/// Runs that are added in one transaction.
const RUNS_AT_ONCE: i64 = 5_000;

/// It is looked so often whether there is something to add.
const LOOK: Duration = Duration::from_millis(500);

/// Pauses after a failure double from the first to the second of these.
const BACKOFF: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));

/// What is only about steps that are deleted is deleted so often.
const PRUNE: Duration = Duration::from_secs(3600);

/// The next steps are read from indexes in their order. Tables that are new have no statistics by which to see that this is best.
const IN_ORDER: [(&str, &str); 4] =
    [("enable_seqscan", "off"), ("enable_bitmapscan", "off"), ("enable_sort", "off"), ("jit", "off")];

/// What the worker has to do with reports.
pub struct Fold {
    look_at: Instant,
    backoff: Duration,
    prune_at: Instant,
    /// The next transaction's number when there was nothing left, and no transaction under way: where it is still the same,
    /// nobody has written anything.
    next: Option<u64>,
}

impl Fold {
    /// Before anything was looked at.
    pub fn new() -> Self {
        let now = Instant::now();
        Self { look_at: now, backoff: BACKOFF.0, prune_at: now, next: None }
    }

    /// Adds what is due. Gives whether there is more to do at once. Never fails, and not to be called where a transaction is open.
    pub fn tend(&mut self) -> bool {
        if Instant::now() < self.look_at {
            return false;
        }
        let next = transactions::next();
        if self.next == Some(next) {
            self.look_at = Instant::now() + LOOK;
            return false;
        }
        match self.fold(next) {
            Ok(Folded { more, left }) => {
                self.backoff = BACKOFF.0;
                self.next = (!more && !left).then_some(next);
                self.look_at = Instant::now() + if more { Duration::ZERO } else { LOOK };
                more
            }
            Err(error) => {
                if self.backoff == BACKOFF.0 {
                    log!("ragstone worker: could not add to reports: {}: {}", error.code(), error.message);
                }
                self.look_at = Instant::now() + self.backoff;
                self.backoff = (self.backoff * 2).min(BACKOFF.1);
                false
            }
        }
    }

    fn fold(&mut self, next: u64) -> Result<Folded> {
        let folded = as_log_owner(|| fold(next))?.unwrap_or_default();
        if Instant::now() >= self.prune_at {
            self.prune_at = Instant::now() + PRUNE;
            as_log_owner(prune)?;
        }
        Ok(folded)
    }
}

/// Whether a database's log has what is not in the reports yet. A worker that leaves before leaves it to the next one.
pub fn has_steps_left() -> bool {
    let left = as_log_owner(|| match Place::find()? {
        _ if !has_begun()? => Ok(false),
        None => Ok(true),
        Some(place) => Ok(place.anew || place.is_behind()?),
    });
    matches!(left, Ok(Some(true)))
}

#[derive(Default)]
struct Folded {
    /// There is more to do at once.
    more: bool,
    /// There is more to do when a transaction has ended.
    left: bool,
}

fn fold(next: u64) -> Result<Folded> {
    // Before anything is read: what these write, if they do, is not seen by what follows.
    let under_way = is_under_way(next)?;
    if !has_begun()? {
        return Ok(Folded { more: false, left: under_way });
    }
    let Some(place) = Place::find()? else {
        return begin_anew();
    };
    let steps = place.add_steps()?;
    if place.anew && steps == 0 {
        place.end_anew()?;
        return Ok(Folded { more: true, left: true });
    }
    let rows = run(include_str!("../../sql/queries/fold_runs.sql"), &[Arg::new(RUNS_AT_ONCE)])?;
    let runs = rows.int8(0, 0).unwrap_or(0);
    let more = steps == STEPS_AT_ONCE || runs == RUNS_AT_ONCE;
    // What was added has moved the place.
    let left = under_way || more || steps > 0 || runs > 0 || place.is_behind()?;
    Ok(Folded { more, left })
}

/// How far the steps are added.
struct Place {
    written: i64,
    step: i64,
    foreign_from: i64,
    foreign_step: i64,
    anew: bool,
}

impl Place {
    /// None where it has to be begun anew.
    fn find() -> Result<Option<Self>> {
        let rows = run(
            "SELECT t.written, t.step_id, t.foreign_from, t.foreign_step, t.anew_before IS NOT NULL, t.server = l.server
             FROM rag._totals_progress t CROSS JOIN rag._log_state l",
            &[],
        )?;
        if rows.count != 1 || rows.boolean(0, 5) != Some(true) {
            return Ok(None);
        }
        let number =
            |column| rows.int8(0, column).ok_or_else(|| Error::internal("rag._totals_progress has a null"));
        Ok(Some(Self {
            written: number(0)?,
            step: number(1)?,
            foreign_from: number(2)?,
            foreign_step: number(3)?,
            anew: rows.boolean(0, 4) == Some(true),
        }))
    }

    /// Adds the next steps, and gives how many.
    fn add_steps(&self) -> Result<i64> {
        let statement = include_str!("../../sql/queries/fold_steps.sql").replace("{which}", self.which());
        let mut arguments = vec![Arg::new(self.written), Arg::new(self.step), Arg::new(STEPS_AT_ONCE)];
        if !self.anew {
            arguments.extend([Arg::new(self.foreign_from), Arg::new(self.foreign_step)]);
        }
        let rows = with_settings(&IN_ORDER, || run(&statement, &arguments))?;
        let steps = rows.int8(0, 0).unwrap_or(0);
        if steps > 0 && rows.boolean(0, 1) != Some(true) {
            return Err(Error::internal("two workers add steps to reports at once"));
        }
        if let Some(days) = rows.texts(0, 2) {
            run(include_str!("../../sql/queries/longest.sql"), &[Arg::texts(days)])?;
        }
        Ok(steps)
    }

    /// Which steps are to be added.
    fn which(&self) -> &'static str {
        if self.anew {
            "(s.written < (SELECT anew_before FROM rag._totals_progress)
              OR s.written >= (SELECT foreign_from FROM rag._totals_progress) AND s.id <= (SELECT foreign_step FROM rag._totals_progress)
                 AND s.xmin::text::bigint <> s.written & 4294967295)
             AND (s.started AT TIME ZONE 'UTC')::date <> ALL (ARRAY(SELECT unnest(kept) FROM rag._totals_progress))"
        } else {
            "s.written < (SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint)
             AND (s.written < $4 OR s.id > $5 OR s.xmin::text::bigint = s.written & 4294967295)"
        }
    }

    /// All is computed anew that was there; what follows is what has ended since.
    fn end_anew(&self) -> Result<()> {
        run(
            "UPDATE rag._totals_progress
             SET written = anew_before - 1, step_id = 9223372036854775807, anew_before = NULL, kept = NULL, folded = clock_timestamp()",
            &[],
        )?;
        Ok(())
    }

    /// Whether there are steps that are not added, for instance of transactions that are younger than one that has not ended.
    fn is_behind(&self) -> Result<bool> {
        let rows = run(
            "SELECT EXISTS (SELECT FROM rag._steps s WHERE (s.written, s.id) > ($1, $2)
                              AND s.written < pg_snapshot_xmax(pg_current_snapshot())::text::bigint
                              AND (s.written < $3 OR s.id > $4 OR s.xmin::text::bigint = s.written & 4294967295))",
            &[
                Arg::new(self.written),
                Arg::new(self.step),
                Arg::new(self.foreign_from),
                Arg::new(self.foreign_step),
            ],
        )?;
        Ok(rows.boolean(0, 0) == Some(true))
    }
}

/// Whether a transaction has not ended that has a lower number.
fn is_under_way(next: u64) -> Result<bool> {
    let rows = run(
        "SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint < $1",
        &[Arg::new(next.cast_signed())],
    )?;
    Ok(rows.boolean(0, 0) == Some(true))
}

/// Whether there was ever a step or a run. A restore that has not come to its rows is not to be met here: the last that it sets are
/// the numbers of rows.
fn has_begun() -> Result<bool> {
    let rows = run("SELECT is_called FROM rag._run_id UNION ALL SELECT is_called FROM rag._step_id", &[])?;
    Ok(rows.boolean(0, 0) == Some(true) || rows.boolean(1, 0) == Some(true))
}

fn begin_anew() -> Result<Folded> {
    run("LOCK TABLE rag._totals_progress IN EXCLUSIVE MODE", &[])?;
    run(include_str!("../../sql/queries/fold_anew.sql"), &[])?;
    Ok(Folded { more: true, left: true })
}

fn prune() -> Result<()> {
    if let Some(days) = settings::log_retention() {
        // Steps of a week are dropped with it. Those of an old log that was imported stay for as long as they have been here.
        let old = "DELETE FROM rag._slow_step l
                   WHERE l.day < (now() AT TIME ZONE 'UTC')::date - $1 - 7
                     AND NOT EXISTS (SELECT FROM rag._steps s
                                     WHERE s.id = l.id AND s.started = l.started
                                       AND s.started < ((now() AT TIME ZONE 'UTC')::date - $1 - 7)::timestamp AT TIME ZONE 'UTC')";
        run(old, &[Arg::new(days)])?;
    }
    Ok(())
}
