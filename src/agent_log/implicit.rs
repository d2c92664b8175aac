//! Steps that Ragstone's own functions log while the session has a current run.

use crate::agent_log::session::SessionRun;
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
    /// The run, and the step of it that is being executed.
    static CURRENT_STEP: Cell<Option<(i64, i64)>> = const { Cell::new(None) };

    /// The run that the last warning was about.
    static WARNED_RUN: Cell<i64> = const { Cell::new(0) };

    /// The run that was last found not to have ended, and the start time of the transaction that found it.
    static GOES_ON: Cell<(i64, i64)> = const { Cell::new((0, 0)) };
}

/// The result of a step, for its row.
#[derive(Debug, Default)]
pub struct StepResult {
    /// The output of the step.
    pub output: Option<Value>,
    /// Tokens of the prompt.
    pub input_tokens: Option<i64>,
    /// Tokens of the answer.
    pub output_tokens: Option<i64>,
    /// Cost in the currency of the prices.
    pub cost: Option<f64>,
}

/// Runs `work` as a step of the session's current run, if there is one. `new` describes the step, `result`
/// what it returned. A failure is logged as well; that entry is kept if the failure does not end the
/// transaction, or if the log is autonomous.
///
/// Nothing is logged in a read-only transaction or on a standby.
pub fn step<'a, T>(
    new: impl FnOnce() -> NewStep<'a>,
    work: impl FnOnce() -> Result<T>,
    result: impl FnOnce(&T) -> StepResult,
) -> Result<T> {
    let Some(open) = OpenStep::begin()? else { return work() };
    let autonomous = settings::log_durability() == LogDurability::Autonomous;
    // After a PostgreSQL error no further statement can run, unless a subtransaction is rolled back.
    let done = open.within(|| if autonomous { in_subtransaction(work) } else { work() });
    open.end(new, &done, result)?;
    done
}

/// A step of the session's current run that has begun. It may last over several calls from SQL.
pub struct OpenStep {
    run: i64,
    id: i64,
    started_us: i64,
    clock: Instant,
}

impl OpenStep {
    /// Begins a step, if there is a run that can be logged into.
    pub fn begin() -> Result<Option<Self>> {
        let Some(run) = ours()? else { return Ok(None) };
        Ok(Some(Self { run, id: tables::reserve()?, started_us: clock::now(), clock: Instant::now() }))
    }

    /// Runs `work` as a part of the step.
    pub fn within<T>(&self, work: impl FnOnce() -> T) -> T {
        within(self.run, self.id, work)
    }

    /// Logs the step with its result, as [`step`] does.
    ///
    /// # Errors
    /// The error of logging it, not that of the step.
    pub fn end<'a, T>(
        self,
        new: impl FnOnce() -> NewStep<'a>,
        done: &Result<T>,
        result: impl FnOnce(&T) -> StepResult,
    ) -> Result<()> {
        let duration_ms = Some(self.clock.elapsed().as_secs_f64() * 1000.0);
        let new = || NewStep { id: Some(self.id), started_us: Some(self.started_us), duration_ms, ..new() };
        log_outcome(self.run, new, done, result)
    }
}

/// Logs work that is done already, as [`step`] does.
///
/// # Errors
/// The error of logging it, not that of the step.
pub fn step_done<'a, T>(
    new: impl FnOnce() -> NewStep<'a>,
    done: &Result<T>,
    result: impl FnOnce(&T) -> StepResult,
) -> Result<()> {
    ours()?.map_or(Ok(()), |run| log_outcome(run, new, done, result))
}

fn log_outcome<'a, T>(
    run: i64,
    new: impl FnOnce() -> NewStep<'a>,
    done: &Result<T>,
    result: impl FnOnce(&T) -> StepResult,
) -> Result<()> {
    let parent = CURRENT_STEP.get().filter(|(of, _)| *of == run).map(|(_, step)| step);
    match done {
        Ok(done) => {
            let StepResult { output, input_tokens, output_tokens, cost } = result(done);
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

/// Runs `work` as a part of a step, which becomes the parent of all steps that `work` logs.
pub fn within<T>(run: i64, step: i64, work: impl FnOnce() -> T) -> T {
    let _restore = RestoreCurrentStep(CURRENT_STEP.replace(Some((run, step))));
    work()
}

/// The session's current run, if steps can be logged into it. A run that is not the current role's, or that
/// has ended, causes one warning.
fn ours() -> Result<Option<i64>> {
    let Some(run) = current().filter(|_| transactions::may_write()) else { return Ok(None) };
    // A job that waits for an answer is executed again later, and would be logged twice.
    if replay::is_active() && settings::log_durability() == LogDurability::Autonomous {
        return Ok(None);
    }
    let reason = match session::find(run) {
        Ok(found) if !has_ended(&found)? => return Ok(Some(run)),
        Ok(_) => format!("run {run} has ended"),
        Err(error) => error.message,
    };
    if WARNED_RUN.replace(run) != run {
        Error::warning(format!("steps are not logged: {reason}"))
            .hint("Set rag.run to 0 or to a run of the current role that has not ended.")
            .notice(PgLogLevel::WARNING);
    }
    Ok(None)
}

/// True if the run has ended, looked up once for each transaction. Another session may have ended it. Also, a
/// pooler may give each transaction another connection: the setting then stays with a connection that other
/// clients use afterwards.
fn has_ended(run: &SessionRun) -> Result<bool> {
    let seen = (run.id, clock::transaction_start());
    if GOES_ON.get() == seen {
        return Ok(false);
    }
    let has_ended = session::has_ended(run)?;
    if !has_ended {
        GOES_ON.set(seen);
    }
    Ok(has_ended)
}

/// Makes the session look up its current run again, after it has ended a run.
pub fn forget_lookup() {
    GOES_ON.take();
}

/// Makes the enclosing step current again, even if the work panics.
struct RestoreCurrentStep(Option<(i64, i64)>);

impl Drop for RestoreCurrentStep {
    fn drop(&mut self) {
        CURRENT_STEP.set(self.0);
    }
}
