//! OpenAI's chat completions and embeddings (<https://platform.openai.com/docs/api-reference>). Azure, Ollama, vLLM, llama.cpp,
//! Mistral, Groq and OpenRouter implement them too.

use ragstone_core::provider::{Message, Role};
use reqwest::Url;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{
    error::ReplyError,
    json::{insert_some, parse_argument, parse_body, parse_tool_calls, tool_call, with_options},
    protocol::{CompletionParams, EmbeddingParams, Protocol, WireRequest},
    reply::{CompletionReply, EmbeddingReply, ReplyBuilder},
};
use crate::{failure::Error, providers::refusal::Refusal};

/// The protocol.
pub struct OpenAi;

impl Protocol for OpenAi {
    fn name(&self) -> &'static str {
        "openai"
    }

    fn key_header(&self, base: &Url, key: &str) -> (&'static str, String) {
        match OpenAiDialect::of(base) {
            OpenAiDialect::Azure => ("api-key", key.into()),
            _ => ("authorization", format!("Bearer {key}")),
        }
    }

    fn completion_request(&self, params: &CompletionParams<'_>) -> Result<WireRequest, Error> {
        let (prompt, dialect) = (params.prompt, OpenAiDialect::of(params.base));
        let mut body = Map::new();
        insert_some(&mut body, "model", Some(prompt.model.as_str()));
        body.insert("messages".into(), prompt.messages.iter().map(message).collect::<Result<_, _>>()?);
        insert_some(&mut body, "temperature", prompt.temperature);
        insert_some(&mut body, dialect.max_tokens_member(), prompt.max_tokens);
        insert_some(&mut body, dialect.seed_member(), prompt.seed);
        insert_some(&mut body, "stop", (!prompt.stop.is_empty()).then(|| prompt.stop.clone()));
        if let Some(tools) = &prompt.tools {
            body.insert("tools".into(), parse_argument::<Vec<Value>>("tools", "a JSON array", tools)?.into());
        }
        if let Some(schema) = &prompt.schema {
            let schema: Value = parse_argument("schema", "JSON", schema)?;
            let format =
                json!({ "type": "json_schema", "json_schema": { "name": "answer", "schema": schema } });
            body.insert("response_format".into(), format);
        }
        if params.stream {
            body.insert("stream".into(), true.into());
            if dialect != OpenAiDialect::Mistral {
                body.insert("stream_options".into(), json!({ "include_usage": true }));
            }
        }
        Ok(WireRequest { path: "chat/completions".into(), body: with_options(body, prompt)? })
    }

    fn parse_completion(&self, body: &[u8]) -> Result<CompletionReply, ReplyError> {
        let completion: OpenAiCompletion = parse_body(body)?;
        // Some brokers report an error with status 200.
        if completion.error.is_some() {
            return Err(ReplyError::Refused(Refusal::of_body(body)));
        }
        let choice = completion
            .choices
            .into_iter()
            .next()
            .ok_or(ReplyError::Malformed("an answer without choices".into()))?;
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
        let content = refused.or(choice.message.content.map(OpenAiContent::text)).unwrap_or_default();
        let tokens = completion.usage.map(|usage| (usage.prompt_tokens, usage.completion_tokens));
        Ok(CompletionReply { content, tool_calls, finish_reason, tokens })
    }

    fn parse_event(&self, reply: &mut ReplyBuilder, data: &str) -> Result<String, ReplyError> {
        if data.trim() == "[DONE]" {
            reply.done = true;
            return Ok(String::new());
        }
        let chunk: OpenAiStreamChunk = parse_body(data.as_bytes())?;
        if chunk.error.is_some() {
            return Err(ReplyError::Refused(Refusal::of_body(data.as_bytes())));
        }
        if let Some(usage) = chunk.usage {
            reply.input_tokens = Some(usage.prompt_tokens);
            reply.output_tokens = Some(usage.completion_tokens);
        }
        let Some(choice) = chunk.choices.unwrap_or_default().into_iter().next() else {
            return Ok(String::new());
        };
        let delta = choice.delta.unwrap_or_default();
        for (position, call) in delta.tool_calls.unwrap_or_default().into_iter().enumerate() {
            let partial = reply.call(call.index.unwrap_or(position as u64));
            partial.name.push_str(&call.function.name());
            partial.arguments.push_str(&call.function.arguments());
            if let Some(id) = call.id {
                partial.id = id;
            }
        }
        if let Some(reason) = choice.finish_reason.filter(|reason| !reason.is_empty()) {
            reply.finish_reason = Some(finish_reason(reason, !reply.calls.is_empty()));
        }
        let text = delta.content.map(OpenAiContent::text).or(delta.refusal).unwrap_or_default();
        reply.content.push_str(&text);
        Ok(text)
    }

    fn embedding_request(&self, params: &EmbeddingParams<'_>) -> Result<WireRequest, Error> {
        let mut body = Map::new();
        insert_some(&mut body, "model", Some(params.model));
        insert_some(&mut body, "input", Some(params.texts.to_vec()));
        insert_some(&mut body, "encoding_format", Some("float"));
        insert_some(&mut body, OpenAiDialect::of(params.base).dimensions_member(), params.dimensions);
        Ok(WireRequest { path: "embeddings".into(), body: body.into() })
    }

    fn parse_embeddings(&self, body: &[u8]) -> Result<EmbeddingReply, ReplyError> {
        let mut list: OpenAiEmbeddings = parse_body(body)?;
        // Without numbers the order is that of the texts.
        if list.data.iter().all(|row| row.index.is_some()) {
            list.data.sort_by_key(|row| row.index);
            if list.data.iter().enumerate().any(|(position, row)| row.index != Some(position)) {
                return Err(ReplyError::Malformed(
                    "embeddings that are not numbered from 0 without gaps".into(),
                ));
            }
        }
        let tokens = list.usage.map(|usage| usage.prompt_tokens);
        Ok(EmbeddingReply { vectors: list.data.into_iter().map(|row| row.embedding).collect(), tokens })
    }
}

/// Hosts that differ in the names of parameters. All others accept the names that OpenAI introduced first.
#[derive(Debug, Clone, Copy, PartialEq)]
enum OpenAiDialect {
    OpenAi,
    Azure,
    Mistral,
    Other,
}

impl OpenAiDialect {
    fn of(base: &Url) -> Self {
        match base.host_str().unwrap_or_default() {
            "api.openai.com" => Self::OpenAi,
            "api.mistral.ai" => Self::Mistral,
            host if host.ends_with(".azure.com") => Self::Azure,
            _ => Self::Other,
        }
    }

    /// OpenAI's newer models refuse `max_tokens`; other servers may not know its successor.
    fn max_tokens_member(self) -> &'static str {
        if matches!(self, Self::OpenAi | Self::Azure) { "max_completion_tokens" } else { "max_tokens" }
    }

    fn seed_member(self) -> &'static str {
        if self == Self::Mistral { "random_seed" } else { "seed" }
    }

    fn dimensions_member(self) -> &'static str {
        if self == Self::Mistral { "output_dimension" } else { "dimensions" }
    }
}

fn message(message: &Message) -> Result<Value, Error> {
    let calls = parse_tool_calls(message)?;
    let mut members = Map::new();
    insert_some(&mut members, "role", Some(role(message.role)));
    let content = if calls.is_empty() || !message.content.is_empty() {
        Value::from(message.content.as_str())
    } else {
        Value::Null
    };
    members.insert("content".into(), content);
    insert_some(&mut members, "tool_calls", (!calls.is_empty()).then_some(calls));
    insert_some(&mut members, "tool_call_id", message.tool_call_id.as_deref());
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
struct OpenAiCompletion {
    #[serde(default)]
    choices: Vec<OpenAiChoice>,
    error: Option<Value>,
    usage: Option<OpenAiUsage>,
}

#[derive(Deserialize)]
struct OpenAiChoice {
    message: OpenAiMessage,
    finish_reason: Option<String>,
}

#[derive(Deserialize, Default)]
struct OpenAiMessage {
    content: Option<OpenAiContent>,
    refusal: Option<String>,
    tool_calls: Option<Vec<OpenAiToolCall>>,
}

/// Text, or a list of parts some of which are text (Mistral's reasoning models).
#[derive(Deserialize)]
#[serde(untagged)]
enum OpenAiContent {
    Text(String),
    Parts(Vec<OpenAiContentPart>),
}

#[derive(Deserialize)]
struct OpenAiContentPart {
    text: Option<String>,
}

impl OpenAiContent {
    fn text(self) -> String {
        match self {
            Self::Text(text) => text,
            Self::Parts(parts) => parts.into_iter().filter_map(|part| part.text).collect(),
        }
    }
}

#[derive(Deserialize)]
struct OpenAiToolCall {
    index: Option<u64>,
    id: Option<String>,
    #[serde(default)]
    function: OpenAiFunction,
}

#[derive(Deserialize, Default)]
struct OpenAiFunction {
    name: Option<String>,
    arguments: Option<Value>,
}

impl OpenAiFunction {
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
struct OpenAiStreamChunk {
    choices: Option<Vec<OpenAiStreamChoice>>,
    usage: Option<OpenAiUsage>,
    error: Option<Value>,
}

#[derive(Deserialize)]
struct OpenAiStreamChoice {
    delta: Option<OpenAiMessage>,
    finish_reason: Option<String>,
}

#[derive(Deserialize)]
struct OpenAiUsage {
    #[serde(default)]
    prompt_tokens: u64,
    #[serde(default)]
    completion_tokens: u64,
}

#[derive(Deserialize)]
struct OpenAiEmbeddings {
    data: Vec<OpenAiEmbedding>,
    usage: Option<OpenAiUsage>,
}

#[derive(Deserialize)]
struct OpenAiEmbedding {
    index: Option<usize>,
    embedding: Vec<f32>,
}
