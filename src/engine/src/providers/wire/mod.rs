//! The wire protocols: what is asked as the JSON that a provider reads, and what it answers as ours. Nothing here opens a
//! connection.

pub mod openai;

pub mod anthropic;

pub mod gemini;

pub mod cohere;

pub mod tei;

#[cfg(test)]
mod tests;

use std::fmt;

use ragstone_core::{
    protocol::Kind,
    provider::{Message, Prompt, Wire},
};
use reqwest::Url;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::refusal::Refusal;
use crate::failure::Error;

/// One of the protocols that providers speak.
pub trait Protocol: Sync {
    /// As users write it.
    fn name(&self) -> &'static str;

    /// The header that carries the key. Its value is a secret.
    fn key(&self, _base: &Url, key: &str) -> (&'static str, String) {
        ("authorization", format!("Bearer {key}"))
    }

    /// Headers that every request has.
    fn headers(&self) -> &'static [(&'static str, &'static str)] {
        &[]
    }

    /// Most texts to embed in one request.
    fn most_texts(&self) -> usize {
        96
    }

    /// Most documents to compare with a question in one request.
    fn most_documents(&self) -> usize {
        1000
    }

    /// A question to a language model.
    ///
    /// # Errors
    /// The prompt makes no sense, or the protocol has no language models.
    fn complete(&self, _ask: &Ask<'_>) -> Result<Post, Error> {
        Err(without(self.name(), "language models"))
    }

    /// What a language model answered, in one piece.
    ///
    /// # Errors
    /// It is not what the protocol says.
    fn completed(&self, _body: &[u8]) -> Result<Reply, Fault> {
        Err(Fault::Malformed("an answer of a language model".into()))
    }

    /// One event of a streamed answer; gives the text that it adds.
    ///
    /// # Errors
    /// It is not what the protocol says, or says that the provider gives up.
    fn event(&self, _gathered: &mut Gathered, _data: &str) -> Result<String, Fault> {
        Err(Fault::Malformed("an event".into()))
    }

    /// Texts to embed, not more than [`Self::most_texts`].
    ///
    /// # Errors
    /// The protocol has no embeddings.
    fn embed(&self, _ask: &Texts<'_>) -> Result<Post, Error> {
        Err(without(self.name(), "embedding models"))
    }

    /// The embeddings in the order of the texts.
    ///
    /// # Errors
    /// It is not what the protocol says.
    fn embedded(&self, _body: &[u8]) -> Result<Embedded, Fault> {
        Err(Fault::Malformed("embeddings".into()))
    }

    /// Documents to compare with a question.
    ///
    /// # Errors
    /// The protocol has no reranking.
    fn rerank(&self, _model: &str, _query: &str, _documents: &[String]) -> Result<Post, Error> {
        Err(without(self.name(), "reranking models"))
    }

    /// Scores with the number of the document that each belongs to.
    ///
    /// # Errors
    /// It is not what the protocol says.
    fn reranked(&self, _body: &[u8]) -> Result<Vec<(usize, f64)>, Fault> {
        Err(Fault::Malformed("scores".into()))
    }
}

fn without(protocol: &str, what: &str) -> Error {
    Error::Argument(format!("protocol {protocol} has no {what}"))
}

/// The protocol of a target.
pub fn of(wire: Wire) -> &'static dyn Protocol {
    match wire {
        Wire::OpenAi => &openai::OpenAi,
        Wire::Anthropic => &anthropic::Anthropic,
        Wire::Gemini => &gemini::Gemini,
        Wire::Cohere => &cohere::Cohere,
        Wire::Tei => &tei::Tei,
    }
}

/// A question to a language model.
pub struct Ask<'a> {
    /// Where it will be sent; some hosts have ways of their own.
    pub base: &'a Url,
    /// What is asked.
    pub prompt: &'a Prompt,
    /// Whether the answer comes in pieces.
    pub stream: bool,
}

/// Texts to embed.
pub struct Texts<'a> {
    /// Where they will be sent.
    pub base: &'a Url,
    /// The provider's name of the model.
    pub model: &'a str,
    /// Length of the embeddings, where it is chosen.
    pub dimensions: Option<u32>,
    /// Whether these are questions.
    pub kind: Kind,
    /// The texts.
    pub texts: &'a [String],
}

/// A request that is ready to be sent.
#[derive(Debug, PartialEq)]
pub struct Post {
    /// Path below the base URL, and the query if it has one.
    pub path: String,
    /// The body.
    pub body: Value,
}

/// What a language model answered.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Reply {
    /// The text.
    pub content: String,
    /// The tools that it calls, as OpenAI writes them.
    pub tool_calls: Vec<Value>,
    /// `stop`, `length`, `tool_calls`, `content_filter`, or what the provider calls it.
    pub finish_reason: String,
    /// Tokens of prompt and answer, where the provider tells.
    pub tokens: Option<(u64, u64)>,
}

/// A streamed answer as far as it has come.
#[derive(Debug, Default)]
pub struct Gathered {
    /// The text so far.
    pub content: String,
    /// The tools that it calls, by the number that the provider gives them.
    pub calls: Vec<PartialCall>,
    /// Why it ended, once it did.
    pub finish_reason: Option<String>,
    /// Tokens of the prompt.
    pub input_tokens: Option<u64>,
    /// Tokens of the answer.
    pub output_tokens: Option<u64>,
    /// Nothing follows.
    pub done: bool,
}

/// A call of a tool that comes in parts.
#[derive(Debug, Default)]
pub struct PartialCall {
    /// Number in the answer.
    pub index: u64,
    /// The provider's name of the call.
    pub id: String,
    /// The tool.
    pub name: String,
    /// Its arguments, JSON text.
    pub arguments: String,
}

impl Gathered {
    /// The call with this number, begun where there is none.
    pub fn call(&mut self, index: u64) -> &mut PartialCall {
        let at = self.calls.iter().position(|call| call.index == index).unwrap_or(self.calls.len());
        if at == self.calls.len() {
            self.calls.push(PartialCall { index, ..PartialCall::default() });
        }
        &mut self.calls[at]
    }

    /// The whole answer.
    pub fn finish(self) -> Reply {
        let tokens = self.input_tokens.zip(self.output_tokens);
        let tool_calls: Vec<Value> =
            self.calls.into_iter().map(|call| tool_call(&call.id, &call.name, &call.arguments)).collect();
        let usual = if tool_calls.is_empty() { "stop" } else { "tool_calls" };
        let finish_reason = self.finish_reason.unwrap_or_else(|| usual.into());
        Reply { content: self.content, tool_calls, finish_reason, tokens }
    }
}

/// Embeddings of one request.
#[derive(Debug, PartialEq)]
pub struct Embedded {
    /// In the order of the texts.
    pub vectors: Vec<Vec<f32>>,
    /// Tokens of all texts, where the provider tells.
    pub tokens: Option<u64>,
}

/// An answer that is none.
#[derive(Debug)]
pub enum Fault {
    /// Not what the protocol says; in words that repeat nothing of it.
    Malformed(String),
    /// The provider gives up in the middle of its answer.
    Refused(Refusal),
}

/// A call of a tool as OpenAI writes it.
pub fn tool_call(id: &str, name: &str, arguments: &str) -> Value {
    serde_json::json!({ "id": id, "type": "function", "function": { "name": name, "arguments": arguments } })
}

/// Reads JSON; the reason of a failure names a place and nothing of what is there.
///
/// # Errors
/// [`Fault::Malformed`].
pub fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, Fault> {
    serde_json::from_slice(body).map_err(|error| {
        let what = match error.classify() {
            serde_json::error::Category::Data => "JSON of another shape than expected",
            serde_json::error::Category::Eof => "JSON that ends too early",
            _ => "no JSON",
        };
        Fault::Malformed(format!("{what}, line {} column {}", error.line(), error.column()))
    })
}

/// JSON that came as an argument.
///
/// # Errors
/// It is none.
pub fn argument<T: DeserializeOwned>(
    name: &str,
    expected: impl fmt::Display,
    json: &str,
) -> Result<T, Error> {
    serde_json::from_str(json).map_err(|_| Error::Argument(format!("{name}: expected {expected}")))
}

/// The tools of a prompt, each the object below `function`.
///
/// # Errors
/// They are not what OpenAI's protocol says.
pub fn tools(prompt: &Prompt) -> Result<Vec<Map<String, Value>>, Error> {
    let Some(json) = &prompt.tools else { return Ok(Vec::new()) };
    let tools: Vec<Value> = argument("tools", "a JSON array", json)?;
    tools
        .into_iter()
        .map(|mut tool| match tool.get_mut("function").map(Value::take) {
            Some(Value::Object(function)) => Ok(function),
            _ => Err(Error::Argument("tools: expected objects with a member \"function\"".into())),
        })
        .collect()
}

/// The calls in a message of an assistant.
///
/// # Errors
/// They are no JSON array.
pub fn calls(message: &Message) -> Result<Vec<Value>, Error> {
    match &message.tool_calls {
        Some(json) => argument("tool_calls", "a JSON array", json),
        None => Ok(Vec::new()),
    }
}

/// The arguments of a call that OpenAI's protocol writes as JSON text.
///
/// # Errors
/// They are none.
pub fn arguments(call: &Value) -> Result<Value, Error> {
    match call["function"]["arguments"].as_str().filter(|text| !text.is_empty()) {
        Some(text) => argument("tool_calls", "arguments that are JSON text", text),
        None => Ok(Value::Object(Map::new())),
    }
}

/// Adds the members of the prompt's options to the body, except those that decide how the answer comes.
///
/// # Errors
/// The options are no JSON object.
pub fn with_options(mut body: Map<String, Value>, prompt: &Prompt) -> Result<Value, Error> {
    if let Some(json) = &prompt.options {
        let mut options: Map<String, Value> = argument("options", "a JSON object", json)?;
        options.remove("stream");
        body.append(&mut options);
    }
    Ok(Value::Object(body))
}

/// Puts a member into a body where there is a value for it.
pub fn put(body: &mut Map<String, Value>, name: &str, value: Option<impl Into<Value>>) {
    if let Some(value) = value {
        body.insert(name.into(), value.into());
    }
}
