//! `rag.chat`, `rag.chat_stream`, and sessions, personas and feedback.

use crate::ask::search_for;
use crate::chat;
use crate::chat::{ChatDeltas, NewPersona, NewSession, Turn};
use crate::provider::positive;
use pgrx::iter::{SetOfIterator, TableIterator};
use pgrx::{default, extension_sql_file, name, pg_extern};
use ragstone_pg::bytes::Jsonb;
use ragstone_pg::error::{Error, Result, or_raise};
use ragstone_pg::sqlstate::given;
use ragstone_pg::text::{Utf8, required};
use ragstone_pg::version;

#[pg_extern(volatile, parallel_unsafe)]
fn create_session(
    title: default!(Option<Utf8>, "NULL"),
    collection: default!(Option<Utf8>, "NULL"),
    persona: default!(Option<Utf8>, "NULL"),
    model: default!(Option<Utf8>, "NULL"),
) -> i64 {
    version::check();
    let text = |value: Option<Utf8>| value.map(|value| value.0);
    let session = NewSession {
        title: text(title),
        collection: text(collection),
        persona: text(persona),
        model: text(model),
    };
    or_raise(chat::create_session(&session))
}

#[pg_extern(volatile, parallel_unsafe)]
fn delete_session(session: Option<i64>) {
    version::check();
    or_raise(given(session, "session").and_then(chat::delete_session));
}

#[pg_extern(volatile, parallel_unsafe)]
fn set_persona(
    name: Option<Utf8>,
    instructions: Option<Utf8>,
    style: default!(Option<Utf8>, "NULL"),
    temperature: default!(Option<f64>, "NULL"),
    model: default!(Option<Utf8>, "NULL"),
) -> i32 {
    version::check();
    let persona = NewPersona {
        name: or_raise(required(name, "name")),
        instructions: or_raise(required(instructions, "instructions")),
        style: style.map(|style| style.0),
        temperature,
        model: model.map(|model| model.0),
    };
    or_raise(chat::set_persona(&persona))
}

#[pg_extern(volatile, parallel_unsafe)]
fn feedback(message: Option<i64>, score: Option<i32>, comment: default!(Option<Utf8>, "NULL")) {
    version::check();
    let (message, score) = (or_raise(given(message, "message")), or_raise(given(score, "score")));
    or_raise(chat::give_feedback(message, score, comment.as_ref().map(|comment| comment.0.as_str())));
}

#[pg_extern(volatile, parallel_unsafe, cost = 1000000)]
#[allow(
    clippy::too_many_arguments,
    clippy::type_complexity,
    reason = "arguments and columns of the SQL function"
)]
fn chat(
    session: Option<i64>,
    message: Option<Utf8>,
    collection: default!(Option<Utf8>, "NULL"),
    persona: default!(Option<Utf8>, "NULL"),
    model: default!(Option<Utf8>, "NULL"),
    k: default!(Option<i32>, 5),
    max_tokens: default!(Option<i32>, "NULL"),
    timeout_ms: default!(Option<i32>, "NULL"),
) -> TableIterator<
    'static,
    (
        name!(message_id, i64),
        name!(answer, Utf8),
        name!(citations, Option<Jsonb>),
        name!(question, Option<Utf8>),
        name!(model, Utf8),
        name!(persona, Option<Utf8>),
        name!(answered, bool),
    ),
> {
    version::check();
    let k = k.unwrap_or(5);
    let turn = ChatArguments { session, message, collection, persona, model, k, max_tokens, timeout_ms };
    let reply = or_raise(turn.turn("chat").and_then(|turn| chat::chat_as_step(&turn)));
    TableIterator::once((
        reply.message,
        Utf8(reply.answer),
        reply.citations,
        reply.question.map(Utf8),
        Utf8(reply.model),
        reply.persona.map(|(name, version)| Utf8(format!("{name} {version}"))),
        reply.answered,
    ))
}

#[pg_extern(volatile, parallel_unsafe, cost = 1000000)]
#[allow(clippy::too_many_arguments, reason = "arguments of the SQL function")]
fn chat_stream(
    session: Option<i64>,
    message: Option<Utf8>,
    collection: default!(Option<Utf8>, "NULL"),
    persona: default!(Option<Utf8>, "NULL"),
    model: default!(Option<Utf8>, "NULL"),
    k: default!(Option<i32>, 5),
    max_tokens: default!(Option<i32>, "NULL"),
    timeout_ms: default!(Option<i32>, "NULL"),
) -> SetOfIterator<'static, Utf8> {
    version::check();
    let k = k.unwrap_or(5);
    let turn = ChatArguments { session, message, collection, persona, model, k, max_tokens, timeout_ms };
    let deltas: ChatDeltas = or_raise(turn.turn("chat_stream").and_then(|turn| chat::chat_stream(&turn)));
    SetOfIterator::new(deltas.map(|delta| Utf8(or_raise(delta))))
}

/// The arguments of `rag.chat` and `rag.chat_stream`.
pub struct ChatArguments {
    /// The conversation's number.
    pub session: Option<i64>,
    /// What the user says.
    pub message: Option<Utf8>,
    /// Name of the collection.
    pub collection: Option<Utf8>,
    /// Who is to answer.
    pub persona: Option<Utf8>,
    /// Name of the model.
    pub model: Option<Utf8>,
    /// Maximum number of passages.
    pub k: i32,
    /// Maximum number of tokens in the answer.
    pub max_tokens: Option<i32>,
    /// Maximum time of a call of the model, in milliseconds.
    pub timeout_ms: Option<i32>,
}

impl ChatArguments {
    /// The turn.
    ///
    /// # Errors
    /// 22004 and 22023.
    pub fn turn(self, function: &'static str) -> Result<Turn> {
        let max_tokens = self.max_tokens.map(positive("max_tokens")).transpose()?;
        self.timeout_ms.map(positive("timeout_ms")).transpose()?;
        let (session, message) = (given(self.session, "session")?, required(self.message, "message")?);
        if message.trim().is_empty() {
            return Err(Error::bad_argument("message is empty"));
        }
        // It becomes the question of a search.
        search_for(String::new(), "message".into(), self.k)?;
        Ok(Turn {
            session,
            message,
            collection: self.collection.map(|collection| collection.0),
            persona: self.persona.map(|persona| persona.0),
            model: self.model.map(|model| model.0),
            k: self.k,
            max_tokens,
            timeout_ms: self.timeout_ms,
            function,
        })
    }
}

extension_sql_file!(
    "../../sql/chat.sql",
    name = "chat",
    requires = [create_session, delete_session, set_persona, feedback, chat, chat_stream, "accounting"]
);
