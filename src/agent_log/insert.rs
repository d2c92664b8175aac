//! Writes entries into the tables of the log, many per statement, in the open transaction.

use crate::agent_log::vocabulary::MAX_AMOUNT;
use pgrx::datum::IntoDatum;
use pgrx::pg_sys::{self, Datum};
use ragstone_core::log::{Entry, RunEnd, RunStart, Step, without_nul};
use ragstone_pg::bytes::jsonb_datum;
use ragstone_pg::catalogue::extension_relation_owner;
use ragstone_pg::clock;
use ragstone_pg::error::Result;
use ragstone_pg::own_tables::with_safe_search_path;
use ragstone_pg::rows::Rows;
use ragstone_pg::spi::{Arg, connect, run};
use ragstone_pg::switch_user::as_owner;
use ragstone_pg::text::{replace_unencodable, utf8_datum};
use ragstone_pg::transactions;
use std::collections::{HashMap, HashSet};

/// The work that remains after entries were written.
#[derive(Debug, Default)]
pub struct Unwritten {
    /// Ends of runs that are not in the table, or that another transaction has locked.
    pub ends: Vec<RunEnd>,
    /// True if the transaction of a caller is still in progress.
    pub has_pending_callers: bool,
}

/// Writes entries as the owner of the tables: runs, then steps, then the ends of runs. A run or step that
/// exists is not written again; if a run has several ends, the last one is written. Characters that the
/// database's encoding lacks become question marks. Texts must not contain NUL.
pub fn write(entries: &[Entry]) -> Result<Unwritten> {
    let (mut starts, mut steps, mut ends) = (Vec::new(), Vec::new(), Vec::new());
    for entry in entries {
        match entry {
            Entry::Start(start) => starts.push(start),
            Entry::Step(step) => steps.push(step),
            Entry::End(end) => ends.push(end),
        }
    }
    with_safe_search_path(|| {
        connect(|| {
            as_owner(extension_relation_owner(c"_steps")?, || {
                let callers = Callers::of(&starts, &steps)?;
                if !starts.is_empty() {
                    run(include_str!("../../sql/queries/write_runs.sql"), &run_columns(&starts, &callers)?)?;
                }
                if !steps.is_empty() {
                    run(include_str!("../../sql/queries/write_steps.sql"), &step_columns(&steps, &callers)?)?;
                }
                let has_pending_callers = callers.note_pending_callers(&starts, &steps)?;
                Ok(Unwritten { ends: finish_runs(&ends)?, has_pending_callers })
            })
        })
    })
}

/// The states of the transactions that logged the entries, by transaction number.
struct Callers(HashMap<u64, Caller>);

#[derive(Clone, Copy, PartialEq, Eq)]
enum Caller {
    Committed,
    RolledBack,
    InProgress,
    /// The transaction is too old for the server to know its state.
    Unknown,
}

impl Callers {
    fn of(starts: &[&RunStart], steps: &[&Step]) -> Result<Self> {
        let starts = starts.iter().filter_map(|start| start.caller_xid);
        let xids: HashSet<_> = starts.chain(steps.iter().filter_map(|step| step.caller_xid)).collect();
        if xids.is_empty() {
            return Ok(Self(HashMap::new()));
        }
        let rows = run(
            "SELECT g.xid, CASE pg_xact_status(g.xid::text::xid8) WHEN 'committed' THEN 0 WHEN 'aborted' THEN 1
                           WHEN 'in progress' THEN 2 END
             FROM unnest($1) g (xid)",
            &[Arg::int8s(xids.into_iter().map(u64::cast_signed))],
        )?;
        Ok(Self((0..rows.count).filter_map(|row| Self::read(&rows, row)).collect()))
    }

    fn read(rows: &Rows, row: usize) -> Option<(u64, Caller)> {
        let caller = match rows.int4(row, 1) {
            Some(0) => Caller::Committed,
            Some(1) => Caller::RolledBack,
            Some(_) => Caller::InProgress,
            None => Caller::Unknown,
        };
        Some((rows.int8(row, 0)?.cast_unsigned(), caller))
    }

    fn rolled_back(&self, xid: Option<u64>) -> Option<bool> {
        match self.0.get(&xid?)? {
            Caller::Committed => Some(false),
            Caller::RolledBack => Some(true),
            Caller::InProgress | Caller::Unknown => None,
        }
    }

    fn is_in_progress(&self, xid: Option<u64>) -> bool {
        xid.is_some_and(|xid| self.0.get(&xid) == Some(&Caller::InProgress))
    }

    /// Records the entries whose caller's transaction is in progress, for [`super::writer`] to update later.
    /// Returns true if there are any.
    fn note_pending_callers(&self, starts: &[&RunStart], steps: &[&Step]) -> Result<bool> {
        let starts = starts.iter().map(|start| (start.caller_xid, true, start.id, start.started_us));
        let steps = steps.iter().map(|step| (step.caller_xid, false, step.id, step.started_us));
        let rows: Vec<_> = starts.chain(steps).filter(|(xid, ..)| self.is_in_progress(*xid)).collect();
        if rows.is_empty() {
            return Ok(false);
        }
        run(
            "INSERT INTO rag._uncommitted_row (caller_xid, is_run, id, started, server)
             SELECT u.caller_xid, u.is_run, u.id, u.started, s.server
             FROM unnest($1, $2, $3, $4) u (caller_xid, is_run, id, started) CROSS JOIN rag._server s",
            &[
                Arg::int8s(rows.iter().map(|row| row.0.unwrap_or_default().cast_signed())),
                Arg::array(pg_sys::BOOLOID, rows.iter().map(|row| row.1.into_datum()).collect()),
                Arg::int8s(rows.iter().map(|row| row.2)),
                moments(&rows, |row| row.3),
            ],
        )?;
        Ok(true)
    }
}

fn run_columns(starts: &[&RunStart], callers: &Callers) -> Result<[Arg; 13]> {
    Ok([
        int8s(starts, |start| Some(start.id)),
        texts(starts, |start| Some(&start.owner)),
        texts(starts, |start| Some(&start.agent)),
        int8s(starts, |start| start.session),
        int8s(starts, |start| start.job),
        jsonbs(starts, |start| start.input.as_deref())?,
        texts(starts, |start| start.trace_id.as_deref()),
        texts(starts, |start| start.parent_span_id.as_deref()),
        jsonbs(starts, |start| start.attributes.as_deref())?,
        moments(starts, |start| start.started_us),
        int8s(starts, |start| start.caller_xid.map(u64::cast_signed)),
        array(pg_sys::BOOLOID, starts, |start| callers.rolled_back(start.caller_xid).into_datum()),
        Arg::new(transactions::top().cast_signed()),
    ])
}

/// Limits a number of tokens to the valid range: logs of other programs may contain any number, and one
/// invalid line must not prevent the others from being written.
fn bounded_tokens(tokens: i64) -> i64 {
    tokens.clamp(0, MAX_AMOUNT as i64)
}

fn step_columns(steps: &[&Step], callers: &Callers) -> Result<[Arg; 23]> {
    Ok([
        int8s(steps, |step| Some(step.id)),
        int8s(steps, |step| Some(step.run_id)),
        array(pg_sys::INT4OID, steps, |step| step.number.into_datum()),
        int8s(steps, |step| step.parent_id),
        texts(steps, |step| Some(&step.owner)),
        texts(steps, |step| Some(&step.agent)),
        texts(steps, |step| Some(&step.kind)),
        texts(steps, |step| step.name.as_deref()),
        jsonbs(steps, |step| step.input.as_deref())?,
        jsonbs(steps, |step| step.output.as_deref())?,
        texts(steps, |step| step.model.as_deref()),
        int8s(steps, |step| step.input_tokens.map(bounded_tokens)),
        int8s(steps, |step| step.output_tokens.map(bounded_tokens)),
        float8s(steps, |step| step.cost.map(|cost| cost.clamp(0.0, MAX_AMOUNT))),
        moments(steps, |step| step.started_us),
        float8s(steps, |step| step.duration_ms),
        texts(steps, |step| Some(&step.status)),
        texts(steps, |step| step.error.as_deref()),
        texts(steps, |step| step.sqlstate.as_deref()),
        jsonbs(steps, |step| step.attributes.as_deref())?,
        int8s(steps, |step| step.caller_xid.map(u64::cast_signed)),
        array(pg_sys::BOOLOID, steps, |step| callers.rolled_back(step.caller_xid).into_datum()),
        Arg::new(transactions::top().cast_signed()),
    ])
}

/// Ends runs. Returns the ends of runs that do not exist, or that another transaction has locked.
fn finish_runs(ends: &[&RunEnd]) -> Result<Vec<RunEnd>> {
    // The last end of each run.
    let ends: HashMap<i64, &RunEnd> = ends.iter().map(|end| (end.id, *end)).collect();
    if ends.is_empty() {
        return Ok(Vec::new());
    }
    let mut ends: Vec<&RunEnd> = ends.into_values().collect();
    ends.sort_unstable_by_key(|end| end.id);
    let pauses = |end: &RunEnd| matches!(end.status.as_str(), "running" | "waiting");
    let rows = run(
        include_str!("../../sql/queries/finish_runs.sql"),
        &[
            int8s(&ends, |end| Some(end.id)),
            texts(&ends, |end| Some(&end.status)),
            jsonbs(&ends, |end| end.output.as_deref())?,
            texts(&ends, |end| end.error.as_deref()),
            texts(&ends, |end| end.sqlstate.as_deref()),
            array(pg_sys::TIMESTAMPTZOID, &ends, |end| {
                (!pauses(end)).then(|| Datum::from(clock::to_postgres(end.finished_us)))
            }),
        ],
    )?;
    let done: HashSet<i64> = (0..rows.count).filter_map(|row| rows.int8(row, 0)).collect();
    Ok(ends.into_iter().filter(|end| !done.contains(&end.id)).cloned().collect())
}

fn array<T>(element: pg_sys::Oid, rows: &[T], value: impl Fn(&T) -> Option<Datum>) -> Arg {
    Arg::array(element, rows.iter().map(value).collect())
}

fn int8s<T>(rows: &[T], value: impl Fn(&T) -> Option<i64>) -> Arg {
    array(pg_sys::INT8OID, rows, |row| value(row).into_datum())
}

fn float8s<T>(rows: &[T], value: impl Fn(&T) -> Option<f64>) -> Arg {
    array(pg_sys::FLOAT8OID, rows, |row| value(row).into_datum())
}

fn moments<T>(rows: &[T], value: impl Fn(&T) -> i64) -> Arg {
    array(pg_sys::TIMESTAMPTZOID, rows, |row| Some(Datum::from(clock::to_postgres(value(row)))))
}

fn texts<'a, T: 'a>(rows: &'a [T], value: impl Fn(&'a T) -> Option<&'a str>) -> Arg {
    let text = |row: &'a T| value(row).map(|text| utf8_datum(&replace_unencodable(text)));
    Arg::array(pg_sys::TEXTOID, rows.iter().map(text).collect())
}

/// The values are converted here, because a cast in the statement would copy each text twice.
fn jsonbs<'a, T: 'a>(rows: &'a [T], value: impl Fn(&'a T) -> Option<&'a str>) -> Result<Arg> {
    let jsonb =
        |row: &'a T| value(row).map(|json| jsonb_datum(&replace_unencodable(without_nul(json)))).transpose();
    Ok(Arg::array(pg_sys::JSONBOID, rows.iter().map(jsonb).collect::<Result<_>>()?))
}
