//! Steps that Ragstone's own functions log of themselves, while a run is the session's current one.

use crate::agent_log::{NewStep, current, log, session, tables};
use pgrx::PgLogLevel;
use ragstone_client::engine::replay;
use ragstone_client::settings;
use ragstone_client::settings::LogDurability;
use ragstone_pg::attempt::in_subtransaction;
use ragstone_pg::clock;
use ragstone_pg::error::{Error, Result};
use ragstone_pg::transactions;
use serde_json::Value;
use std::cell::Cell;
use std::time::Instant;

thread_local! {
    /// The run, and the step of it that is under way.
    static UNDER_WAY: Cell<Option<(i64, i64)>> = const { Cell::new(None) };

    /// The run of which it was said last that it is none of the current role's.
    static WARNED: Cell<i64> = const { Cell::new(0) };
}

/// What has come of a step.
#[derive(Debug, Default)]
pub struct Said {
    /// What came out.
    pub output: Option<Value>,
    /// Tokens of the prompt.
    pub input_tokens: Option<i64>,
    /// Tokens of the answer.
    pub output_tokens: Option<i64>,
    /// In the currency of the prices.
    pub cost: Option<f64>,
}

/// Does `work` as a step of the session's current run, if there is one; `new` says what it is, `said` what has come of it. A
/// failure is logged as well, which stays where the failure does not end the transaction, or the log is autonomous.
///
/// Reading never writes: nothing is logged in a transaction that must not write, or on a standby.
pub fn step<'a, T>(
    new: impl FnOnce() -> NewStep<'a>,
    work: impl FnOnce() -> Result<T>,
    said: impl FnOnce(&T) -> Said,
) -> Result<T> {
    let Some(open) = OpenStep::begin()? else { return work() };
    let autonomous = settings::log_durability() == LogDurability::Autonomous;
    // After an error that Postgres raises nothing can be looked up any more, unless what it broke is rolled back.
    let done = open.within(|| if autonomous { in_subtransaction(work) } else { work() });
    open.end(new, &done, said)?;
    done
}

/// A step of the session's current run that is under way, perhaps over several calls from SQL.
pub struct OpenStep {
    run: i64,
    id: i64,
    started_us: i64,
    clock: Instant,
}

impl OpenStep {
    /// Begins one, where there is a run that can be logged into.
    pub fn begin() -> Result<Option<Self>> {
        let Some(run) = ours() else { return Ok(None) };
        Ok(Some(Self { run, id: tables::reserve()?, started_us: clock::now(), clock: Instant::now() }))
    }

    /// Does `work` as a part of it.
    pub fn within<T>(&self, work: impl FnOnce() -> T) -> T {
        within(self.run, self.id, work)
    }

    /// Logs it with what has come of it, as [`step`] does.
    ///
    /// # Errors
    /// What keeps it from being logged.
    pub fn end<'a, T>(
        self,
        new: impl FnOnce() -> NewStep<'a>,
        done: &Result<T>,
        said: impl FnOnce(&T) -> Said,
    ) -> Result<()> {
        let duration_ms = Some(self.clock.elapsed().as_secs_f64() * 1000.0);
        let new = || NewStep { id: Some(self.id), started_us: Some(self.started_us), duration_ms, ..new() };
        log_outcome(self.run, new, done, said)
    }
}

/// Logs what was done already, as [`step`] does.
///
/// # Errors
/// What keeps it from being logged.
pub fn step_done<'a, T>(
    new: impl FnOnce() -> NewStep<'a>,
    done: &Result<T>,
    said: impl FnOnce(&T) -> Said,
) -> Result<()> {
    ours().map_or(Ok(()), |run| log_outcome(run, new, done, said))
}

fn log_outcome<'a, T>(
    run: i64,
    new: impl FnOnce() -> NewStep<'a>,
    done: &Result<T>,
    said: impl FnOnce(&T) -> Said,
) -> Result<()> {
    let parent = UNDER_WAY.get().filter(|(of, _)| *of == run).map(|(_, step)| step);
    match done {
        Ok(done) => {
            let Said { output, input_tokens, output_tokens, cost } = said(done);
            log(run, NewStep { parent, output, input_tokens, output_tokens, cost, ..new() })?;
        }
        Err(error) if !error.ends_statement() && !replay::is_active() => {
            let (code, message) = (error.code(), error.message.as_str());
            let failed = NewStep { parent, status: Some("error"), error: Some(message), ..new() };
            log(run, NewStep { sqlstate: Some(&code), ..failed })?;
        }
        Err(_) => {}
    }
    Ok(())
}

/// Does `work` as a part of a step: what logs itself meanwhile has this step as its parent.
pub fn within<T>(run: i64, step: i64, work: impl FnOnce() -> T) -> T {
    let _under_way = UnderWay(UNDER_WAY.replace(Some((run, step))));
    work()
}

/// The session's current run, where steps can be logged into it. Where it is none of the current role's it is said once.
fn ours() -> Option<i64> {
    let run = current().filter(|_| transactions::may_write())?;
    // A job that waits for an answer is called again, and would be logged twice.
    if replay::is_active() && settings::log_durability() == LogDurability::Autonomous {
        return None;
    }
    let Err(error) = session::find(run) else { return Some(run) };
    if WARNED.replace(run) != run {
        Error::warning(format!("steps are not logged: {}", error.message))
            .hint("SET rag.run = 0, or to a run of the current role.")
            .notice(PgLogLevel::WARNING);
    }
    None
}

/// Puts the step back that was under way before, however the work ends.
struct UnderWay(Option<(i64, i64)>);

impl Drop for UnderWay {
    fn drop(&mut self) {
        UNDER_WAY.set(self.0);
    }
}
