//! The next action of a run.

use std::fmt;

use super::{ReplyFormat, ToolCall};
use crate::provider::Message;

/// The next action of a run.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// Ask the model.
    Ask(ModelRequest),
    /// Make this call, and add its result to the events.
    Call {
        /// The call's position in the model's last answer.
        position: usize,
        /// The call.
        call: ToolCall,
    },
    /// Add the event that these calls wait for approval.
    AskForApproval(Vec<usize>),
    /// Add the event that this call was refused.
    Refuse {
        /// The call's position in the model's last answer.
        position: usize,
        /// The reason, for the model.
        content: String,
        /// True if the reason is that the same call was repeated too often.
        repeats: bool,
    },
    /// Do nothing until a user has decided.
    Wait,
    /// The run is done; this is its answer.
    Answer(String),
    /// The run ends without an answer.
    Stop(StopReason),
}

/// A request to the model.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelRequest {
    /// The conversation.
    pub messages: Vec<Message>,
    /// The format of the reply: free, with tools, or JSON that meets the schema.
    pub form: ReplyFormat,
    /// Maximum number of tokens of the answer.
    pub max_tokens: Option<u32>,
    /// Time limit, milliseconds.
    pub timeout_ms: Option<u64>,
}

/// Why a run ends without an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StopReason {
    /// The model was asked the maximum number of times.
    Steps(u32),
    /// The token budget is used up.
    Tokens {
        /// Tokens used, input and output.
        spent: u64,
        /// The limit.
        budget: u64,
    },
    /// The time limit, in milliseconds, is used up.
    Time(u64),
    /// The model keeps repeating a call of this tool.
    Loop(String),
    /// The model's reply is empty.
    Silence,
    /// The model's answer was cut off at its token limit.
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
                "the model calls tool \"{tool}\" with the same arguments repeatedly, although it was told that the result does not change"
            ),
            Self::Silence => write!(formatter, "the model returned neither an answer nor a tool call"),
            Self::Cut => write!(formatter, "the model's answer was cut off at its token limit"),
        }
    }
}
