//! One turn of a conversation.

use crate::ask;
use crate::ask::{CitedAnswer, Question};
use crate::chat::history::{History, ask_aside};
use crate::chat::persona;
use crate::chat::persona::Persona;
use crate::chat::session::{NewMessage, Session};
use crate::provider::{CallOptions, Generator, Remote, notice_shortcoming};
use ragstone_core::ask::relevance::MIN_SIMILARITY;
use ragstone_core::chat as core_chat;
use ragstone_core::provider::{Completion, Message, Prompt, Role};
use ragstone_pg::bytes::Jsonb;
use ragstone_pg::error::Result;

/// The arguments of `rag.chat`.
#[derive(Debug)]
pub struct Turn {
    /// The session.
    pub session: i64,
    /// The user's message.
    pub message: String,
    /// Collection for this answer and the following ones.
    pub collection: Option<String>,
    /// Name of the persona for this answer and the following ones.
    pub persona: Option<String>,
    /// The model for this answer and the following ones.
    pub model: Option<String>,
    /// Maximum number of passages.
    pub k: i32,
    /// Maximum number of tokens of the answer.
    pub max_tokens: Option<u32>,
    /// Timeout of each call, in milliseconds.
    pub timeout_ms: Option<i32>,
    /// Name of the SQL function, for `rag.calls`.
    pub function: &'static str,
}

/// The answer of a turn.
#[derive(Debug)]
pub struct ChatReply {
    /// Number of the message.
    pub message: i64,
    /// The answer.
    pub answer: String,
    /// Citations, if the answer is from a collection.
    pub citations: Option<Jsonb>,
    /// The question of the search, if there was one.
    pub question: Option<String>,
    /// The model.
    pub model: String,
    /// The persona's name and version.
    pub persona: Option<(String, i32)>,
    /// False if the collection has no answer.
    pub answered: bool,
}

/// A turn that is ready to be answered.
pub struct PreparedTurn {
    /// The session, with the user's message in it.
    pub session: Session,
    /// The persona of the answer.
    pub persona: Persona,
    /// The source of the answer.
    pub source: AnswerSource,
}

/// The source of a turn's answer.
pub enum AnswerSource {
    /// A question to a collection.
    Collection(Box<Question>),
    /// A prompt to a language model alone.
    Model(Box<Remote>, Prompt),
}

/// Executes a turn and waits for the answer.
pub fn chat(turn: &Turn) -> Result<ChatReply> {
    let prepared = prepare(turn)?;
    match &prepared.source {
        AnswerSource::Collection(question) => {
            let answered = ask::ask(question)?;
            prepared.write_collection_answer(answered)
        }
        AnswerSource::Model(remote, prompt) => {
            let completion = remote.complete_streaming_as_step(prompt.clone(), turn.options())?;
            notice_shortcoming(&completion);
            prepared.write_model_answer(&completion, &remote.name())
        }
    }
}

/// Locks the session, stores the user's message, and prepares the question or the prompt.
pub fn prepare(turn: &Turn) -> Result<PreparedTurn> {
    let mut session = Session::open(turn.session)?;
    let settings = &mut session.settings;
    for (setting, given) in [
        (&mut settings.collection, &turn.collection),
        (&mut settings.persona, &turn.persona),
        (&mut settings.model, &turn.model),
    ] {
        if given.is_some() {
            setting.clone_from(given);
        }
    }
    settings.title.get_or_insert_with(|| core_chat::title(&turn.message));
    let persona = settings.persona.as_deref().map(persona::find).transpose()?.unwrap_or_default();
    let model = settings.model.clone().or_else(|| persona.model.clone());
    let generator = Generator::find(model.as_deref())?;
    let history = History::read(&session)?;
    session.write(&NewMessage { role: "user", content: &turn.message, ..NewMessage::default() })?;
    let source = match session.settings.collection.clone() {
        Some(collection) => {
            let mut question = turn.question(collection, &mut session, &generator, history)?;
            question.model = model;
            question.instructions.clone_from(&persona.instructions);
            question.temperature = persona.temperature;
            AnswerSource::Collection(Box::new(question))
        }
        None => {
            let shown = history.fit(&mut session, &generator, turn.options())?;
            let prompt = turn.prompt(&persona, shown);
            AnswerSource::Model(Box::new(generator.remote()?), prompt)
        }
    };
    session.save()?;
    Ok(PreparedTurn { session, persona, source })
}

impl Turn {
    /// The options of the turn's calls.
    pub fn options(&self) -> CallOptions {
        CallOptions { function: self.function, timeout_ms: self.timeout_ms }
    }

    fn question(
        &self,
        collection: String,
        session: &mut Session,
        generator: &Generator,
        history: History,
    ) -> Result<Question> {
        let last_question = history.last_question.clone();
        let shown = history.fit(session, generator, self.options())?;
        let text = match generator {
            Generator::Remote(remote) if !shown.is_empty() => self.rewrite(remote, &shown)?,
            Generator::Remote(_) => self.message.trim().to_owned(),
            Generator::Extractive => core_chat::standalone(last_question.as_deref(), &self.message),
        };
        let mut question = Question::new(ask::search_for(collection, text, self.k)?, MIN_SIMILARITY)?;
        question.history = shown;
        question.max_tokens = self.max_tokens;
        question.timeout_ms = self.timeout_ms;
        question.function = self.function;
        Ok(question)
    }

    /// The message as a question that can be understood without the earlier messages; if the model gives
    /// none, the message as it stands.
    fn rewrite(&self, remote: &Remote, history: &[Message]) -> Result<String> {
        let question = ask_aside(remote, core_chat::rewriting(history, &self.message), self.options())?;
        Ok(core_chat::rewritten(question.as_deref().unwrap_or_default(), &self.message))
    }

    fn prompt(&self, persona: &Persona, history: Vec<Message>) -> Prompt {
        let system = persona.instructions.iter().map(|text| Message::new(Role::System, text.clone()));
        let last = Message::new(Role::User, self.message.clone());
        Prompt {
            messages: system.chain(history).chain([last]).collect(),
            temperature: persona.temperature,
            max_tokens: self.max_tokens,
            ..Prompt::default()
        }
    }
}

impl PreparedTurn {
    /// Stores an answer from a collection.
    pub fn write_collection_answer(&self, answered: CitedAnswer) -> Result<ChatReply> {
        let question = match &self.source {
            AnswerSource::Collection(question) => Some(question.search.query.clone()),
            AnswerSource::Model(..) => None,
        };
        let message = self.session.write(&NewMessage {
            role: "assistant",
            content: &answered.answer,
            question: question.as_deref(),
            citations: Some(&answered.citations),
            answered: Some(answered.answered),
            persona: self.persona.version.as_ref(),
            model: Some(&answered.model),
        })?;
        Ok(ChatReply {
            message,
            answer: answered.answer,
            citations: Some(answered.citations),
            question,
            model: answered.model,
            persona: self.persona.version.clone(),
            answered: answered.answered,
        })
    }

    /// Stores an answer from a language model alone. An answer that is empty, cut or refused does not count as
    /// one.
    pub fn write_model_answer(&self, completion: &Completion, model: &str) -> Result<ChatReply> {
        let (content, answered) = (completion.content.as_str(), completion.is_answer());
        let message = self.session.write(&NewMessage {
            role: "assistant",
            content,
            answered: Some(answered),
            persona: self.persona.version.as_ref(),
            model: Some(model),
            ..NewMessage::default()
        })?;
        Ok(ChatReply {
            message,
            answer: content.to_owned(),
            citations: None,
            question: None,
            model: model.to_owned(),
            persona: self.persona.version.clone(),
            answered,
        })
    }
}
