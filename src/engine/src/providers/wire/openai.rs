//! OpenAI's chat completions and embeddings (<https://platform.openai.com/docs/api-reference>). Azure, Ollama, vLLM, llama.cpp,
//! Mistral, Groq and OpenRouter implement them too.

use ragstone_core::provider::{Message, Role};
use reqwest::Url;
use serde_json::{Map, Value, json};

use super::{
    conversation::sendable,
    embeddings::EmbeddingList,
    error::ReplyError,
    json::{insert_some, own_parts, parse_argument, parse_body, parse_reply, parse_tool_calls, with_options},
    openai_reply::{completion, event},
    protocol::{CompletionParams, EmbeddingParams, Protocol, WireRequest},
    reply::{CompletionReply, EmbeddingReply, ReplyBuilder},
};
use crate::failure::Error;

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
        let messages = sendable(&prompt.messages);
        body.insert("messages".into(), messages.iter().map(message).collect::<Result<_, _>>()?);
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
        completion(parse_reply(body)?)
    }

    fn parse_event(&self, reply: &mut ReplyBuilder, data: &str) -> Result<String, ReplyError> {
        if data.trim() == "[DONE]" {
            reply.done = true;
            return Ok(String::new());
        }
        event(reply, parse_reply(data.as_bytes())?)
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
        parse_body::<EmbeddingList>(body)?.into_reply()
    }
}

/// Hosts that use other parameter names. All other hosts accept the names that OpenAI introduced first.
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
    if let Some(Value::Object(own)) = own_parts(message).into_iter().next().filter(|_| !calls.is_empty()) {
        members.extend(own);
    }
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
