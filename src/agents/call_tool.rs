//! A tool is called.

use crate::agent_log;
use crate::agents::log;
use crate::agents::run::Course;
use crate::tools::Tool;
use ragstone_core::agent::{CallState, CallUpdate, Event, ToolCall, run_usage};
use ragstone_pg::error::{Error, Result};
use ragstone_pg::switch_user::with_settings;
use std::time::Instant;

impl Course {
    /// Calls a tool with the current role's rights, as they are now. What goes wrong is told to the model; only what ends the
    /// statement is an error.
    pub fn act(&self, position: usize, call: &ToolCall) -> Result<(i64, Event)> {
        let began = log::Clock::start();
        let start = Instant::now();
        let (run, step) = (self.run.to_string(), agent_log::reserve()?);
        let tool = self.tools.iter().find(|tool| tool.name == call.name);
        let tool = self.timed(tool.cloned().ok_or_else(|| Error::internal("an unknown tool is called"))?);
        // What the tool searches and asks is a part of this step.
        let seen = with_settings(&[("rag.run", &run)], || {
            agent_log::within(self.run, step, || tool.call(&call.arguments))
        })?;
        let ms = start.elapsed().as_secs_f64() * 1e3;
        let state = CallState::Made { content: seen.content.clone(), is_error: seen.is_error };
        let parent = self.asked_for(position).or_else(|| self.thought());
        let step = log::made(self.run, step, call, parent, &seen, began.took(ms))?;
        Ok((step, Event::Called(CallUpdate { position, state, ms })))
    }

    /// The tool with no more time than the run has left.
    fn timed(&self, tool: Tool) -> Tool {
        match self.plan.limits.timeout_ms {
            Some(limit) => tool.within(limit.saturating_sub(run_usage(&self.events).ms as u64)),
            None => tool,
        }
    }

    /// Writes down that a call was refused.
    pub fn refuse(&self, position: usize, content: String, repeats: bool) -> Result<(i64, Event)> {
        let call = self.call(position);
        let step = log::refused(self.run, &call, self.thought(), &content)?;
        Ok((
            step,
            Event::Called(CallUpdate { position, state: CallState::Refused { content, repeats }, ms: 0.0 }),
        ))
    }

    /// Writes down that a call waits for approval.
    pub fn ask_for_approval(&self, position: usize) -> Result<(i64, Event)> {
        let step = log::waits(self.run, &self.call(position), self.thought())?;
        Ok((step, Event::Called(CallUpdate { position, state: CallState::Waiting, ms: 0.0 })))
    }

    /// A call of the model's last answer.
    fn call(&self, position: usize) -> ToolCall {
        let last = self.events.iter().rev().find_map(|event| match event {
            Event::Said(said) => Some(said),
            _ => None,
        });
        last.and_then(|said| said.calls.get(position).cloned()).unwrap_or_default()
    }

    /// The step by which approval was asked for this call.
    fn asked_for(&self, position: usize) -> Option<i64> {
        let pairs = self.events.iter().zip(&self.steps).rev();
        pairs.take_while(|(event, _)| !matches!(event, Event::Said(_))).find_map(
            |(event, step)| match event {
                Event::Called(called)
                    if called.position == position && called.state == CallState::Approved =>
                {
                    Some(*step)
                }
                _ => None,
            },
        )
    }
}
