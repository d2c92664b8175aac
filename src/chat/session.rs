//! Sessions, their messages, and feedback on answers.

use crate::chat::persona;
use crate::collections::catalog::collection::Collection;
use crate::provider::Generator;
use ragstone_pg::bytes::Jsonb;
use ragstone_pg::error::{Error, Result};
use ragstone_pg::own_tables::{as_config_owner, with_safe_search_path};
use ragstone_pg::owner::Owner;
use ragstone_pg::spi::{Arg, connect, run};

/// The settings of a session, as arguments of `rag.create_session` or as stored.
#[derive(Debug, Default)]
pub struct NewSession {
    /// Title; None stands for the beginning of the first message.
    pub title: Option<String>,
    /// Collection on which answers are based.
    pub collection: Option<String>,
    /// Name of the persona.
    pub persona: Option<String>,
    /// The model, `server/model`.
    pub model: Option<String>,
}

/// A session of the current role. Its row is locked until the transaction ends, so that concurrent turns run
/// one after the other.
#[derive(Debug)]
pub struct Session {
    /// Number of the session.
    pub id: i64,
    /// The current settings.
    pub settings: NewSession,
    /// Summary of the messages up to and including `summarised`.
    pub summary: Option<String>,
    /// Number of the last message that the summary covers.
    pub summarised: i64,
}

/// A message to store.
#[derive(Debug, Default)]
pub struct NewMessage<'a> {
    /// `user` or `assistant`.
    pub role: &'a str,
    /// The text.
    pub content: &'a str,
    /// For an answer: the question of the search.
    pub question: Option<&'a str>,
    /// For an answer: its citations.
    pub citations: Option<&'a Jsonb>,
    /// For an answer: false if the collection has no answer.
    pub answered: Option<bool>,
    /// For an answer: name and version of the persona.
    pub persona: Option<&'a (String, i32)>,
    /// For an answer: the model.
    pub model: Option<&'a str>,
}

impl NewSession {
    /// Checks that the collection, the persona and the model exist.
    fn check(&self) -> Result<()> {
        if let Some(name) = &self.collection {
            connect(|| with_safe_search_path(|| Collection::get(name, None)))?;
        }
        if let Some(name) = &self.persona {
            persona::find(name)?;
        }
        if self.model.is_some() {
            Generator::find(self.model.as_deref())?;
        }
        Ok(())
    }
}

/// Creates a session of the current role and returns its number.
///
/// # Errors
/// 42704 if the collection, the persona or the model does not exist, 42501 if the current role may not use the model's server.
pub fn create_session(session: &NewSession) -> Result<i64> {
    session.check()?;
    let role = Owner::who_makes()?.to_text()?;
    as_config_owner(|| {
        let rows = run(
            "INSERT INTO rag._sessions (owner, title, collection, persona, model) VALUES ($1, $2, $3, $4, $5) RETURNING id",
            &[
                Arg::text(&role),
                Arg::optional_text(session.title.as_deref()),
                Arg::optional_text(session.collection.as_deref()),
                Arg::optional_text(session.persona.as_deref()),
                Arg::optional_text(session.model.as_deref()),
            ],
        )?;
        rows.int8(0, 0).ok_or_else(|| Error::internal("a session without a number"))
    })
}

/// Deletes a session of the current role with its messages and their feedback.
pub fn delete_session(id: i64) -> Result<()> {
    let role = Owner::current()?.to_text()?;
    let deleted = as_config_owner(|| {
        let arguments = [Arg::new(id), Arg::text(&role)];
        Ok(run("DELETE FROM rag._sessions WHERE id = $1 AND owner = $2", &arguments)?.count)
    })?;
    if deleted == 0 { Err(unknown(id)) } else { Ok(()) }
}

/// Stores feedback on an answer in a session of the current role.
pub fn give_feedback(message: i64, score: i32, comment: Option<&str>) -> Result<()> {
    if !(-1..=1).contains(&score) {
        return Err(Error::bad_argument(format!("score must be -1, 0 or 1, not {score}")));
    }
    let role = Owner::current()?.to_text()?;
    let given = as_config_owner(|| {
        run(
            "INSERT INTO rag._feedback (message, score, comment)
             SELECT m.id, $2, $3 FROM rag._messages m JOIN rag._sessions s ON s.id = m.session
             WHERE m.id = $1 AND m.role = 'assistant' AND s.owner = $4
             ON CONFLICT (message) DO UPDATE SET score = excluded.score, comment = excluded.comment, given_at = now()",
            &[Arg::new(message), Arg::new(score), Arg::optional_text(comment), Arg::text(&role)],
        )
        .map(|rows| rows.count)
    })?;
    if given > 0 {
        return Ok(());
    }
    Err(Error::undefined(format!("answer {message} does not exist"))
        .hint("See rag.messages for the answers in your sessions."))
}

impl Session {
    /// Reads and locks a session of the current role for its next turn.
    pub fn open(id: i64) -> Result<Self> {
        let role = Owner::current()?.to_text()?;
        as_config_owner(|| {
            let rows = run(
                "SELECT title, collection, persona, model, summary, summarised FROM rag._sessions
                 WHERE id = $1 AND owner = $2 FOR NO KEY UPDATE",
                &[Arg::new(id), Arg::text(&role)],
            )?;
            if rows.count == 0 {
                return Err(unknown(id));
            }
            let text = |column| rows.text(0, column);
            Ok(Self {
                id,
                settings: NewSession {
                    title: text(0),
                    collection: text(1),
                    persona: text(2),
                    model: text(3),
                },
                summary: text(4),
                summarised: rows.int8(0, 5).unwrap_or(0),
            })
        })
    }

    /// Stores the settings and the summary.
    pub fn save(&self) -> Result<()> {
        let settings = &self.settings;
        let arguments = [
            Arg::new(self.id),
            Arg::optional_text(settings.title.as_deref()),
            Arg::optional_text(settings.collection.as_deref()),
            Arg::optional_text(settings.persona.as_deref()),
            Arg::optional_text(settings.model.as_deref()),
            Arg::optional_text(self.summary.as_deref()),
            Arg::new(self.summarised),
        ];
        as_config_owner(|| {
            run(
                "UPDATE rag._sessions SET title = $2, collection = $3, persona = $4, model = $5, summary = $6, summarised = $7,
                   updated_at = clock_timestamp()
                 WHERE id = $1",
                &arguments,
            )
            .map(|_| ())
        })
    }

    /// Stores a message and returns its number.
    pub fn write(&self, message: &NewMessage) -> Result<i64> {
        let arguments = [
            Arg::new(self.id),
            Arg::text(message.role),
            Arg::text(message.content),
            Arg::optional_text(message.question),
            Arg::optional_jsonb(message.citations),
            Arg::optional(message.answered),
            Arg::optional_text(message.persona.map(|persona| persona.0.as_str())),
            Arg::optional(message.persona.map(|persona| persona.1)),
            Arg::optional_text(message.model),
        ];
        as_config_owner(|| {
            let rows = run(
                "INSERT INTO rag._messages
                   (session, role, content, question, citations, answered, persona, persona_version, model)
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) RETURNING id",
                &arguments,
            )?;
            rows.int8(0, 0).ok_or_else(|| Error::internal("a message without a number"))
        })
    }
}

/// The error for a session that the current role does not have.
fn unknown(id: i64) -> Error {
    Error::undefined(format!("session {id} does not exist"))
        .hint("See rag.sessions for yours, or make one with rag.create_session.")
}
