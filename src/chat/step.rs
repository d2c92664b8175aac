//! A turn of a conversation as a step of the session's current run. What was said is in `rag.messages`.

use crate::agent_log;
use crate::agent_log::{NewStep, OpenStep};
use crate::chat::turn::{Said, Turn, chat};
use ragstone_pg::error::Result;
use serde_json::{Value, json};

/// As [`chat`].
///
/// # Errors
/// As [`chat`].
pub fn chat_as_step(turn: &Turn) -> Result<Said> {
    agent_log::step(|| new(turn.function, input(turn)), || chat(turn), said)
}

/// A turn whose answer comes piece by piece.
pub struct TurnStep {
    open: OpenStep,
    function: &'static str,
    input: Value,
}

impl TurnStep {
    /// Begins one, where there is a run that can be logged into.
    pub fn begin(turn: &Turn) -> Result<Option<Self>> {
        let open = OpenStep::begin()?;
        Ok(open.map(|open| Self { open, function: turn.function, input: input(turn) }))
    }

    /// Does `work` as a part of it.
    pub fn within<T>(&self, work: impl FnOnce() -> T) -> T {
        self.open.within(work)
    }

    /// Logs it with what has come of it.
    ///
    /// # Errors
    /// What keeps it from being logged.
    pub fn end(self, done: &Result<Said>) -> Result<()> {
        self.open.end(|| new(self.function, self.input), done, said)
    }
}

fn new(function: &'static str, input: Value) -> NewStep<'static> {
    NewStep { kind: "custom", name: Some(function), input: Some(input), ..NewStep::default() }
}

fn input(turn: &Turn) -> Value {
    json!({"session": turn.session, "collection": turn.collection})
}

fn said(said: &Said) -> agent_log::StepResult {
    let output = json!({"message": said.message, "answered": said.answered, "model": said.model});
    agent_log::StepResult { output: Some(output), ..agent_log::StepResult::default() }
}
