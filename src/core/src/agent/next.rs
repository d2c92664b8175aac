//! The state machine: from what has happened to what is to be done.

use std::fmt;

use super::conversation::messages;
use super::repeats::{MOST_REPEATS, Verdict, verdict};
use super::{Event, Fate, Form, Said, ToolCall};
use crate::provider::Message;

/// Most calls in one answer of a model that are made.
const MOST_CALLS: usize = 64;

/// Bytes that make a token of a prompt, about, where nobody has counted it yet.
const BYTES_PER_TOKEN: u64 = 4;

/// What an agent is.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Plan {
    /// What its model is told to be and do.
    pub instructions: String,
    /// The tools that it may call.
    pub tools: Vec<ToolFacts>,
    /// JSON Schema that its answer must meet.
    pub schema: Option<String>,
    /// What a run may take.
    pub limits: Limits,
}

/// What has to be known of a tool here.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ToolFacts {
    /// By which the model calls it.
    pub name: String,
    /// Whether somebody has to say yes before it is called.
    pub needs_approval: bool,
}

/// What a run may take.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Limits {
    /// Most answers of the model.
    pub max_steps: u32,
    /// Most tokens, in and out.
    pub token_budget: Option<u64>,
    /// Longest time, milliseconds, without what is waited for approvals.
    pub timeout_ms: Option<u64>,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// Ask the model.
    Ask(Ask),
    /// Make this call, and add what came of it.
    Call {
        /// Its place in the model's last answer.
        position: usize,
        /// The call.
        call: ToolCall,
    },
    /// Add that these calls wait for somebody's decision.
    AskForApproval(Vec<usize>),
    /// Add that this call was refused.
    Refuse {
        /// Its place in the model's last answer.
        position: usize,
        /// What the model is told.
        content: String,
        /// Whether it had been made again and again.
        repeats: bool,
    },
    /// Nothing, before somebody has decided.
    Wait,
    /// The run is done, and this is its answer.
    Answer(String),
    /// The run is over without one.
    Stop(Stop),
}

/// How the model is asked.
#[derive(Debug, Clone, PartialEq)]
pub struct Ask {
    /// The conversation.
    pub messages: Vec<Message>,
    /// With tools, or with the schema.
    pub form: Form,
    /// Most tokens of the answer.
    pub max_tokens: Option<u32>,
    /// Longest time, milliseconds.
    pub timeout_ms: Option<u64>,
}

/// Why a run is over without an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stop {
    /// The model was asked so often.
    Steps(u32),
    /// So many tokens are spent, of so many.
    Tokens {
        /// In and out.
        spent: u64,
        /// What may be.
        budget: u64,
    },
    /// It has taken so many milliseconds.
    Time(u64),
    /// The model calls this tool again and again.
    Loop(String),
    /// The model said nothing.
    Silence,
    /// The model's answer ends where it may not be longer.
    Cut,
}

impl fmt::Display for Stop {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Steps(steps) => write!(formatter, "the run has no answer after {steps} steps"),
            Self::Tokens { spent, budget } => {
                write!(formatter, "the run has no answer after {spent} tokens of a budget of {budget}")
            }
            Self::Time(ms) => write!(formatter, "the run has no answer after {ms} ms"),
            Self::Loop(tool) => write!(
                formatter,
                "the model calls tool \"{tool}\" with the same arguments again and again, though it was told that nothing changes"
            ),
            Self::Silence => write!(formatter, "the model gave neither an answer nor a call of a tool"),
            Self::Cut => write!(formatter, "the model's answer was cut, since it met its limit of tokens"),
        }
    }
}

/// What a run has taken so far.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Spent {
    /// Answers of the model.
    pub steps: u32,
    /// Tokens of prompts.
    pub input_tokens: u64,
    /// Tokens of answers.
    pub output_tokens: u64,
    /// By the provider's prices.
    pub cost: f64,
    /// Milliseconds of all that was done.
    pub ms: f64,
}

/// What these events have taken.
pub fn spent(events: &[Event]) -> Spent {
    let mut spent = Spent::default();
    for event in events {
        match event {
            Event::Asked { .. } => {}
            Event::Said(said) => {
                spent.steps += 1;
                spent.input_tokens = spent.input_tokens.saturating_add(said.input_tokens);
                spent.output_tokens = spent.output_tokens.saturating_add(said.output_tokens);
                spent.cost += said.cost;
                spent.ms += said.ms;
            }
            Event::Called(called) => spent.ms += called.ms,
        }
    }
    spent
}

/// What is to be done after these events.
pub fn next(plan: &Plan, events: &[Event]) -> Action {
    let last = events.iter().enumerate().rev().find_map(|(at, event)| match event {
        Event::Said(said) => Some((at, said)),
        _ => None,
    });
    match last {
        // Who has no tools to call can be held to the schema at once.
        None => ask(plan, events, if plan.tools.is_empty() { plan.form() } else { Form::Free }),
        Some((_, said)) if said.calls.is_empty() => answer(plan, events, said),
        Some((at, said)) => calls(plan, events, at, said),
    }
}

impl Plan {
    fn form(&self) -> Form {
        if self.schema.is_some() { Form::Schema } else { Form::Free }
    }

    fn tool(&self, name: &str) -> Option<&ToolFacts> {
        self.tools.iter().find(|tool| tool.name == name)
    }

    /// What has run out.
    fn over(&self, spent: &Spent) -> Option<Stop> {
        let tokens = spent.input_tokens.saturating_add(spent.output_tokens);
        let limits = &self.limits;
        if spent.steps >= limits.max_steps {
            return Some(Stop::Steps(spent.steps));
        }
        if let Some(budget) = limits.token_budget.filter(|budget| tokens >= *budget) {
            return Some(Stop::Tokens { spent: tokens, budget });
        }
        limits.timeout_ms.filter(|limit| spent.ms >= *limit as f64).map(Stop::Time)
    }
}

fn answer(plan: &Plan, events: &[Event], said: &Said) -> Action {
    if said.content.trim().is_empty() {
        return Action::Stop(Stop::Silence);
    }
    if said.finish_reason == "length" {
        // Nothing but the budget bounds an answer here.
        let spent = spent(events);
        let tokens = spent.input_tokens.saturating_add(spent.output_tokens);
        let budget = plan.limits.token_budget.map(|budget| Stop::Tokens { spent: tokens, budget });
        return Action::Stop(budget.unwrap_or(Stop::Cut));
    }
    // An answer that meets the schema without having been asked for it by itself saves another question.
    if plan.schema.is_none() || said.form == Form::Schema || said.fits == Some(true) {
        return Action::Answer(said.content.clone());
    }
    ask(plan, events, Form::Schema)
}

/// The calls of the model's last answer, in its order. None is made whose result no model would read any more.
fn calls(plan: &Plan, events: &[Event], at: usize, said: &Said) -> Action {
    let fate = |position: usize| {
        events[at + 1..].iter().rev().find_map(|event| match event {
            Event::Called(called) if called.position == position => Some(&called.fate),
            _ => None,
        })
    };
    let positions = 0..said.calls.len();
    if positions.clone().any(|position| fate(position) == Some(&Fate::Waiting)) {
        return Action::Wait;
    }
    let open = |position: &usize| matches!(fate(*position), None | Some(Fate::Approved));
    let Some(position) = positions.clone().find(open) else {
        return ask(plan, events, Form::Free);
    };
    if let Some(stop) = plan.over(&spent(events)) {
        return Action::Stop(stop);
    }
    let call = &said.calls[position];
    match refusal(plan, events, position, call) {
        Some(action) => action,
        None if fate(position).is_none() && plan.needs_approval(call) => {
            let waits = |it: &usize| {
                let call = &said.calls[*it];
                open(it) && plan.needs_approval(call) && refusal(plan, events, *it, call).is_none()
            };
            Action::AskForApproval((position..said.calls.len()).filter(waits).collect())
        }
        None => Action::Call { position, call: call.clone() },
    }
}

impl Plan {
    fn needs_approval(&self, call: &ToolCall) -> bool {
        self.tool(&call.name).is_some_and(|tool| tool.needs_approval)
    }
}

/// Why a call cannot be made.
fn refusal(plan: &Plan, events: &[Event], position: usize, call: &ToolCall) -> Option<Action> {
    let refuse = |content, repeats| Some(Action::Refuse { position, content, repeats });
    if position >= MOST_CALLS {
        return refuse(format!("No more than {MOST_CALLS} calls are made at once."), false);
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
                "The call was not made: it was made {MOST_REPEATS} times with these arguments, and gave the same each time. \
                 Answer with what you know, or do something else."
            ),
            true,
        ),
        Verdict::Stop => Some(Action::Stop(Stop::Loop(call.name.clone()))),
    }
}

fn ask(plan: &Plan, events: &[Event], form: Form) -> Action {
    let spent = spent(events);
    if let Some(stop) = plan.over(&spent) {
        return Action::Stop(stop);
    }
    let messages = messages(plan, events, form);
    let mut max_tokens = None;
    if let Some(budget) = plan.limits.token_budget {
        let tokens = spent.input_tokens.saturating_add(spent.output_tokens);
        let left = budget.saturating_sub(tokens).saturating_sub(expected(&messages, events));
        if left == 0 {
            return Action::Stop(Stop::Tokens { spent: tokens, budget });
        }
        max_tokens = Some(u32::try_from(left).unwrap_or(u32::MAX));
    }
    let left = plan.limits.timeout_ms.map(|limit| limit.saturating_sub(spent.ms as u64).max(1));
    Action::Ask(Ask { messages, form, max_tokens, timeout_ms: left })
}

/// Tokens that the next prompt will have, about. What the provider has counted before is known; the rest is what came since.
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
