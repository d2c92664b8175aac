//! One turn of a conversation.

use crate::ask;
use crate::ask::{CitedAnswer, Question};
use crate::chat::history::History;
use crate::chat::persona;
use crate::chat::persona::Persona;
use crate::chat::session::{NewMessage, Session};
use crate::provider::{CallOptions, Generator, Remote};
use ragstone_core::ask::relevance::MIN_SIMILARITY;
use ragstone_core::chat as core_chat;
use ragstone_core::provider::{Message, Prompt, Role};
use ragstone_pg::bytes::Jsonb;
use ragstone_pg::error::{Error, Result};

/// Tokens of a question that was made independent of what was said before it.
const QUESTION_TOKENS: u32 = 256;

/// What a user says, and what is to be different from now on.
#[derive(Debug)]
pub struct Turn {
    /// The session.
    pub session: i64,
    /// What is said.
    pub message: String,
    /// Collection that the session is answered from, from now on.
    pub collection: Option<String>,
    /// How it is answered, from now on.
    pub persona: Option<String>,
    /// Who answers, from now on.
    pub model: Option<String>,
    /// Most passages.
    pub k: i32,
    /// Most tokens of the answer.
    pub max_tokens: Option<u32>,
    /// Longest time of each call, milliseconds.
    pub timeout_ms: Option<i32>,
    /// Name of the SQL function, for the record.
    pub function: &'static str,
}

/// What was answered.
#[derive(Debug)]
pub struct Said {
    /// Number of the message.
    pub message: i64,
    /// The answer.
    pub answer: String,
    /// What supports it, where it is from a collection.
    pub citations: Option<Jsonb>,
    /// The question as it was searched for.
    pub question: Option<String>,
    /// Who answered.
    pub model: String,
    /// The persona's name and version.
    pub persona: Option<(String, i32)>,
    /// Whether it is an answer.
    pub answered: bool,
}

/// A turn for which all is ready but the answer.
pub struct Ready {
    /// The session, with the user's message in it.
    pub session: Session,
    /// How it is answered.
    pub persona: Persona,
    /// From what.
    pub source: Source,
}

/// From what a turn is answered.
pub enum Source {
    /// From a collection.
    Collection(Box<Question>),
    /// By a language model alone.
    Model(Box<Remote>, Prompt),
}

/// Says something, and waits for the answer.
pub fn chat(turn: &Turn) -> Result<Said> {
    let ready = prepare(turn)?;
    match &ready.source {
        Source::Collection(question) => {
            let answered = ask::ask(question)?;
            ready.answered(answered)
        }
        Source::Model(remote, prompt) => {
            let content = remote.complete_aloud_as_step(prompt.clone(), turn.options())?.content;
            ready.said(&content, &format!("{}/{}", remote.target.name, remote.model))
        }
    }
}

/// Opens the session, writes the user's message, and finds out what is to be asked.
pub fn prepare(turn: &Turn) -> Result<Ready> {
    if turn.message.trim().is_empty() {
        return Err(Error::bad_argument("message is empty"));
    }
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
            Source::Collection(Box::new(question))
        }
        None => {
            let shown = history.fit(&mut session, &generator, turn.options())?;
            let prompt = turn.prompt(&persona, shown);
            Source::Model(Box::new(generator.remote()?), prompt)
        }
    };
    session.save()?;
    Ok(Ready { session, persona, source })
}

impl Turn {
    /// What concerns its calls.
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

    fn rewrite(&self, remote: &Remote, history: &[Message]) -> Result<String> {
        let prompt = Prompt {
            messages: core_chat::rewriting(history, &self.message),
            temperature: Some(0.0),
            max_tokens: Some(QUESTION_TOKENS),
            ..Prompt::default()
        };
        Ok(core_chat::rewritten(&remote.complete_as_step(prompt, self.options())?.content, &self.message))
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

impl Ready {
    /// Writes an answer from a collection.
    pub fn answered(&self, answered: CitedAnswer) -> Result<Said> {
        let question = match &self.source {
            Source::Collection(question) => Some(question.search.query.clone()),
            Source::Model(..) => None,
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
        Ok(Said {
            message,
            answer: answered.answer,
            citations: Some(answered.citations),
            question,
            model: answered.model,
            persona: self.persona.version.clone(),
            answered: answered.answered,
        })
    }

    /// Writes an answer of a language model alone.
    pub fn said(&self, content: &str, model: &str) -> Result<Said> {
        let message = self.session.write(&NewMessage {
            role: "assistant",
            content,
            answered: Some(true),
            persona: self.persona.version.as_ref(),
            model: Some(model),
            ..NewMessage::default()
        })?;
        Ok(Said {
            message,
            answer: content.to_owned(),
            citations: None,
            question: None,
            model: model.to_owned(),
            persona: self.persona.version.clone(),
            answered: true,
        })
    }
}
