//! The tool calls of a run: calls that are made, calls that are refused, and calls that wait for approval.

use crate::agent_log;
use crate::agents::log;
use crate::agents::run::AgentRun;
use crate::tools::Tool;
use ragstone_core::agent::{CallState, CallUpdate, Event, ToolCall, run_usage};
use ragstone_pg::error::{Error, Result};
use ragstone_pg::switch_user::with_settings;

impl AgentRun {
    /// Calls a tool with the current rights of the current role. An error of the tool is shown to the model;
    /// only an error that ends the statement is returned.
    pub fn call_tool(&self, position: usize, call: &ToolCall) -> Result<(i64, Event)> {
        let start = log::StartTime::now();
        let (run, step) = (self.id.to_string(), agent_log::reserve()?);
        let tool = self.tools.iter().find(|tool| tool.name == call.name);
        let tool = self.limited(tool.cloned().ok_or_else(|| Error::internal("an unknown tool is called"))?);
        // Searches and model calls of the tool are logged as parts of this step.
        let observation = with_settings(&[("rag.run", &run)], || {
            agent_log::within(self.id, step, || tool.call(&call.arguments))
        })?;
        let timing = start.timing();
        let ms = timing.duration_ms;
        let state = CallState::Made { content: observation.content.clone(), is_error: observation.is_error };
        let parent = self.approval_step(position).or_else(|| self.last_reply_step());
        let step = log::tool_call(self.id, step, call, parent, &observation, timing)?;
        Ok((step, Event::Called(CallUpdate { position, state, ms })))
    }

    /// The tool, with a timeout no longer than the remaining time of the run.
    fn limited(&self, tool: Tool) -> Tool {
        match self.spec.limits.timeout_ms {
            Some(limit) => tool.within(limit.saturating_sub(run_usage(&self.events).ms as u64)),
            None => tool,
        }
    }

    /// Logs a refused call.
    pub fn refuse_call(&self, position: usize, content: String, repeats: bool) -> Result<(i64, Event)> {
        let call = self.call(position);
        let step = log::refused_call(self.id, &call, self.last_reply_step(), &content)?;
        Ok((
            step,
            Event::Called(CallUpdate { position, state: CallState::Refused { content, repeats }, ms: 0.0 }),
        ))
    }

    /// Logs a call that waits for approval.
    pub fn ask_for_approval(&self, position: usize) -> Result<(i64, Event)> {
        let step = log::waiting_call(self.id, &self.call(position), self.last_reply_step())?;
        Ok((step, Event::Called(CallUpdate { position, state: CallState::Waiting, ms: 0.0 })))
    }

    /// A call in the model's last reply.
    fn call(&self, position: usize) -> ToolCall {
        let last = self.events.iter().rev().find_map(|event| match event {
            Event::Said(reply) => Some(reply),
            _ => None,
        });
        last.and_then(|reply| reply.calls.get(position).cloned()).unwrap_or_default()
    }

    /// The step in which a call waited for its approval, if it needed one.
    fn approval_step(&self, position: usize) -> Option<i64> {
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
