//! `rag.run_agent`: a run in the caller's transaction.

use crate::agent_log;
use crate::agents::Finished;
use crate::agents::log;
use crate::agents::log::Clock;
use crate::agents::request::Order;
use crate::agents::run::Course;
use ragstone_core::agent::{Action, Event, ModelRequest, StopReason, next};
use ragstone_core::provider::Completion;
use ragstone_pg::error::{Error, Result};
use ragstone_pg::switch_user::with_settings;
use std::cell::Cell;
use std::time::Instant;

/// Most runs within runs: an agent may be a tool of another, and of itself.
const DEEPEST: u32 = 5;

thread_local! {
    /// Runs under way, each a tool of the one before.
    static DEPTH: Cell<u32> = const { Cell::new(0) };
}

/// Runs an agent until it has an answer or has met a limit. What the tools did is the caller's transaction's.
///
/// # Errors
/// Those of [`Course::begin`]; what the provider or the engine says; a cancel. They undo what the tools did, as errors do.
pub fn run_agent(order: &Order) -> Result<Finished> {
    let _depth = Depth::enter()?;
    // The session's own run, if it has one, is its current one again afterwards.
    let current = agent_log::current().map_or_else(String::new, |run| run.to_string());
    with_settings(&[("rag.run", &current)], || run_within(order))
}

fn run_within(order: &Order) -> Result<Finished> {
    let mut course = Course::begin(order, None)?;
    match course.run_through() {
        Ok(finished) => Ok(finished),
        Err(error) => {
            // Only a log that outlives the transaction shows it.
            let failed = course.finished("failed", None, Some(error.clone()));
            let _ = log::failed(course.run, &error).and_then(|_| log::finish(&failed));
            Err(error)
        }
    }
}

impl Course {
    fn run_through(&mut self) -> Result<Finished> {
        loop {
            let (step, event) = match next(&self.plan, &self.events) {
                Action::Ask(ask) => match self.think(&ask)? {
                    Ok(thought) => thought,
                    Err(stop) => return self.stopped(&stop),
                },
                Action::Call { position, call } => self.act(position, &call)?,
                Action::Refuse { position, content, repeats } => self.refuse(position, content, repeats)?,
                Action::Answer(answer) => return self.answered(answer),
                Action::Stop(stop) => return self.stopped(&stop),
                // A tool that needed no approval when the run began does so since it was replaced.
                Action::AskForApproval(_) | Action::Wait => {
                    return Err(Error::internal("a function cannot wait for approval"));
                }
            };
            self.add(step, event);
        }
    }

    fn think(&self, ask: &ModelRequest) -> Result<Result<(i64, Event), StopReason>> {
        let remote = self.remote()?;
        let (began, start) = (Clock::start(), Instant::now());
        let answer = remote.complete(self.prompt(ask), Self::options(&remote, ask));
        let ms = start.elapsed().as_secs_f64() * 1e3;
        let completion: Completion = match answer {
            Ok(completion) => completion,
            Err(_) if self.is_late(ask, ms) => return Ok(Err(self.late())),
            Err(error) => return Err(error),
        };
        let said = self.said(completion, ask.form, ms)?;
        let model = format!("{}/{}", remote.target.name, remote.model);
        let step = log::said(self.run, &model, ask.messages.len(), &said, began.took(ms))?;
        Ok(Ok((step, Event::Said(said))))
    }

    /// Whether the run has no more time, so that the provider's failure is no wonder.
    pub fn is_late(&self, ask: &ModelRequest, ms: f64) -> bool {
        ask.timeout_ms.is_some_and(|left| ms >= left as f64)
    }

    /// The end of a run that has no more time.
    pub fn late(&self) -> StopReason {
        StopReason::Time(self.plan.limits.timeout_ms.unwrap_or_default())
    }
}

/// Counts a run as under way, also when an error ends it.
struct Depth;

impl Depth {
    fn enter() -> Result<Self> {
        if DEPTH.get() >= DEEPEST {
            return Err(Error::too_complex(format!("agents call each other more than {DEEPEST} deep"))
                .hint("Do not give an agent a tool that runs the agent."));
        }
        DEPTH.set(DEPTH.get() + 1);
        Ok(Self)
    }
}

impl Drop for Depth {
    fn drop(&mut self) {
        DEPTH.set(DEPTH.get() - 1);
    }
}
