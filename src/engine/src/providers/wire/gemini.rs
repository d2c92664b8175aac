//! Google's generateContent and batchEmbedContents (<https://ai.google.dev/api>).

use std::collections::HashMap;

use ragstone_core::{
    protocol::Kind,
    provider::{Message, Role},
};
use reqwest::Url;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{
    conversation::sendable,
    error::ReplyError,
    json::{
        insert_some, own_parts, parse_argument, parse_body, parse_reply, parse_tool_calls, parse_tools,
        tool_arguments, with_options,
    },
    loose::{count, items},
    protocol::{CompletionParams, EmbeddingParams, Protocol, WireRequest},
    reply::{CompletionReply, EmbeddingReply, ReplyBuilder},
};
use crate::{failure::Error, providers::url::encode_path};

/// The protocol.
pub struct Gemini;

impl Protocol for Gemini {
    fn name(&self) -> &'static str {
        "gemini"
    }

    fn key_header(&self, _base: &Url, key: &str) -> (&'static str, String) {
        ("x-goog-api-key", key.into())
    }

    fn completion_request(&self, params: &CompletionParams<'_>) -> Result<WireRequest, Error> {
        let prompt = params.prompt;
        let mut body = Map::new();
        let system = prompt.messages.iter().filter(|message| message.role == Role::System);
        let system: Vec<Value> = system.map(|message| json!({ "text": message.content })).collect();
        insert_some(&mut body, "systemInstruction", (!system.is_empty()).then(|| json!({ "parts": system })));
        body.insert("contents".into(), contents(&sendable(&prompt.messages))?.into());
        let tools = parse_tools(prompt)?;
        insert_some(
            &mut body,
            "tools",
            (!tools.is_empty()).then(|| json!([{ "functionDeclarations": declarations(tools) }])),
        );
        let mut settings = Map::new();
        insert_some(&mut settings, "temperature", prompt.temperature);
        insert_some(&mut settings, "maxOutputTokens", prompt.max_tokens);
        insert_some(&mut settings, "seed", prompt.seed);
        insert_some(&mut settings, "stopSequences", (!prompt.stop.is_empty()).then(|| prompt.stop.clone()));
        if let Some(schema) = &prompt.schema {
            insert_some(&mut settings, "responseMimeType", Some("application/json"));
            settings.insert("responseJsonSchema".into(), parse_argument("schema", "JSON", schema)?);
        }
        let mut body = with_options(body, prompt)?;
        // The options extend these settings: replacing all of them would drop the prompt's own.
        if let Some(Value::Object(options)) = body.get_mut("generationConfig").map(Value::take) {
            settings.extend(options);
        }
        if !settings.is_empty() {
            body["generationConfig"] = settings.into();
        }
        let method = if params.stream { "streamGenerateContent?alt=sse" } else { "generateContent" };
        Ok(WireRequest { path: format!("{}:{method}", encode_path(&model_path(&prompt.model))?), body })
    }

    fn parse_completion(&self, body: &[u8]) -> Result<CompletionReply, ReplyError> {
        let response = parse_reply(body)?;
        if items(&response, "candidates").is_empty() && !response["promptFeedback"].is_object() {
            return Err(ReplyError::Malformed("an answer without candidates".into()));
        }
        let mut reply = ReplyBuilder::default();
        add_response(&mut reply, &response);
        Ok(reply.finish())
    }

    fn parse_event(&self, reply: &mut ReplyBuilder, data: &str) -> Result<String, ReplyError> {
        Ok(add_response(reply, &parse_reply(data.as_bytes())?))
    }

    fn embedding_request(&self, params: &EmbeddingParams<'_>) -> Result<WireRequest, Error> {
        let model = model_path(params.model);
        let task = match params.kind {
            Kind::Query => "RETRIEVAL_QUERY",
            Kind::Document => "RETRIEVAL_DOCUMENT",
        };
        let requests = params.texts.iter().map(|text| {
            let mut request = Map::new();
            insert_some(&mut request, "model", Some(model.as_str()));
            request.insert("content".into(), json!({ "parts": [{ "text": text }] }));
            insert_some(&mut request, "taskType", Some(task));
            insert_some(&mut request, "outputDimensionality", params.dimensions);
            Value::from(request)
        });
        let body = json!({ "requests": requests.collect::<Vec<_>>() });
        Ok(WireRequest { path: format!("{}:batchEmbedContents", encode_path(&model)?), body })
    }

    fn parse_embeddings(&self, body: &[u8]) -> Result<EmbeddingReply, ReplyError> {
        let list: GeminiEmbeddings = parse_body(body)?;
        Ok(EmbeddingReply {
            vectors: list.embeddings.into_iter().map(|row| row.values).collect(),
            tokens: None,
        })
    }
}

/// Tools as the protocol has them: name, description and a JSON Schema. `parameters` would be a subset of OpenAPI, which
/// refuses most of JSON Schema.
fn declarations(tools: Vec<Map<String, Value>>) -> Vec<Value> {
    let declaration = |mut tool: Map<String, Value>| {
        let mut declared = Map::new();
        insert_some(&mut declared, "name", tool.remove("name"));
        insert_some(&mut declared, "description", tool.remove("description"));
        insert_some(&mut declared, "parametersJsonSchema", tool.remove("parameters"));
        declared.into()
    };
    tools.into_iter().map(declaration).collect()
}

/// `models/NAME`; tuned models have a folder of their own.
fn model_path(model: &str) -> String {
    if model.contains('/') { model.into() } else { format!("models/{model}") }
}

/// The conversation without the system messages. Consecutive tool results go into one message, and name the tool rather than
/// the call.
fn contents(messages: &[Message]) -> Result<Vec<Value>, Error> {
    let mut names: HashMap<String, Value> = HashMap::new();
    let mut turns: Vec<(&str, Vec<Value>)> = Vec::new();
    for message in messages.iter().filter(|message| message.role != Role::System) {
        let mut parts = Vec::new();
        if message.role == Role::Tool {
            let name = message.tool_call_id.as_ref().and_then(|id| names.get(id)).cloned();
            let result = serde_json::from_str(&message.content).ok().filter(Value::is_object);
            let result = result.unwrap_or_else(|| json!({ "result": message.content }));
            parts.push(json!({ "functionResponse": { "name": name, "response": result } }));
        } else if !message.content.is_empty() {
            parts.push(json!({ "text": message.content }));
        }
        // Signed parts replace what they say.
        let own = own_parts(message);
        let is_own = !own.is_empty();
        if is_own {
            parts = own;
        }
        for call in parse_tool_calls(message)? {
            let name = call["function"]["name"].clone();
            names.insert(call["id"].as_str().unwrap_or_default().into(), name.clone());
            if is_own {
                continue;
            }
            parts.push(json!({ "functionCall": { "name": name, "args": tool_arguments(&call)? } }));
        }
        let role = if message.role == Role::Assistant { "model" } else { "user" };
        match turns.last_mut() {
            Some((last, merged)) if *last == role => merged.extend(parts),
            _ => turns.push((role, parts)),
        }
    }
    Ok(turns.into_iter().map(|(role, parts)| json!({ "role": role, "parts": parts })).collect())
}

fn finish_reason(reason: &str, calls_tools: bool) -> String {
    match reason {
        "STOP" if calls_tools => "tool_calls",
        "STOP" => "stop",
        "MAX_TOKENS" => "length",
        "SAFETY" | "RECITATION" | "BLOCKLIST" | "PROHIBITED_CONTENT" | "SPII" => "content_filter",
        other => other,
    }
    .into()
}

/// Adds a response, or a part of one, and returns its text.
fn add_response(reply: &mut ReplyBuilder, response: &Value) -> String {
    add_usage(reply, &response["usageMetadata"]);
    if !response["promptFeedback"]["blockReason"].is_null() {
        reply.finish_reason = Some("content_filter".into());
    }
    let mut text = String::new();
    let Some(candidate) = items(response, "candidates").first() else { return text };
    for part in items(&candidate["content"], "parts") {
        if part["functionCall"].is_object() {
            add_call(reply, &part["functionCall"]);
        }
        if part["thought"] != true {
            reply.wants_own |= !part["thoughtSignature"].is_null();
            reply.own.push((reply.own.len() as u64, part.clone()));
        }
        text.push_str(part["text"].as_str().filter(|_| part["thought"] != true).unwrap_or_default());
    }
    if let Some(reason) = candidate["finishReason"].as_str() {
        reply.finish_reason = Some(finish_reason(reason, !reply.calls.is_empty()));
    }
    reply.content.push_str(&text);
    text
}

fn add_call(reply: &mut ReplyBuilder, call: &Value) {
    let index = reply.calls.len() as u64;
    let partial = reply.call(index);
    // Some versions of the protocol do not identify calls, but tool results refer to a call.
    partial.id = call["id"].as_str().map_or_else(|| format!("call_{index}"), str::to_owned);
    partial.name = call["name"].as_str().unwrap_or_default().into();
    partial.arguments =
        if call["args"].is_object() { call["args"].to_string() } else { json!({}).to_string() };
}

fn add_usage(reply: &mut ReplyBuilder, usage: &Value) {
    let sum = |names: &[&str]| {
        let counts: Vec<u64> = names.iter().filter_map(|name| count(&usage[*name])).collect();
        (!counts.is_empty()).then(|| counts.into_iter().fold(0, u64::saturating_add))
    };
    reply.input_tokens = sum(&["promptTokenCount", "toolUsePromptTokenCount"]).or(reply.input_tokens);
    reply.output_tokens = sum(&["candidatesTokenCount", "thoughtsTokenCount"]).or(reply.output_tokens);
}

#[derive(Deserialize)]
struct GeminiEmbeddings {
    embeddings: Vec<GeminiEmbedding>,
}

#[derive(Deserialize)]
struct GeminiEmbedding {
    values: Vec<f32>,
}
