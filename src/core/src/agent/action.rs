//! What a run does next.

use std::fmt;

use super::{ReplyFormat, ToolCall};
use crate::provider::Message;

/// The next action of a run.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// Ask the model.
    Ask(ModelRequest),
    /// Make this call, and add its result.
    Call {
        /// Its place in the model's last answer.
        position: usize,
        /// The call.
        call: ToolCall,
    },
    /// Add that these calls wait for approval.
    AskForApproval(Vec<usize>),
    /// Add that this call was refused.
    Refuse {
        /// Its place in the model's last answer.
        position: usize,
        /// The reason, for the model.
        content: String,
        /// Whether the reason is that the same call was repeated too often.
        repeats: bool,
    },
    /// Nothing, until a person has decided.
    Wait,
    /// The run is done, and this is its answer.
    Answer(String),
    /// The run is over without one.
    Stop(StopReason),
}

/// A request to the model.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelRequest {
    /// The conversation.
    pub messages: Vec<Message>,
    /// With tools, or with the schema.
    pub form: ReplyFormat,
    /// Most tokens of the answer.
    pub max_tokens: Option<u32>,
    /// Longest time, milliseconds.
    pub timeout_ms: Option<u64>,
}

/// Why a run is over without an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StopReason {
    /// The model was asked the most times that are allowed.
    Steps(u32),
    /// The budget of tokens is used up.
    Tokens {
        /// In and out.
        spent: u64,
        /// The limit.
        budget: u64,
    },
    /// The limit of time, in milliseconds, is over.
    Time(u64),
    /// The model keeps repeating a call of this tool.
    Loop(String),
    /// The model's reply is empty.
    Silence,
    /// The model's answer was cut at its limit of tokens.
    Cut,
}

impl fmt::Display for StopReason {
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
