//! The earlier messages of a session, shortened to the model's context window.

use crate::chat::session::Session;
use crate::embedding::tokens::count_tokens_generously;
use crate::provider::{CallOptions, Generator, Remote};
use pgrx::PgLogLevel;
use ragstone_core::chat;
use ragstone_core::provider::{Message, Prompt, Role};
use ragstone_pg::blame::is_rejected;
use ragstone_pg::error::{Error, Result};
use ragstone_pg::own_tables::as_config_owner;
use ragstone_pg::spi::{Arg, select};

/// The history may take 1 / `HISTORY_SHARE` of the model's context window.
const HISTORY_SHARE: u32 = 4;

/// Maximum number of messages that are read. Older messages without a summary are left out.
const MAX_MESSAGES: i64 = 200;

/// The messages of a session that its summary does not cover.
pub struct History {
    numbers: Vec<i64>,
    messages: Vec<Message>,
    /// The last question of a search, if any.
    pub last_question: Option<String>,
}

impl History {
    /// Reads the messages of a session, the oldest first.
    pub fn read(session: &Session) -> Result<Self> {
        let rows = as_config_owner(|| {
            let rows = select(
                "SELECT id, role, content, question FROM (
                   SELECT id, role, content, question FROM rag._messages
                   WHERE session = $1 AND id > $2 ORDER BY id DESC LIMIT $3) newest
                 ORDER BY id",
                &[Arg::new(session.id), Arg::new(session.summarised), Arg::new(MAX_MESSAGES)],
            )?;
            let row = |row| {
                let role = if rows.text(row, 1)? == "user" { Role::User } else { Role::Assistant };
                let content = rows.text(row, 2)?;
                // An answer of nothing tells the model nothing, and providers refuse it.
                (!content.trim().is_empty()).then_some((
                    rows.int8(row, 0)?,
                    Message::new(role, content),
                    rows.text(row, 3),
                ))
            };
            Ok((0..rows.count).filter_map(row).collect::<Vec<_>>())
        })?;
        let last_question = rows.iter().rev().find_map(|(_, _, question)| question.clone());
        let (numbers, messages) = rows.into_iter().map(|(number, message, _)| (number, message)).unzip();
        Ok(Self { numbers, messages, last_question })
    }

    /// The messages for the model. If they do not fit, the model first summarises the older ones, and the
    /// summary replaces them. Without a usable summary the older messages are left out this time, with a
    /// NOTICE, and the next turn tries again.
    pub fn fit(
        mut self,
        session: &mut Session,
        generator: &Generator,
        options: CallOptions,
    ) -> Result<Vec<Message>> {
        let Generator::Remote(remote) = generator else { return Ok(Vec::new()) };
        if !self.messages.is_empty() {
            let texts = self.messages.iter().map(|message| message.content.clone()).collect();
            let roles: Vec<Role> = self.messages.iter().map(|message| message.role).collect();
            let kept = chat::fitting(
                &count_tokens_generously(texts)?,
                &roles,
                remote.context_tokens / HISTORY_SHARE,
            );
            let older = self.messages.len() - kept;
            if older > 0 {
                let shown = self.messages.split_off(older);
                self.summarise(session, remote, options)?;
                self.messages = shown;
            }
        }
        let summary = session.summary.iter().map(|summary| chat::summary(summary));
        Ok(summary.chain(self.messages).collect())
    }

    fn summarise(&self, session: &mut Session, remote: &Remote, options: CallOptions) -> Result<()> {
        let messages = chat::summarising(session.summary.as_deref(), &self.messages);
        match ask_aside(remote, messages, options)? {
            Some(summary) => {
                session.summary = Some(summary);
                session.summarised =
                    self.numbers[..self.messages.len()].last().copied().unwrap_or(session.summarised);
            }
            None => Error::information("the earlier messages of the session could not be summarised")
                .detail(format!("the model does not get {} of them for this answer", self.messages.len()))
                .notice(PgLogLevel::NOTICE),
        }
        Ok(())
    }
}

/// Asks the model for a text that the user does not see: a summary, or a question. `None` if the answer is
/// empty or cut, or if the model refuses to answer: the conversation goes on without it.
pub fn ask_aside(remote: &Remote, messages: Vec<Message>, options: CallOptions) -> Result<Option<String>> {
    let max_tokens = (remote.context_tokens / HISTORY_SHARE).min(MAX_ASIDE_TOKENS);
    // No temperature: some models refuse any.
    let prompt = Prompt { messages, max_tokens: Some(max_tokens), ..Prompt::default() };
    let completion = match remote.complete_as_step(prompt, options) {
        Ok(completion) => completion,
        Err(error) if is_rejected(&error) => return Ok(None),
        Err(error) => return Err(error),
    };
    let is_whole = !matches!(completion.finish_reason.as_str(), "length" | "content_filter");
    let text = completion.content.trim();
    Ok((is_whole && !text.is_empty()).then(|| text.to_owned()))
}

/// Maximum number of tokens of such a text. It needs some 200; the rest is for a model's thoughts.
const MAX_ASIDE_TOKENS: u32 = 2048;
