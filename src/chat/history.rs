//! The earlier messages of a session, shortened to the model's context window.

use crate::chat::session::Session;
use crate::embedding::tokens::count_tokens_generously;
use crate::provider::{CallOptions, Generator, Remote};
use ragstone_core::chat;
use ragstone_core::provider::{Message, Prompt, Role};
use ragstone_pg::error::Result;
use ragstone_pg::own_tables::as_config_owner;
use ragstone_pg::spi::{Arg, select};

/// The history may fill one in this many parts of the model's context window.
const HISTORY_SHARE: u32 = 4;

/// Maximum number of messages that are read. Older ones that are not summarised yet are left out.
const MAX_MESSAGES: i64 = 200;

/// Maximum number of tokens of a summary. The model is asked for 150 words.
const MAX_SUMMARY_TOKENS: u32 = 400;

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
                Some((rows.int8(row, 0)?, Message::new(role, rows.text(row, 2)?), rows.text(row, 3)))
            };
            Ok((0..rows.count).filter_map(row).collect::<Vec<_>>())
        })?;
        let last_question = rows.iter().rev().find_map(|(_, _, question)| question.clone());
        let (numbers, messages) = rows.into_iter().map(|(number, message, _)| (number, message)).unzip();
        Ok(Self { numbers, messages, last_question })
    }

    /// The messages for the model. If they do not fit, the model first summarises the older ones, and the summary replaces them.
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
        let prompt = Prompt {
            messages: chat::summarising(session.summary.as_deref(), &self.messages),
            temperature: Some(0.0),
            max_tokens: Some(MAX_SUMMARY_TOKENS),
            ..Prompt::default()
        };
        session.summary = Some(remote.complete_as_step(prompt, options)?.content.trim().to_owned());
        session.summarised =
            self.numbers[..self.messages.len()].last().copied().unwrap_or(session.summarised);
        Ok(())
    }
}
