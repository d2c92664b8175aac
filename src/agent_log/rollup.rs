//! Maintains the roll-ups: reports read sums instead of steps. The database's coordinator adds steps and runs
//! to the sums soon after they are committed. The transactions that log them do not do this, because they
//! would wait for each other.
//!
//! Each step is added once. A step carries the number of the transaction that wrote it. All transactions with
//! numbers below the `xmin` of a snapshot have ended, so their steps are either visible now or never will be.
//! Steps are added in the order of (written, id) up to that `xmin`, and the position is stored together with
//! the sums. Runs end by an update, in any order, so they have a flag instead.
//!
//! After a restore the transaction numbers are those of another server. The position is stored with the
//! identity of its server, as in `rag._server`; if that is not this server, the sums of the days that the
//! tables contain are rebuilt. From then on a transaction number of at least `foreign_from`, in a step up to
//! `foreign_step`, counts as foreign, unless the row's `xmin` shows that a transaction of this server with
//! that number wrote it.

use crate::agent_log::report_gaps::{self, Group};
use crate::agent_log::tables::as_log_owner;
use pgrx::log;
use ragstone_client::settings;
use ragstone_core::backoff::Backoff;
use ragstone_pg::attempt::in_subtransaction;
use ragstone_pg::error::{Error, Result};
use ragstone_pg::plans::by_index;
use ragstone_pg::spi::{Arg, run};
use ragstone_pg::switch_user::with_settings;
use ragstone_pg::transactions;
use std::time::{Duration, Instant};

/// Maximum number of steps that one transaction adds, which takes a fraction of a second.
const MAX_STEPS_PER_PASS: i64 = 20_000;

/// Maximum number of runs that one transaction adds.
const MAX_RUNS_PER_PASS: i64 = 5_000;

/// Interval at which steps and runs to add are looked for. While nothing is written on the server, this only
/// reads shared memory.
const CHECK_INTERVAL: Duration = Duration::from_millis(150);

/// Pauses after failures.
const BACKOFF: Backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(60));

/// Maximum wait for a lock on the tables, since the coordinator has other work.
const LOCK_TIMEOUT: &str = "2s";

/// Interval at which rows about deleted steps are deleted.
const PRUNE_INTERVAL: Duration = Duration::from_secs(3600);

/// Settings that make the planner read the next steps from indexes in their order. This is best, but new
/// tables lack the statistics to show it.
const INDEX_SCAN_SETTINGS: [(&str, &str); 4] =
    [("enable_seqscan", "off"), ("enable_bitmapscan", "off"), ("enable_sort", "off"), ("jit", "off")];

/// The coordinator's maintenance of the sums.
pub struct Rollup {
    check_at: Instant,
    backoff: Backoff,
    prune_at: Instant,
    /// The next transaction's number when everything had been added and no transaction was in progress. While
    /// it is the same, nothing has been written.
    idle_at: Option<u64>,
}

impl Rollup {
    /// The state before the first check, which is due at once.
    pub fn new() -> Self {
        let now = Instant::now();
        Self { check_at: now, backoff: BACKOFF, prune_at: now, idle_at: None }
    }

    /// The time at which the next check is due.
    pub fn next_check(&self) -> Instant {
        self.check_at
    }

    /// Adds steps and runs, if a check is due. Returns true if there is more to add at once. Must not be
    /// called inside a transaction.
    pub fn run_due(&mut self) -> bool {
        if Instant::now() < self.check_at {
            return false;
        }
        let next = transactions::next();
        if self.idle_at == Some(next) {
            self.check_at = Instant::now() + CHECK_INTERVAL;
            return false;
        }
        match self.run_pass(next) {
            Ok(Pass { more, more_later }) => {
                self.backoff.reset();
                self.idle_at = (!more && !more_later).then_some(next);
                self.check_at = Instant::now() + if more { Duration::ZERO } else { CHECK_INTERVAL };
                more
            }
            Err(error) => {
                if self.backoff.is_idle() {
                    log!(
                        "ragstone coordinator: could not update the reports: {}: {}",
                        error.code(),
                        error.message
                    );
                }
                self.check_at = Instant::now() + self.backoff.next_pause();
                false
            }
        }
    }

    fn run_pass(&mut self, next: u64) -> Result<Pass> {
        let pass = as_log_owner(LOCK_TIMEOUT, || roll_up(next))?.unwrap_or_default();
        if Instant::now() >= self.prune_at {
            self.prune_at = Instant::now() + PRUNE_INTERVAL;
            as_log_owner(LOCK_TIMEOUT, prune)?;
        }
        Ok(pass)
    }
}

/// True if the log has steps or runs that are not in the sums yet. A coordinator that exits leaves them to
/// the next one.
pub fn has_steps_left() -> bool {
    let left = as_log_owner(LOCK_TIMEOUT, || match Position::find()? {
        _ if !has_begun()? => Ok(false),
        None => Ok(true),
        Some(position) => Ok(position.rebuilding || position.is_behind()?),
    });
    matches!(left, Ok(Some(true)))
}

/// The result of a pass.
#[derive(Default)]
struct Pass {
    /// There is more to add at once.
    more: bool,
    /// There is more to add, perhaps only after a transaction has ended.
    more_later: bool,
}

fn roll_up(next: u64) -> Result<Pass> {
    // This check comes first, because the writes of these transactions may be invisible to the statements
    // below.
    let in_progress = is_any_in_progress(next)?;
    if !has_begun()? {
        return Ok(Pass { more: false, more_later: in_progress });
    }
    let Some(position) = Position::find()? else {
        return start_rebuild();
    };
    let steps = position.add_steps()?;
    if position.rebuilding && steps == 0 {
        position.end_rebuild()?;
        return Ok(Pass { more: true, more_later: true });
    }
    let runs = add_runs()?;
    let more = steps == MAX_STEPS_PER_PASS || runs == MAX_RUNS_PER_PASS;
    // `position` is out of date once something has been added.
    let more_later = in_progress || more || steps > 0 || runs > 0 || position.is_behind()?;
    Ok(Pass { more, more_later })
}

/// The position up to which steps have been added.
struct Position {
    written: i64,
    step: i64,
    foreign_from: i64,
    foreign_step: i64,
    /// True while sums are being rebuilt after a restore.
    rebuilding: bool,
}

impl Position {
    /// The stored position; None if the sums have to be rebuilt.
    fn find() -> Result<Option<Self>> {
        let rows = run(
            "SELECT t.written, t.step_id, t.foreign_from, t.foreign_step, t.anew_before IS NOT NULL, t.server = l.server
             FROM rag._totals_progress t CROSS JOIN rag._server l",
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
            rebuilding: rows.boolean(0, 4) == Some(true),
        }))
    }

    /// Adds the next steps, and returns their number. Groups that cannot be added are left out and recorded.
    fn add_steps(&self) -> Result<i64> {
        let added = in_subtransaction(|| self.add_steps_of(None));
        match added {
            Err(error) if report_gaps::is_of_a_group(&error) => self.add_steps_by_groups(),
            added => added,
        }
    }

    /// Adds the next steps, or those of some groups up to a position. The caller must store the new position.
    fn add_steps_of(&self, some: Option<(&[Group], (i64, i64))>) -> Result<i64> {
        let mut arguments = self.arguments();
        let groups = some.map_or_else(
            || "true".to_owned(),
            |(_, (written, id))| {
                let condition = report_gaps::condition("s", arguments.len() + 1);
                format!("(s.written, s.id) <= ({written}, {id}) AND {condition}")
            },
        );
        arguments.extend(some.iter().flat_map(|(groups, _)| report_gaps::arguments(groups)));
        let statement = include_str!("../../sql/queries/rollup_steps.sql")
            .replace("{which}", self.step_condition())
            .replace("{groups}", &groups)
            .replace("{moves}", if some.is_none() { "true" } else { "false" });
        let rows = with_settings(&INDEX_SCAN_SETTINGS, || run(&statement, &arguments))?;
        let steps = rows.int8(0, 0).unwrap_or(0);
        if some.is_none() && steps > 0 && rows.boolean(0, 1) != Some(true) {
            return Err(two_coordinators());
        }
        if let Some(days) = rows.texts(0, 2) {
            run(include_str!("../../sql/queries/longest.sql"), &[Arg::texts(days)])?;
        }
        Ok(steps)
    }

    fn add_steps_by_groups(&self) -> Result<i64> {
        let statement = include_str!("../../sql/queries/rollup_step_groups.sql")
            .replace("{which}", self.step_condition());
        let rows = with_settings(&INDEX_SCAN_SETTINGS, || run(&statement, &self.arguments()))?;
        let (Some(steps), Some(written), Some(id)) = (rows.int8(0, 4), rows.int8(0, 5), rows.int8(0, 6))
        else {
            return Ok(0);
        };
        let add = |groups: &[Group]| self.add_steps_of(Some((groups, (written, id)))).map(|_| ());
        report_gaps::note("step", &report_gaps::add_each(&Group::read(&rows), &add)?)?;
        let moved = run(
            "UPDATE rag._totals_progress SET written = $3, step_id = $4, folded = clock_timestamp()
             WHERE written = $1 AND step_id = $2 RETURNING true",
            &[Arg::new(self.written), Arg::new(self.step), Arg::new(written), Arg::new(id)],
        )?;
        if moved.count == 0 { Err(two_coordinators()) } else { Ok(steps) }
    }

    fn arguments(&self) -> Vec<Arg> {
        let mut arguments = vec![Arg::new(self.written), Arg::new(self.step), Arg::new(MAX_STEPS_PER_PASS)];
        if !self.rebuilding {
            arguments.extend([Arg::new(self.foreign_from), Arg::new(self.foreign_step)]);
        }
        arguments
    }

    /// The condition for the steps that have to be added.
    fn step_condition(&self) -> &'static str {
        if self.rebuilding {
            "(s.written < (SELECT anew_before FROM rag._totals_progress)
              OR s.written >= (SELECT foreign_from FROM rag._totals_progress) AND s.id <= (SELECT foreign_step FROM rag._totals_progress)
                 AND s.xmin::text::bigint <> s.written & 4294967295)
             AND (s.started AT TIME ZONE 'UTC')::date <> ALL (ARRAY(SELECT unnest(kept) FROM rag._totals_progress))"
        } else {
            "s.written < (SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint)
             AND (s.written < $4 OR s.id > $5 OR s.xmin::text::bigint = s.written & 4294967295)"
        }
    }

    /// All steps from before the rebuild have been added. From here on, the steps of transactions that have
    /// ended since are added as usual.
    fn end_rebuild(&self) -> Result<()> {
        run(
            "UPDATE rag._totals_progress
             SET written = anew_before - 1, step_id = 9223372036854775807, anew_before = NULL, kept = NULL, folded = clock_timestamp()",
            &[],
        )?;
        Ok(())
    }

    /// True if there are steps that have not been added, for example because an older transaction is still in
    /// progress.
    fn is_behind(&self) -> Result<bool> {
        let arguments = [
            Arg::new(self.written),
            Arg::new(self.step),
            Arg::new(self.foreign_from),
            Arg::new(self.foreign_step),
        ];
        let rows = by_index(|| run(HAS_STEPS_BEHIND, &arguments))?;
        Ok(rows.boolean(0, 0) == Some(true))
    }
}

/// Selects whether there are steps after a position that have not been added.
const HAS_STEPS_BEHIND: &str = "
    SELECT EXISTS (SELECT FROM rag._steps s WHERE (s.written, s.id) > ($1, $2)
                     AND s.written < pg_snapshot_xmax(pg_current_snapshot())::text::bigint
                     AND (s.written < $3 OR s.id > $4 OR s.xmin::text::bigint = s.written & 4294967295))";

fn two_coordinators() -> Error {
    Error::internal("two coordinators add steps to reports at once")
}

/// Adds runs that have ended, and returns their number. Groups that cannot be added are left out and
/// recorded.
fn add_runs() -> Result<i64> {
    let statement = include_str!("../../sql/queries/rollup_runs.sql");
    let all = statement.replace("{groups}", "true");
    let limit = Arg::new(MAX_RUNS_PER_PASS);
    match in_subtransaction(|| run(&all, &[limit])) {
        Err(error) if report_gaps::is_of_a_group(&error) => {}
        added => return added.map(|rows| rows.int8(0, 0).unwrap_or(0)),
    }
    let groups = run(include_str!("../../sql/queries/rollup_run_groups.sql"), &[limit])?;
    let some = statement.replace("{groups}", &report_gaps::condition("r", 2));
    let arguments = |groups: &[Group]| [&[limit], report_gaps::arguments(groups).as_slice()].concat();
    let add = |groups: &[Group]| run(&some, &arguments(groups)).map(|_| ());
    let failed = report_gaps::add_each(&Group::read(&groups), &add)?;
    let names: Vec<Group> = failed.iter().map(|(group, _)| group.clone()).collect();
    let leave = include_str!("../../sql/queries/rollup_runs_left_out.sql")
        .replace("{groups}", &report_gaps::condition("r", 2));
    let left_out = Group::read(&run(&leave, &arguments(&names))?);
    let with_error = |group: Group| {
        let (_, error) = failed.iter().find(|(of, _)| of.is_same(&group))?;
        Some((group, error.clone()))
    };
    report_gaps::note("run", &left_out.into_iter().filter_map(with_error).collect::<Vec<_>>())?;
    Ok(groups.int8(0, 4).unwrap_or(0))
}

/// True if a transaction with a lower number is still in progress.
fn is_any_in_progress(next: u64) -> Result<bool> {
    let rows = run(
        "SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint < $1",
        &[Arg::new(next.cast_signed())],
    )?;
    Ok(rows.boolean(0, 0) == Some(true))
}

/// True if there was ever a step or a run. A restore sets the sequences last, so a restore in progress is not
/// noticed before its rows are complete.
fn has_begun() -> Result<bool> {
    let rows = run("SELECT is_called FROM rag._run_id UNION ALL SELECT is_called FROM rag._step_id", &[])?;
    Ok(rows.boolean(0, 0) == Some(true) || rows.boolean(1, 0) == Some(true))
}

fn start_rebuild() -> Result<Pass> {
    run("LOCK TABLE rag._totals_progress IN EXCLUSIVE MODE", &[])?;
    run(include_str!("../../sql/queries/rollup_rebuild.sql"), &[])?;
    Ok(Pass { more: true, more_later: true })
}

fn prune() -> Result<()> {
    if let Some(days) = settings::log_retention() {
        // Steps are dropped with the partition of their week. Imported steps of an old log are kept for the
        // retention time after their import.
        let old = "DELETE FROM rag._slow_step l
                   WHERE l.day < (now() AT TIME ZONE 'UTC')::date - $1 - 7
                     AND NOT EXISTS (SELECT FROM rag._steps s
                                     WHERE s.id = l.id AND s.started = l.started
                                       AND s.started < ((now() AT TIME ZONE 'UTC')::date - $1 - 7)::timestamp AT TIME ZONE 'UTC')";
        run(old, &[Arg::new(days)])?;
    }
    Ok(())
}
