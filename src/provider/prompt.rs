//! Prompts from the arguments of SQL functions.

use crate::provider::call::{CallOptions, notice_shortcoming};
use crate::provider::generator::{Generator, Remote};
use ragstone_core::provider::{Completion, Message, Prompt, Role};
use ragstone_pg::bytes::Jsonb;
use ragstone_pg::error::{Error, Result};
use ragstone_pg::text::Utf8;
use serde_json::Value;

/// The arguments that `rag.generate` and similar functions share.
#[derive(Debug)]
pub struct GenerateOptions {
    /// Name of the SQL function, for `rag.calls`.
    pub function: &'static str,
    /// `server/model`; None stands for `rag.default_llm`.
    pub model: Option<Utf8>,
    /// The system prompt.
    pub system: Option<Utf8>,
    /// Sampling temperature, from 0.
    pub temperature: Option<f64>,
    /// Maximum number of tokens of the answer.
    pub max_tokens: Option<i32>,
    /// Stop sequences, at which the answer ends.
    pub stop: Option<Vec<Option<Utf8>>>,
    /// Seed of the sampling: with the same seed the answer is the same, if the provider supports it.
    pub seed: Option<i64>,
    /// Timeout, in milliseconds.
    pub timeout_ms: Option<i32>,
    /// Members that are added to the JSON of the request.
    pub options: Option<Jsonb>,
}

impl GenerateOptions {
    /// The provider's model.
    pub fn remote(&self) -> Result<Remote> {
        Generator::find(self.model.as_ref().map(|model| model.0.as_str()))?.remote()
    }

    /// The options of a call that are not part of the prompt.
    pub fn call_options(&self) -> CallOptions {
        CallOptions { function: self.function, timeout_ms: self.timeout_ms }
    }

    /// The prompt without the user's messages.
    fn shared_prompt(&self) -> Result<Prompt> {
        check_temperature(self.temperature)?;
        let max_tokens = self.max_tokens.map(positive("max_tokens")).transpose()?;
        let system = self.system.iter().map(|system| Message::new(Role::System, system.0.clone()));
        Ok(Prompt {
            messages: system.collect(),
            temperature: self.temperature,
            max_tokens,
            stop: self.stop.iter().flatten().flatten().map(|stop| stop.0.clone()).collect(),
            seed: self.seed,
            options: self.options.as_ref().map(object).transpose()?,
            ..Prompt::default()
        })
    }

    /// Refuses what no model takes.
    pub fn check(&self, prompt: Option<&Utf8>) -> Result<()> {
        self.timeout_ms.map(positive("timeout_ms")).transpose()?;
        match prompt {
            Some(prompt) => self.prompt_of_text(&prompt.0).map(|_| ()),
            None => self.shared_prompt().map(|_| ()),
        }
    }

    /// A prompt with one user message.
    pub fn prompt_of_text(&self, text: &str) -> Result<Prompt> {
        let mut prompt = self.shared_prompt()?;
        prompt.messages.push(user(text)?);
        Ok(prompt)
    }

    /// Sends a prompt and waits for the answer.
    pub fn complete(&self, prompt: Prompt) -> Result<Completion> {
        let remote = self.remote()?;
        let completion = match self.function {
            "generate" => remote.complete_streaming_as_step(prompt, self.call_options()),
            _ => remote.complete_as_step(prompt, self.call_options()),
        }?;
        notice_shortcoming(&completion);
        Ok(completion)
    }

    /// A prompt with messages, tools and a schema.
    pub fn prompt_of_all(
        &self,
        prompt: Option<Utf8>,
        messages: Option<Jsonb>,
        tools: Option<Jsonb>,
        schema: Option<Jsonb>,
    ) -> Result<Prompt> {
        let mut all = self.shared_prompt()?;
        if let Some(messages) = &messages {
            all.messages.extend(conversation(messages)?);
        }
        if let Some(prompt) = &prompt {
            all.messages.push(user(&prompt.0)?);
        }
        if prompt.is_none() && messages.is_none() {
            return Err(Error::bad_argument("neither prompt nor messages are given"));
        }
        all.tools = tools.as_ref().map(list).transpose()?;
        let text = |given: &Jsonb| crate::provider::prompt::schema(given, "schema");
        all.schema = schema.as_ref().map(text).transpose()?;
        Ok(all)
    }
}

/// Raises an error for a temperature outside the range of all models.
pub fn check_temperature(temperature: Option<f64>) -> Result<()> {
    match temperature {
        Some(temperature) if !(0.0..=10.0).contains(&temperature) => {
            Err(Error::bad_argument("temperature must be from 0 to 10"))
        }
        _ => Ok(()),
    }
}

/// Checks that an argument named `name` is more than 0.
pub fn positive(name: &'static str) -> impl Fn(i32) -> Result<u32> {
    move |value| {
        let value = u32::try_from(value).ok().filter(|value| *value > 0);
        value.ok_or_else(|| Error::bad_argument(format!("{name} must be more than 0")))
    }
}

fn user(text: &str) -> Result<Message> {
    if text.trim().is_empty() {
        return Err(Error::bad_argument("prompt is empty"));
    }
    Ok(Message::new(Role::User, text))
}

/// Messages in OpenAI's format: `[{"role": "user", "content": "…"}, …]`.
fn conversation(messages: &Jsonb) -> Result<Vec<Message>> {
    let wrong = |number: usize, what: &str| {
        Error::bad_argument(format!("message {number} {what}"))
            .hint("Messages look like [{\"role\": \"user\", \"content\": \"…\"}]; roles are system, user, assistant and tool.")
    };
    let Value::Array(messages) = messages.to_value()? else {
        return Err(wrong(1, "is missing: messages must be a JSON array"));
    };
    if messages.is_empty() {
        return Err(wrong(1, "is missing"));
    }
    let message = |(number, message): (usize, Value)| {
        let role = match message["role"].as_str() {
            Some("system") => Role::System,
            Some("user") => Role::User,
            Some("assistant") => Role::Assistant,
            Some("tool") => Role::Tool,
            _ => return Err(wrong(number, "has no valid role")),
        };
        let tool_calls = message.get("tool_calls").map(Value::to_string);
        let content = match &message["content"] {
            Value::String(content) => content.clone(),
            Value::Null if tool_calls.is_some() => String::new(),
            _ => return Err(wrong(number, "has no content that is a text")),
        };
        let tool_call_id = message["tool_call_id"].as_str().map(str::to_owned);
        Ok(Message { tool_calls, tool_call_id, ..Message::new(role, content) })
    };
    (1..).zip(messages).map(message).collect()
}

fn object(options: &Jsonb) -> Result<String> {
    checked(options, Value::is_object, "options must be a JSON object")
}

fn list(tools: &Jsonb) -> Result<String> {
    checked(tools, Value::is_array, "tools must be a JSON array")
}

/// A JSON Schema, given as the argument `name`, as text.
pub fn schema(schema: &Jsonb, name: &str) -> Result<String> {
    checked(schema, |it| it.is_object() || it.is_boolean(), &format!("{name} must be a JSON object"))
}

fn checked(json: &Jsonb, is_right: impl Fn(&Value) -> bool, otherwise: &str) -> Result<String> {
    let value = json.to_value()?;
    if is_right(&value) { Ok(value.to_string()) } else { Err(Error::bad_argument(otherwise)) }
}
