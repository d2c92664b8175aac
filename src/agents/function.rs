//! `rag.run_agent`: a run in the caller's transaction.

use crate::agent_log;
use crate::agents::log;
use crate::agents::log::StartTime;
use crate::agents::request::RunRequest;
use crate::agents::result::RunResult;
use crate::agents::run::AgentRun;
use ragstone_core::agent::{Action, Event, ModelRequest, StopReason, next};
use ragstone_pg::error::{Error, Result};
use ragstone_pg::switch_user::with_settings;
use std::cell::Cell;

/// Maximum nesting of runs: an agent may be a tool of another agent, or of itself.
const MAX_NESTED_RUNS: u32 = 5;

thread_local! {
    /// Number of nested runs in progress: each is a tool call of the previous one.
    static NESTED_RUNS: Cell<u32> = const { Cell::new(0) };
}

/// Runs an agent until it has an answer or reaches a limit. The effects of its tools belong to the caller's
/// transaction.
///
/// # Errors
/// Errors of [`AgentRun::begin`], of the provider or the engine, and a cancel. They roll back the effects of
/// the tools.
pub fn run_agent(request: &RunRequest) -> Result<RunResult> {
    let _nested = NestedRun::enter()?;
    // After the call the session's own current run, if any, is restored.
    let current = agent_log::current().map_or_else(String::new, |run| run.to_string());
    with_settings(&[("rag.run", &current)], || run_within(request))
}

fn run_within(request: &RunRequest) -> Result<RunResult> {
    let mut run = AgentRun::begin(request, None)?;
    match run.run_through() {
        Ok(result) => Ok(result),
        Err(error) => {
            // The entries survive only if the log is written in another transaction.
            let failed = run.result("failed", None, Some(error.clone()));
            let _ = log::error(run.id, &error).and_then(|_| log::finish(&failed));
            Err(error)
        }
    }
}

impl AgentRun {
    fn run_through(&mut self) -> Result<RunResult> {
        loop {
            let (step, event) = match next(&self.spec, &self.events) {
                Action::Ask(ask) => match self.ask_model(&ask)? {
                    Ok(reply) => reply,
                    Err(stop) => return self.stop(&stop),
                },
                Action::Call { position, call } => self.call_tool(position, &call)?,
                Action::Refuse { position, content, repeats } => {
                    self.refuse_call(position, content, repeats)?
                }
                Action::Answer(answer) => return self.finish(answer),
                Action::Stop(stop) => return self.stop(&stop),
                // The tool was replaced by one that needs approval after the run began.
                Action::AskForApproval(_) | Action::Wait => {
                    return Err(Error::internal("a function cannot wait for approval"));
                }
            };
            self.add(step, event);
        }
    }

    fn ask_model(&self, ask: &ModelRequest) -> Result<Result<(i64, Event), StopReason>> {
        let remote = self.remote()?;
        let start = StartTime::now();
        let answer = remote.complete(self.prompt(ask), Self::call_options(&remote, ask));
        let timing = start.timing();
        let completion = match answer {
            Ok(completion) => completion,
            Err(_) if self.is_out_of_time(ask, timing.duration_ms) => return Ok(Err(self.out_of_time())),
            Err(error) => return Err(error),
        };
        let reply = self.read_reply(completion, ask.form, timing.duration_ms)?;
        let step = log::reply(self.id, &remote.name(), ask.messages.len(), &reply, timing)?;
        Ok(Ok((step, Event::Said(reply))))
    }
}

/// Counts a run as in progress until it is dropped, even if an error ends the run.
struct NestedRun;

impl NestedRun {
    fn enter() -> Result<Self> {
        if NESTED_RUNS.get() >= MAX_NESTED_RUNS {
            return Err(Error::too_complex(format!(
                "agents call each other more than {MAX_NESTED_RUNS} deep"
            ))
            .hint("Do not give an agent a tool that runs the agent."));
        }
        NESTED_RUNS.set(NESTED_RUNS.get() + 1);
        Ok(Self)
    }
}

impl Drop for NestedRun {
    fn drop(&mut self) {
        NESTED_RUNS.set(NESTED_RUNS.get() - 1);
    }
}
