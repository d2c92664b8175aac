//! A turn of a conversation as a step of the session's current run. The step contains no texts, because they
//! are in `rag.messages`.

use crate::agent_log;
use crate::agent_log::{NewStep, OpenStep};
use crate::chat::turn::{ChatReply, Turn, chat};
use ragstone_pg::error::Result;
use serde_json::{Value, json};

/// As [`chat`].
///
/// # Errors
/// As [`chat`].
pub fn chat_as_step(turn: &Turn) -> Result<ChatReply> {
    agent_log::step(|| new(turn.function, input(turn)), || chat(turn), outcome)
}

/// The step of a turn whose answer is streamed.
pub struct TurnStep {
    open: OpenStep,
    function: &'static str,
    input: Value,
}

impl TurnStep {
    /// Begins the step, if there is a current run.
    pub fn begin(turn: &Turn) -> Result<Option<Self>> {
        let open = OpenStep::begin()?;
        Ok(open.map(|open| Self { open, function: turn.function, input: input(turn) }))
    }

    /// Runs `work`, whose own steps become children of this one.
    pub fn within<T>(&self, work: impl FnOnce() -> T) -> T {
        self.open.within(work)
    }

    /// Logs the step with the answer or the error.
    ///
    /// # Errors
    /// Errors of the log.
    pub fn end(self, done: &Result<ChatReply>) -> Result<()> {
        self.open.end(|| new(self.function, self.input), done, outcome)
    }
}

fn new(function: &'static str, input: Value) -> NewStep<'static> {
    NewStep { kind: "custom", name: Some(function), input: Some(input), ..NewStep::default() }
}

fn input(turn: &Turn) -> Value {
    json!({"session": turn.session, "collection": turn.collection})
}

fn outcome(reply: &ChatReply) -> agent_log::StepResult {
    let output = json!({"message": reply.message, "answered": reply.answered, "model": reply.model});
    agent_log::StepResult { output: Some(output), ..agent_log::StepResult::default() }
}
