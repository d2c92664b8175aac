//! Calls to providers of language models, as backend and engine speak of them.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::failure::FailureKind;

/// A value that no message, log line or error ever shows.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Secret(pub String);

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("…")
    }
}

/// Which wire protocol a provider speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Wire {
    /// Chat completions and embeddings as OpenAI has them, and many others after it.
    OpenAi,
    /// Anthropic's messages.
    Anthropic,
    /// Google's generateContent.
    Gemini,
    /// Cohere's embed and rerank.
    Cohere,
    /// Text Embeddings Inference: embed and rerank.
    Tei,
}

/// Maximum size of the texts in one request for embeddings, in bytes; a single text may be longer. That is about 100,000 tokens, and
/// OpenAI accepts 300,000.
pub const MAX_EMBEDDING_BYTES: usize = 400_000;

/// A name that no wire protocol has.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown protocol \"{0}\"")]
pub struct UnknownWire(pub String);

impl Wire {
    /// All protocols.
    pub const ALL: [Self; 5] = [Self::OpenAi, Self::Anthropic, Self::Gemini, Self::Cohere, Self::Tei];

    /// Its name in the option `protocol` of a server.
    pub const fn name(self) -> &'static str {
        match self {
            Self::OpenAi => "openai",
            Self::Anthropic => "anthropic",
            Self::Gemini => "gemini",
            Self::Cohere => "cohere",
            Self::Tei => "tei",
        }
    }

    /// Maximum number of texts in one request for embeddings, if the server has no option for it, and of documents to rerank.
    pub const fn max_texts(self) -> usize {
        match self {
            // The server's default of --max-client-batch-size.
            Self::Tei => 32,
            // Cohere's limit, the lowest of the others.
            _ => 96,
        }
    }
}

impl FromStr for Wire {
    type Err = UnknownWire;

    fn from_str(name: &str) -> Result<Self, UnknownWire> {
        Self::ALL.into_iter().find(|wire| wire.name() == name).ok_or_else(|| UnknownWire(name.to_owned()))
    }
}

/// Where the key of a provider is for the engine, which reads no files of keys.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Key {
    /// The provider wants none.
    None,
    /// Here.
    Value(Secret),
    /// In this variable of the engine's environment, which is the server's.
    Environment(String),
}

/// Limits of a provider's calls. Limits without a unit in their name count calls.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Limits {
    /// Longest time to a connection, milliseconds.
    pub connect_timeout_ms: u64,
    /// Longest time of a call, waiting for its turn and all tries included, milliseconds.
    pub timeout_ms: u64,
    /// Further tries after one that may succeed when it is repeated.
    pub retries: u32,
    /// Most calls at once, of all sessions.
    pub concurrency: u32,
    /// Most calls in a minute, of all sessions.
    pub requests_per_minute: Option<u32>,
    /// Most tokens in a minute, of all sessions.
    pub tokens_per_minute: Option<u32>,
    /// Longest reply, bytes.
    pub max_reply_bytes: u64,
    /// Most texts in one request for embeddings.
    pub max_texts: u32,
}

/// What a provider takes for a million tokens, in the currency of its administrator.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Prices {
    /// Tokens of prompts, or of texts to embed.
    pub input: f64,
    /// Tokens of answers.
    pub output: f64,
}

impl Prices {
    /// The cost of a call with these tokens.
    pub fn cost(&self, input_tokens: u64, output_tokens: u64) -> f64 {
        (self.input * input_tokens as f64 + self.output * output_tokens as f64) / 1e6
    }
}

/// A provider, with the key that this call may use. A backend makes it from a foreign server and its user mappings.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Target {
    /// OID of the database that the server is defined in.
    pub database: u32,
    /// OID of the server. Limits are counted for each pair of database and server.
    pub server: u32,
    /// Name of the server.
    pub name: String,
    /// Its protocol.
    pub wire: Wire,
    /// Without a slash at its end.
    pub base_url: String,
    /// The key.
    pub key: Key,
    /// Limits of its calls.
    pub limits: Limits,
    /// Its prices.
    pub prices: Prices,
}

impl Target {
    /// Identifies the model. Equal fingerprints mean equal embeddings, unless the provider has replaced the model behind the name, which
    /// cannot be found out.
    pub fn fingerprint(&self, model: &str, dimensions: Option<u32>) -> String {
        let dimensions = dimensions.map_or_else(String::new, |dimensions| format!(" {dimensions}"));
        format!("{:?} {} {model}{dimensions}", self.wire, self.base_url)
    }
}

/// The author of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// The application.
    System,
    /// The person or program that asks.
    User,
    /// The model.
    Assistant,
    /// The result of a tool.
    Tool,
}

/// One message of a conversation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// Its author.
    pub role: Role,
    /// Its text.
    pub content: String,
    /// The tools that an assistant's message calls: a JSON array in OpenAI's form.
    pub tool_calls: Option<String>,
    /// The call that a tool's message answers.
    pub tool_call_id: Option<String>,
}

impl Message {
    /// A message of text alone.
    pub fn new(role: Role, content: impl Into<String>) -> Self {
        Self { role, content: content.into(), tool_calls: None, tool_call_id: None }
    }
}

/// A request to a language model.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Prompt {
    /// The provider's name of the model.
    pub model: String,
    /// The conversation, system messages first.
    pub messages: Vec<Message>,
    /// Randomness, from 0.
    pub temperature: Option<f64>,
    /// Most tokens of the answer.
    pub max_tokens: Option<u32>,
    /// Texts at which the answer ends.
    pub stop: Vec<String>,
    /// Same seed, same answer, as far as the provider can.
    pub seed: Option<i64>,
    /// JSON Schema that the answer must meet, as JSON text. It is checked, and mended once.
    pub schema: Option<String>,
    /// Tools that the model may call: a JSON array as OpenAI writes it.
    pub tools: Option<String>,
    /// Members that are added to the request as they are: a JSON object.
    pub options: Option<String>,
}

/// The answer of a language model.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Completion {
    /// The text; with a schema, JSON that meets it.
    pub content: String,
    /// Tools that the model calls: a JSON array as OpenAI writes it.
    pub tool_calls: Option<String>,
    /// `stop`, `length`, `tool_calls`, `content_filter`, or what the provider calls it.
    pub finish_reason: String,
    /// What it used, summed over all tries that were answered.
    pub usage: Usage,
}

/// What one call used.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Usage {
    /// Tokens of the prompt, as the provider counts them.
    pub input_tokens: u64,
    /// Tokens of the answer, as the provider counts them.
    pub output_tokens: u64,
    /// By the target's prices.
    pub cost: f64,
    /// Milliseconds from the request's arrival in the engine to its answer.
    pub latency_ms: f64,
}

/// The caller of a call, and the budgets that it counts against.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Account {
    /// OID of the role that calls.
    pub role: u32,
    /// Name of the SQL function.
    pub function: String,
    /// Whether prompt and answer are kept in the record.
    pub keep_text: bool,
    /// Budgets that must all have room.
    pub budgets: Vec<Budget>,
}

/// A limit of what calls may use in a period.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Budget {
    /// The key of its row in the table of budgets.
    pub id: i64,
    /// Its owner and period, for messages.
    pub label: String,
    /// Start of the current period, seconds since 1970.
    pub period_start: i64,
    /// End of the current period, seconds since 1970.
    pub period_end: i64,
    /// What the recorded calls have used in this period.
    pub recorded: Spent,
    /// Most cost.
    pub max_cost: Option<f64>,
    /// Most tokens, in and out.
    pub max_tokens: Option<u64>,
    /// Most calls.
    pub max_calls: Option<u64>,
}

/// What several calls have used together.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Spent {
    /// Their cost by the prices.
    pub cost: f64,
    /// In and out.
    pub tokens: u64,
    /// Calls.
    pub calls: u64,
}

impl Spent {
    /// The sum of both.
    #[must_use]
    pub fn plus(mut self, other: Self) -> Self {
        self.add(other);
        self
    }

    /// Adds another.
    pub fn add(&mut self, other: Self) {
        self.cost += other.cost;
        self.tokens = self.tokens.saturating_add(other.tokens);
        self.calls += other.calls;
    }

    /// Subtracts what was added before. If no call is left the cost is zero, without a remainder of rounding.
    pub fn subtract(&mut self, other: Self) {
        self.calls = self.calls.saturating_sub(other.calls);
        self.cost = if self.calls == 0 { 0.0 } else { self.cost - other.cost };
        self.tokens = self.tokens.saturating_sub(other.tokens);
    }
}

/// A call to a provider that has ended, for `rag.calls`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Call {
    /// Counts the calls of one engine process.
    pub number: u64,
    /// When it began, microseconds since 1970.
    pub began_us: i64,
    /// OID of the role that called.
    pub role: u32,
    /// Name of the SQL function.
    pub function: String,
    /// Name of the server.
    pub server: String,
    /// The provider's name of the model.
    pub model: String,
    /// What it used.
    pub usage: Usage,
    /// How it ended.
    pub status: Status,
    /// Tries beyond the first.
    pub retries: u32,
    /// The prompt's messages as JSON, if texts are kept.
    pub prompt: Option<String>,
    /// The answer, if texts are kept.
    pub reply: Option<String>,
}

/// How a call ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Status {
    /// It was answered.
    Answered,
    /// The caller stopped waiting for it.
    Cancelled,
    /// It failed; the kind decides the SQLSTATE. No message, since a provider may repeat the prompt in it.
    Failed(FailureKind),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn protocols_are_read_by_their_names() {
        for wire in Wire::ALL {
            assert_eq!(wire.name().parse(), Ok(wire));
        }
        assert_eq!("smtp".parse::<Wire>(), Err(UnknownWire("smtp".into())));
    }
}
