//! Caches the runs that this session has started, or has found to belong to the current role. Looking up the
//! run for each step would take longer than writing the step.

use crate::agent_log::{run_not_found, send, tables};
use ragstone_pg::clock;
use ragstone_pg::error::Result;
use ragstone_pg::owner::Owner;
use ragstone_pg::spi::{Arg, connect, run as statement};
use ragstone_pg::transactions;
use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Once;
use std::time::Duration;

/// Maximum number of runs in a session's cache. When it is reached, the cache is cleared.
const MAX_SESSION_RUNS: usize = 1024;

/// Maximum wait for a run that another session has posted, and that is not in its table yet.
const MAX_ARRIVAL_WAIT: Duration = Duration::from_secs(5);

thread_local! {
    static SESSION_RUNS: RefCell<HashMap<i64, SessionRun>> = RefCell::new(HashMap::new());
}

/// A run that its role may log into from this session.
#[derive(Clone)]
pub struct SessionRun {
    /// The run's number.
    pub id: i64,
    /// The role to which the run belongs.
    pub role: Owner,
    /// The agent's name.
    pub agent: Rc<str>,
    /// When the run began, in microseconds since 1970.
    pub started_us: i64,
    /// The number of the last step that this session knows of.
    pub number: i32,
    /// True if the run outlives a rollback of the transaction that started it. It may not be in its table
    /// yet.
    pub autonomous: bool,
    /// The transaction that started the run, unless the run is autonomous.
    pub begun_in: Option<u64>,
}

/// Caches a run.
pub fn remember(run: SessionRun) {
    register_abort_callback();
    SESSION_RUNS.with_borrow_mut(|runs| {
        if runs.len() >= MAX_SESSION_RUNS {
            runs.clear();
        }
        runs.insert(run.id, run);
    });
}

/// A run of the current role.
///
/// # Errors
/// 42704 if there is no such run, or if it belongs to another role.
pub fn find(id: i64) -> Result<SessionRun> {
    find_and_count(id, 0)
}

/// A run of the current role, with the number of its next step.
///
/// # Errors
/// As [`find`].
pub fn next_step(id: i64) -> Result<SessionRun> {
    find_and_count(id, 1)
}

fn find_and_count(id: i64, steps: i32) -> Result<SessionRun> {
    let count = |run: &mut SessionRun| {
        run.number = run.number.saturating_add(steps);
        run.clone()
    };
    let cached =
        SESSION_RUNS.with_borrow_mut(|runs| runs.get_mut(&id).filter(|run| run.role.is_current()).map(count));
    if let Some(run) = cached {
        return Ok(run);
    }
    let run = count(&mut look_up(id)?);
    remember(run.clone());
    Ok(run)
}

/// True if the run has ended, in this session or in another one.
pub fn has_ended(run: &SessionRun) -> Result<bool> {
    connect(|| {
        tables::as_owner(|| {
            let ended = statement(
                "SELECT FROM rag._runs r WHERE r.id OPERATOR(pg_catalog.=) $1 AND r.started OPERATOR(pg_catalog.=) $2
                                           AND r.finished IS NOT NULL",
                &[Arg::new(run.id), Arg::timestamptz(run.started_us)],
            )?;
            Ok(ended.count > 0)
        })
    })
}

fn look_up(id: i64) -> Result<SessionRun> {
    if let Some(run) = in_table(id)? {
        return Ok(run);
    }
    // Another session may have just posted it, so that it is not in the table yet.
    send::wait_for(MAX_ARRIVAL_WAIT, || in_table(id))?.ok_or_else(|| run_not_found(id))
}

fn in_table(id: i64) -> Result<Option<SessionRun>> {
    let role = Owner::current()?;
    connect(|| {
        tables::as_owner(|| {
            let rows = statement(
                include_str!("../../sql/queries/run.sql"),
                &[Arg::new(id), Arg::name(role.name())],
            )?;
            let (Some(agent), Some(started)) = (rows.text(0, 0), rows.int8(0, 1)) else {
                return Ok(None);
            };
            let started_us = clock::from_postgres(started).unwrap_or_default();
            let number = rows.int4(0, 2).unwrap_or_default();
            Ok(Some(SessionRun {
                id,
                role,
                agent: agent.into(),
                started_us,
                number,
                autonomous: false,
                begun_in: None,
            }))
        })
    })
}

/// After a rollback only autonomous runs are known to exist: the transaction may have started the others.
fn register_abort_callback() {
    static REGISTERED: Once = Once::new();
    REGISTERED.call_once(|| {
        transactions::on_abort(|| SESSION_RUNS.with_borrow_mut(|runs| runs.retain(|_, run| run.autonomous)));
    });
}
