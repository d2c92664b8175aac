//! OpenAI's chat completions and embeddings (<https://platform.openai.com/docs/api-reference>), which many speak: Azure,
//! Ollama, vLLM, llama.cpp, Mistral, Groq, OpenRouter.

use ragstone_core::provider::{Message, Role};
use reqwest::Url;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{
    Ask, Embedded, Fault, Gathered, Post, Protocol, Reply, Texts, argument, calls, put, read, tool_call,
    with_options,
};
use crate::{failure::Error, providers::refusal::Refusal};

/// The protocol.
pub struct OpenAi;

impl Protocol for OpenAi {
    fn name(&self) -> &'static str {
        "openai"
    }

    fn key(&self, base: &Url, key: &str) -> (&'static str, String) {
        match Dialect::of(base) {
            Dialect::Azure => ("api-key", key.into()),
            _ => ("authorization", format!("Bearer {key}")),
        }
    }

    fn complete(&self, ask: &Ask<'_>) -> Result<Post, Error> {
        let (prompt, dialect) = (ask.prompt, Dialect::of(ask.base));
        let mut body = Map::new();
        put(&mut body, "model", Some(prompt.model.as_str()));
        body.insert("messages".into(), prompt.messages.iter().map(message).collect::<Result<_, _>>()?);
        put(&mut body, "temperature", prompt.temperature);
        put(&mut body, dialect.most_tokens(), prompt.max_tokens);
        put(&mut body, dialect.seed(), prompt.seed);
        put(&mut body, "stop", (!prompt.stop.is_empty()).then(|| prompt.stop.clone()));
        if let Some(tools) = &prompt.tools {
            body.insert("tools".into(), argument::<Vec<Value>>("tools", "a JSON array", tools)?.into());
        }
        if let Some(schema) = &prompt.schema {
            let schema: Value = argument("schema", "JSON", schema)?;
            let format =
                json!({ "type": "json_schema", "json_schema": { "name": "answer", "schema": schema } });
            body.insert("response_format".into(), format);
        }
        if ask.stream {
            body.insert("stream".into(), true.into());
            if dialect != Dialect::Mistral {
                body.insert("stream_options".into(), json!({ "include_usage": true }));
            }
        }
        Ok(Post { path: "chat/completions".into(), body: with_options(body, prompt)? })
    }

    fn completed(&self, body: &[u8]) -> Result<Reply, Fault> {
        let whole: Whole = read(body)?;
        // Some brokers say no with status 200.
        if whole.error.is_some() {
            return Err(Fault::Refused(Refusal::of_body(body)));
        }
        let choice =
            whole.choices.into_iter().next().ok_or(Fault::Malformed("an answer without choices".into()))?;
        let refused = choice.message.refusal.filter(|_| choice.message.content.is_none());
        let tool_calls: Vec<Value> = choice
            .message
            .tool_calls
            .unwrap_or_default()
            .into_iter()
            .map(|call| {
                tool_call(&call.id.unwrap_or_default(), &call.function.name(), &call.function.arguments())
            })
            .collect();
        let finish_reason = match refused {
            Some(_) => "content_filter".into(),
            None => finish_reason(choice.finish_reason.unwrap_or_default(), !tool_calls.is_empty()),
        };
        let content = refused.or(choice.message.content.map(Content::text)).unwrap_or_default();
        let tokens = whole.usage.map(|usage| (usage.prompt_tokens, usage.completion_tokens));
        Ok(Reply { content, tool_calls, finish_reason, tokens })
    }

    fn event(&self, gathered: &mut Gathered, data: &str) -> Result<String, Fault> {
        if data.trim() == "[DONE]" {
            gathered.done = true;
            return Ok(String::new());
        }
        let part: Part = read(data.as_bytes())?;
        if part.error.is_some() {
            return Err(Fault::Refused(Refusal::of_body(data.as_bytes())));
        }
        if let Some(usage) = part.usage {
            gathered.input_tokens = Some(usage.prompt_tokens);
            gathered.output_tokens = Some(usage.completion_tokens);
        }
        let Some(choice) = part.choices.unwrap_or_default().into_iter().next() else {
            return Ok(String::new());
        };
        let delta = choice.delta.unwrap_or_default();
        for (position, call) in delta.tool_calls.unwrap_or_default().into_iter().enumerate() {
            let partial = gathered.call(call.index.unwrap_or(position as u64));
            partial.name.push_str(&call.function.name());
            partial.arguments.push_str(&call.function.arguments());
            if let Some(id) = call.id {
                partial.id = id;
            }
        }
        if let Some(reason) = choice.finish_reason.filter(|reason| !reason.is_empty()) {
            gathered.finish_reason = Some(finish_reason(reason, !gathered.calls.is_empty()));
        }
        let piece = delta.content.map(Content::text).or(delta.refusal).unwrap_or_default();
        gathered.content.push_str(&piece);
        Ok(piece)
    }

    fn embed(&self, ask: &Texts<'_>) -> Result<Post, Error> {
        let mut body = Map::new();
        put(&mut body, "model", Some(ask.model));
        put(&mut body, "input", Some(ask.texts.to_vec()));
        put(&mut body, "encoding_format", Some("float"));
        put(&mut body, Dialect::of(ask.base).dimensions(), ask.dimensions);
        Ok(Post { path: "embeddings".into(), body: body.into() })
    }

    fn embedded(&self, body: &[u8]) -> Result<Embedded, Fault> {
        let mut list: EmbeddingList = read(body)?;
        // The order is by convention that of the texts, and where there are numbers they decide.
        if list.data.iter().all(|row| row.index.is_some()) {
            list.data.sort_by_key(|row| row.index);
            if list.data.iter().enumerate().any(|(position, row)| row.index != Some(position)) {
                return Err(Fault::Malformed("embeddings that are not numbered from 0 without gaps".into()));
            }
        }
        let tokens = list.usage.map(|usage| usage.prompt_tokens);
        Ok(Embedded { vectors: list.data.into_iter().map(|row| row.embedding).collect(), tokens })
    }
}

/// Hosts that refuse what others want. The rest takes OpenAI's first words for everything.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Dialect {
    OpenAi,
    Azure,
    Mistral,
    Other,
}

impl Dialect {
    fn of(base: &Url) -> Self {
        match base.host_str().unwrap_or_default() {
            "api.openai.com" => Self::OpenAi,
            "api.mistral.ai" => Self::Mistral,
            host if host.ends_with(".azure.com") => Self::Azure,
            _ => Self::Other,
        }
    }

    /// OpenAI's newer models refuse `max_tokens`; everybody else may not know its successor.
    fn most_tokens(self) -> &'static str {
        if matches!(self, Self::OpenAi | Self::Azure) { "max_completion_tokens" } else { "max_tokens" }
    }

    fn seed(self) -> &'static str {
        if self == Self::Mistral { "random_seed" } else { "seed" }
    }

    fn dimensions(self) -> &'static str {
        if self == Self::Mistral { "output_dimension" } else { "dimensions" }
    }
}

fn message(message: &Message) -> Result<Value, Error> {
    let calls = calls(message)?;
    let mut members = Map::new();
    put(&mut members, "role", Some(role(message.role)));
    let content = if calls.is_empty() || !message.content.is_empty() {
        Value::from(message.content.as_str())
    } else {
        Value::Null
    };
    members.insert("content".into(), content);
    put(&mut members, "tool_calls", (!calls.is_empty()).then_some(calls));
    put(&mut members, "tool_call_id", message.tool_call_id.as_deref());
    Ok(members.into())
}

fn role(role: Role) -> &'static str {
    match role {
        Role::System => "system",
        Role::User => "user",
        Role::Assistant => "assistant",
        Role::Tool => "tool",
    }
}

fn finish_reason(reason: String, calls_tools: bool) -> String {
    match reason.as_str() {
        "function_call" => "tool_calls".into(),
        "" if calls_tools => "tool_calls".into(),
        "" | "eos" | "end_turn" => "stop".into(),
        "model_length" | "max_tokens" => "length".into(),
        _ => reason,
    }
}

#[derive(Deserialize)]
struct Whole {
    #[serde(default)]
    choices: Vec<Choice>,
    error: Option<Value>,
    usage: Option<Usage>,
}

#[derive(Deserialize)]
struct Choice {
    message: Answer,
    finish_reason: Option<String>,
}

#[derive(Deserialize, Default)]
struct Answer {
    content: Option<Content>,
    refusal: Option<String>,
    tool_calls: Option<Vec<ToolCall>>,
}

/// Text, or parts of which some are text (reasoning models of Mistral).
#[derive(Deserialize)]
#[serde(untagged)]
enum Content {
    Text(String),
    Parts(Vec<ContentPart>),
}

#[derive(Deserialize)]
struct ContentPart {
    text: Option<String>,
}

impl Content {
    fn text(self) -> String {
        match self {
            Self::Text(text) => text,
            Self::Parts(parts) => parts.into_iter().filter_map(|part| part.text).collect(),
        }
    }
}

#[derive(Deserialize)]
struct ToolCall {
    index: Option<u64>,
    id: Option<String>,
    #[serde(default)]
    function: Function,
}

#[derive(Deserialize, Default)]
struct Function {
    name: Option<String>,
    arguments: Option<Value>,
}

impl Function {
    fn name(&self) -> String {
        self.name.clone().unwrap_or_default()
    }

    /// JSON text; some send the object itself.
    fn arguments(&self) -> String {
        match &self.arguments {
            None | Some(Value::Null) => String::new(),
            Some(Value::String(text)) => text.clone(),
            Some(object) => object.to_string(),
        }
    }
}

#[derive(Deserialize)]
struct Part {
    choices: Option<Vec<PartChoice>>,
    usage: Option<Usage>,
    error: Option<Value>,
}

#[derive(Deserialize)]
struct PartChoice {
    delta: Option<Answer>,
    finish_reason: Option<String>,
}

#[derive(Deserialize)]
struct Usage {
    #[serde(default)]
    prompt_tokens: u64,
    #[serde(default)]
    completion_tokens: u64,
}

#[derive(Deserialize)]
struct EmbeddingList {
    data: Vec<Embedding>,
    usage: Option<Usage>,
}

#[derive(Deserialize)]
struct Embedding {
    index: Option<usize>,
    embedding: Vec<f32>,
}
