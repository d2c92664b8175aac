//! The types for calls to providers, which backends and the engine share.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::failure::FailureKind;

/// A value that no message, log line or error may contain.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Secret(pub String);

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("…")
    }
}

/// The wire protocol of a provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Wire {
    /// OpenAI's chat completions and embeddings, which many other providers implement.
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

/// Maximum total size of the texts in one embedding request, bytes; a single text may be longer. This is about 100,000
/// tokens; OpenAI accepts 300,000.
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

    /// Maximum number of texts in one embedding request, and of documents in one reranking request, if the server has no
    /// option for it.
    pub const fn max_texts(self) -> usize {
        match self {
            // The default of the server's option --max-client-batch-size.
            Self::Tei => 32,
            // Cohere's limit, the lowest of the other providers.
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

/// The place of a provider's key. The engine reads no key files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Key {
    /// The provider needs no key.
    None,
    /// The key itself.
    Value(Secret),
    /// A variable in the engine's environment, which is the environment of the PostgreSQL server.
    Environment(String),
}

/// Limits of the calls to a provider. Limits without a unit in their name count calls.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Limits {
    /// Maximum time for establishing a connection, milliseconds.
    pub connect_timeout_ms: u64,
    /// Maximum time of a call, including the wait for its turn and all attempts, milliseconds.
    pub timeout_ms: u64,
    /// Number of further attempts after a transient failure.
    pub retries: u32,
    /// Most calls at once, of all sessions; one role has at most half of them (rounded up).
    pub concurrency: u32,
    /// Maximum number of calls per minute, over all sessions.
    pub requests_per_minute: Option<u32>,
    /// Maximum number of tokens per minute, over all sessions.
    pub tokens_per_minute: Option<u32>,
    /// Maximum length of a reply, bytes.
    pub max_reply_bytes: u64,
    /// Maximum number of texts in one embedding request.
    pub max_texts: u32,
}

impl Limits {
    /// Most calls at once of one role: the rest is kept free for others, since a call under way is not ended for them.
    pub fn concurrency_of_one_role(&self) -> usize {
        self.concurrency.max(1).div_ceil(2) as usize
    }
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
    /// Base URL, without a trailing slash.
    pub base_url: String,
    /// The key.
    pub key: Key,
    /// Limits of its calls.
    pub limits: Limits,
    /// Its prices.
    pub prices: Prices,
}

impl Target {
    /// Identifies the model. Equal fingerprints mean equal embeddings, unless the provider has replaced the model under the
    /// same name, which cannot be detected.
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
    /// The user or program that asks.
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
    /// The tool calls of an assistant's message: a JSON array in OpenAI's format.
    pub tool_calls: Option<String>,
    /// The id of the call whose result a tool's message contains.
    pub tool_call_id: Option<String>,
    /// What a provider's assistant wants back with its message, such as signed thoughts: [`Completion::own`].
    #[serde(default)]
    pub own: Option<String>,
}

impl Message {
    /// A message that consists of text only.
    pub fn new(role: Role, content: impl Into<String>) -> Self {
        Self { role, content: content.into(), tool_calls: None, tool_call_id: None, own: None }
    }
}

/// A request to a language model.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Prompt {
    /// The provider's name of the model.
    pub model: String,
    /// The conversation, system messages first.
    pub messages: Vec<Message>,
    /// Sampling temperature, from 0.
    pub temperature: Option<f64>,
    /// Maximum number of tokens of the answer.
    pub max_tokens: Option<u32>,
    /// Texts at which the answer ends.
    pub stop: Vec<String>,
    /// Seed of the sampling: equal seeds give equal answers if the provider supports it.
    pub seed: Option<i64>,
    /// JSON Schema that the answer must meet, as JSON text. The answer is checked, and the model corrects it at most once.
    pub schema: Option<String>,
    /// Tools that the model may call: a JSON array in OpenAI's format.
    pub tools: Option<String>,
    /// Members that are added to the request unchanged: a JSON object.
    pub options: Option<String>,
}

/// The answer of a language model.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Completion {
    /// The text; with a schema, JSON that meets it.
    pub content: String,
    /// Tools that the model calls: a JSON array in OpenAI's format.
    pub tool_calls: Option<String>,
    /// `stop`, `length`, `tool_calls`, `content_filter`, or the provider's own value.
    pub finish_reason: String,
    /// Usage, summed over all attempts that were answered.
    pub usage: Usage,
    /// What the provider wants back with this message, as JSON that only the engine reads: it is sent to the same model of the
    /// same provider, and to no other.
    pub own: Option<String>,
    /// Members of the request that the model has refused during this call, and that it was then sent without.
    pub left_out: Vec<String>,
}

impl Completion {
    /// Whether this is a whole answer: it is not empty, and was neither cut nor refused.
    pub fn is_answer(&self) -> bool {
        self.shortcoming().is_none()
    }

    /// What kept the model from a whole answer, if it was that.
    pub fn shortcoming(&self) -> Option<&'static str> {
        match self.finish_reason.as_str() {
            "length" => Some("was cut at its maximum length"),
            "content_filter" => Some("was refused or filtered by the provider"),
            _ if self.content.trim().is_empty() && self.tool_calls.is_none() => Some("is empty"),
            _ => None,
        }
    }
}

/// The usage of one call.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Usage {
    /// Tokens of the prompt, as the provider counts them.
    pub input_tokens: u64,
    /// Tokens of the answer, as the provider counts them.
    pub output_tokens: u64,
    /// Cost, by the target's prices.
    pub cost: f64,
    /// Time from the request's arrival in the engine to its answer, milliseconds.
    pub latency_ms: f64,
}

/// The role that a call is charged to, and its budgets.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Account {
    /// OID of the calling role.
    pub role: u32,
    /// Name of the SQL function.
    pub function: String,
    /// True to store prompt and answer in the record.
    pub keep_text: bool,
    /// Budgets, all of which must have room.
    pub budgets: Vec<Budget>,
}

/// A limit on the usage of calls in a period.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Budget {
    /// The key of its row in the table of budgets.
    pub id: i64,
    /// The budget's owner and period, for messages.
    pub label: String,
    /// Start of the current period, seconds since 1970.
    pub period_start: i64,
    /// End of the current period, seconds since 1970.
    pub period_end: i64,
    /// Usage of the recorded calls in this period.
    pub recorded: Spent,
    /// Maximum cost.
    pub max_cost: Option<f64>,
    /// Maximum number of tokens, input and output.
    pub max_tokens: Option<u64>,
    /// Maximum number of calls.
    pub max_calls: Option<u64>,
}

/// The usage of several calls.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Spent {
    /// Cost, by the prices.
    pub cost: f64,
    /// Number of tokens, input and output.
    pub tokens: u64,
    /// Number of calls.
    pub calls: u64,
}

impl Spent {
    /// The sum of both values.
    #[must_use]
    pub fn plus(mut self, other: Self) -> Self {
        self.add(other);
        self
    }

    /// Adds another value.
    pub fn add(&mut self, other: Self) {
        self.cost += other.cost;
        self.tokens = self.tokens.saturating_add(other.tokens);
        self.calls += other.calls;
    }

    /// Subtracts a value that was added before. If no call is left, the cost becomes exactly zero, without a rounding error.
    pub fn subtract(&mut self, other: Self) {
        self.calls = self.calls.saturating_sub(other.calls);
        self.cost = if self.calls == 0 { 0.0 } else { self.cost - other.cost };
        self.tokens = self.tokens.saturating_sub(other.tokens);
    }
}

/// A call to a provider that has ended, for `rag.calls`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Call {
    /// Number of the call; unique and increasing within one engine process.
    pub number: u64,
    /// Start, microseconds since 1970.
    pub began_us: i64,
    /// OID of the role that called.
    pub role: u32,
    /// Name of the SQL function.
    pub function: String,
    /// Name of the server.
    pub server: String,
    /// The provider's name of the model.
    pub model: String,
    /// Usage of the call.
    pub usage: Usage,
    /// Status of the call.
    pub status: Status,
    /// Number of attempts after the first.
    pub retries: u32,
    /// The prompt's messages as JSON, if texts are stored.
    pub prompt: Option<String>,
    /// The answer, if texts are stored.
    pub reply: Option<String>,
}

/// The status of a call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Status {
    /// It was answered.
    Answered,
    /// The caller cancelled it, or stopped waiting for it.
    Cancelled,
    /// It failed; the kind determines the SQLSTATE. There is no message, because a provider's message may repeat the prompt.
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
