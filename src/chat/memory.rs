//! A session as the memory of an agent: the messages before a run, and the messages that the run adds.

use crate::chat::history::History;
use crate::chat::session::{NewMessage, Session};
use crate::provider::{CallOptions, Generator};
use ragstone_core::chat::title;
use ragstone_core::provider::Message;
use ragstone_pg::error::Result;

/// The messages of a session of the current role for the model. If they do not fit, the model first
/// summarises the older ones.
pub fn recall(session: i64, generator: &Generator, options: CallOptions) -> Result<Vec<Message>> {
    let mut session = Session::open(session)?;
    let before = session.summarised;
    let shown = History::read(&session)?.fit(&mut session, generator, options)?;
    if session.summarised != before {
        session.save()?;
    }
    Ok(shown)
}

/// Adds a question and its answer, unless the session has been deleted in the meantime.
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
