//! A session as the memory of an agent: what was said before its run, and what is said by it.

use crate::chat::history::History;
use crate::chat::session::{NewMessage, Session};
use crate::provider::{CallOptions, Generator};
use ragstone_core::chat::title;
use ragstone_core::provider::Message;
use ragstone_pg::error::Result;

/// What a model is shown of a session of the current role. What does not fit is summed up first, by the same model.
pub fn recall(session: i64, generator: &Generator, options: CallOptions) -> Result<Vec<Message>> {
    let mut session = Session::open(session)?;
    let before = session.summarised;
    let shown = History::read(&session)?.fit(&mut session, generator, options)?;
    if session.summarised != before {
        session.save()?;
    }
    Ok(shown)
}

/// Adds a question and its answer. A session that was deleted meanwhile has no use for them.
pub fn remember(session: i64, question: &str, answer: &str, model: Option<&str>) -> Result<()> {
    let mut session = match Session::open(session) {
        Err(error) if error.is_undefined() => return Ok(()),
        session => session?,
    };
    session.settings.title.get_or_insert_with(|| title(question));
    session.write(&NewMessage { role: "user", content: question, ..NewMessage::default() })?;
    let answer = NewMessage {
        role: "assistant",
        content: answer,
        answered: Some(true),
        model,
        ..NewMessage::default()
    };
    session.write(&answer)?;
    session.save()
}
