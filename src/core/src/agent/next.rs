//! The state machine: from the events of a run to its next action.

use super::action::{Action, ModelRequest, StopReason};
use super::conversation::messages;
use super::event::{CallState, Event, ModelReply, ReplyFormat, ToolCall};
use super::repeats::{MAX_IDENTICAL_CALLS, Verdict, verdict};
use super::spec::{AgentSpec, ToolSpec};
use super::usage::{RunUsage, run_usage};
use crate::provider::Message;

/// Maximum number of calls of one reply; further calls are refused.
const MAX_CALLS_PER_REPLY: usize = 64;

/// Estimated bytes of a token, for the part of a prompt that no provider has counted yet.
const BYTES_PER_TOKEN: u64 = 4;

/// The action that follows from these events.
pub fn next(plan: &AgentSpec, events: &[Event]) -> Action {
    let last = events.iter().enumerate().rev().find_map(|(at, event)| match event {
        Event::Said(said) => Some((at, said)),
        _ => None,
    });
    match last {
        // Without tools the first reply can already be required to meet the schema.
        None => ask(plan, events, if plan.tools.is_empty() { plan.form() } else { ReplyFormat::Free }),
        Some((_, said)) if said.calls.is_empty() => answer(plan, events, said),
        Some((at, said)) => calls(plan, events, at, said),
    }
}

impl AgentSpec {
    fn form(&self) -> ReplyFormat {
        if self.schema.is_some() { ReplyFormat::Schema } else { ReplyFormat::Free }
    }

    fn tool(&self, name: &str) -> Option<&ToolSpec> {
        self.tools.iter().find(|tool| tool.name == name)
    }

    /// The first limit that is used up.
    fn over(&self, spent: &RunUsage) -> Option<StopReason> {
        let tokens = spent.input_tokens.saturating_add(spent.output_tokens);
        let limits = &self.limits;
        if spent.steps >= limits.max_steps {
            return Some(StopReason::Steps(spent.steps));
        }
        if let Some(budget) = limits.token_budget.filter(|budget| tokens >= *budget) {
            return Some(StopReason::Tokens { spent: tokens, budget });
        }
        limits.timeout_ms.filter(|limit| spent.ms >= *limit as f64).map(StopReason::Time)
    }
}

fn answer(plan: &AgentSpec, events: &[Event], said: &ModelReply) -> Action {
    if said.content.trim().is_empty() {
        return Action::Stop(StopReason::Silence);
    }
    if said.finish_reason == "length" {
        // The budget is the only limit on the length of an answer here.
        let spent = run_usage(events);
        let tokens = spent.input_tokens.saturating_add(spent.output_tokens);
        let budget = plan.limits.token_budget.map(|budget| StopReason::Tokens { spent: tokens, budget });
        return Action::Stop(budget.unwrap_or(StopReason::Cut));
    }
    // A free answer that meets the schema saves a second request.
    if plan.schema.is_none() || said.form == ReplyFormat::Schema || said.fits == Some(true) {
        return Action::Answer(said.content.clone());
    }
    ask(plan, events, ReplyFormat::Schema)
}

/// The next action for the calls of the model's last answer, in their order. No call is made whose result the model would
/// not get.
fn calls(plan: &AgentSpec, events: &[Event], at: usize, said: &ModelReply) -> Action {
    let state = |position: usize| {
        events[at + 1..].iter().rev().find_map(|event| match event {
            Event::Called(called) if called.position == position => Some(&called.state),
            _ => None,
        })
    };
    let positions = 0..said.calls.len();
    if positions.clone().any(|position| state(position) == Some(&CallState::Waiting)) {
        return Action::Wait;
    }
    let open = |position: &usize| matches!(state(*position), None | Some(CallState::Approved));
    let Some(position) = positions.clone().find(open) else {
        return ask(plan, events, ReplyFormat::Free);
    };
    if let Some(stop) = plan.over(&run_usage(events)) {
        return Action::Stop(stop);
    }
    let call = &said.calls[position];
    match refusal(plan, events, position, call) {
        Some(action) => action,
        None if state(position).is_none() && plan.needs_approval(call) => {
            let waits = |it: &usize| {
                let call = &said.calls[*it];
                open(it) && plan.needs_approval(call) && refusal(plan, events, *it, call).is_none()
            };
            Action::AskForApproval((position..said.calls.len()).filter(waits).collect())
        }
        None => Action::Call { position, call: call.clone() },
    }
}

impl AgentSpec {
    fn needs_approval(&self, call: &ToolCall) -> bool {
        self.tool(&call.name).is_some_and(|tool| tool.needs_approval)
    }
}

/// Why a call cannot be made.
fn refusal(plan: &AgentSpec, events: &[Event], position: usize, call: &ToolCall) -> Option<Action> {
    let refuse = |content, repeats| Some(Action::Refuse { position, content, repeats });
    if position >= MAX_CALLS_PER_REPLY {
        return refuse(format!("No more than {MAX_CALLS_PER_REPLY} calls are made at once."), false);
    }
    if plan.tool(&call.name).is_none() {
        let names: Vec<_> = plan.tools.iter().map(|tool| tool.name.as_str()).collect();
        let known = if names.is_empty() {
            "There are no tools.".into()
        } else {
            format!("The tools are {}.", names.join(", "))
        };
        return refuse(format!("There is no tool of this name. {known}"), false);
    }
    if let Err(wrong) = call.parsed() {
        return refuse(format!("The call was not made: {wrong}."), false);
    }
    match verdict(events, call) {
        Verdict::Make => None,
        Verdict::Tell => refuse(
            format!(
                "The call was not made: it was made {MAX_IDENTICAL_CALLS} times with these arguments, and gave the same each time. \
                 Answer with what you know, or do something else."
            ),
            true,
        ),
        Verdict::Stop => Some(Action::Stop(StopReason::Loop(call.name.clone()))),
    }
}

fn ask(plan: &AgentSpec, events: &[Event], form: ReplyFormat) -> Action {
    let spent = run_usage(events);
    if let Some(stop) = plan.over(&spent) {
        return Action::Stop(stop);
    }
    let messages = messages(plan, events, form);
    let mut max_tokens = None;
    if let Some(budget) = plan.limits.token_budget {
        let tokens = spent.input_tokens.saturating_add(spent.output_tokens);
        let left = budget.saturating_sub(tokens).saturating_sub(expected(&messages, events));
        if left == 0 {
            return Action::Stop(StopReason::Tokens { spent: tokens, budget });
        }
        max_tokens = Some(u32::try_from(left).unwrap_or(u32::MAX));
    }
    let left = plan.limits.timeout_ms.map(|limit| limit.saturating_sub(spent.ms as u64).max(1));
    Action::Ask(ModelRequest { messages, form, max_tokens, timeout_ms: left })
}

/// Estimated tokens of the next prompt. The provider has counted the earlier part; the rest is estimated from its bytes.
fn expected(messages: &[Message], events: &[Event]) -> u64 {
    let last = events.iter().rev().find_map(|event| match event {
        Event::Said(said) if said.input_tokens > 0 => Some(said.input_tokens + said.output_tokens),
        _ => None,
    });
    let bytes = |messages: &[Message]| messages.iter().map(|it| it.content.len() as u64).sum::<u64>();
    let since = messages.iter().rposition(|it| it.role == crate::provider::Role::Assistant);
    match (last, since) {
        (Some(counted), Some(at)) => counted + bytes(&messages[at + 1..]) / BYTES_PER_TOKEN,
        _ => bytes(messages) / BYTES_PER_TOKEN,
    }
}

#[cfg(test)]
mod tests;
