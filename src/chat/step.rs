//! A turn of a conversation as a step of the session's current run. What was said is in `rag.messages`.

use crate::chat::turn::{Said, Turn, chat};
use crate::pg::error::Outcome;
use crate::runs::{self, NewStep};
use serde_json::json;

/// As [`chat`].
///
/// # Errors
/// As [`chat`].
pub fn chat_as_step(turn: &Turn) -> Outcome<Said> {
    let new = || NewStep {
        kind: "custom",
        name: Some(turn.function),
        input: Some(json!({"session": turn.session, "collection": turn.collection})),
        ..NewStep::default()
    };
    runs::step(new, || chat(turn), said)
}

fn said(said: &Said) -> runs::Said {
    let output = json!({"message": said.message, "answered": said.answered, "model": said.model});
    runs::Said { output: Some(output), ..runs::Said::default() }
}
