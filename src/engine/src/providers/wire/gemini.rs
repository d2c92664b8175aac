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
    error::ReplyError,
    json::{
        insert_some, parse_argument, parse_body, parse_tool_calls, parse_tools, tool_arguments, with_options,
    },
    protocol::{CompletionParams, EmbeddingParams, Protocol, WireRequest},
    reply::{CompletionReply, EmbeddingReply, ReplyBuilder},
};
use crate::{
    failure::Error,
    providers::{refusal::Refusal, url::encode_path},
};

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
        body.insert("contents".into(), contents(&prompt.messages)?.into());
        let tools = parse_tools(prompt)?;
        insert_some(
            &mut body,
            "tools",
            (!tools.is_empty()).then(|| json!([{ "functionDeclarations": tools }])),
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
        let mut reply = ReplyBuilder::default();
        let response: GeminiResponse = parse_body(body)?;
        if response.candidates.is_empty() && response.prompt_feedback.is_none() {
            return Err(ReplyError::Malformed("an answer without candidates".into()));
        }
        response.add_to(&mut reply);
        Ok(reply.finish())
    }

    fn parse_event(&self, reply: &mut ReplyBuilder, data: &str) -> Result<String, ReplyError> {
        let response: GeminiResponse = parse_body(data.as_bytes())?;
        if response.error.is_some() {
            return Err(ReplyError::Refused(Refusal::of_body(data.as_bytes())));
        }
        Ok(response.add_to(reply))
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
        for call in parse_tool_calls(message)? {
            let name = call["function"]["name"].clone();
            parts.push(json!({ "functionCall": { "name": name, "args": tool_arguments(&call)? } }));
            names.insert(call["id"].as_str().unwrap_or_default().into(), name);
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

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct GeminiResponse {
    #[serde(default)]
    candidates: Vec<GeminiCandidate>,
    prompt_feedback: Option<GeminiPromptFeedback>,
    usage_metadata: Option<GeminiUsage>,
    error: Option<Value>,
}

impl GeminiResponse {
    /// Adds this part to the reply, and returns its text.
    fn add_to(self, reply: &mut ReplyBuilder) -> String {
        let mut text = String::new();
        if let Some(usage) = self.usage_metadata {
            reply.input_tokens = Some(usage.prompt_token_count);
            reply.output_tokens =
                Some(usage.candidates_token_count.saturating_add(usage.thoughts_token_count));
        }
        if self.prompt_feedback.is_some_and(|feedback| feedback.block_reason.is_some()) {
            reply.finish_reason = Some("content_filter".into());
        }
        let Some(candidate) = self.candidates.into_iter().next() else { return text };
        for part in candidate.content.unwrap_or_default().parts {
            if let Some(call) = part.function_call {
                let index = reply.calls.len() as u64;
                let partial = reply.call(index);
                // Some versions of the protocol do not identify calls, but tool results refer to a call.
                (partial.id, partial.name) = (call.id.unwrap_or_else(|| format!("call_{index}")), call.name);
                partial.arguments = call.args.unwrap_or_else(|| json!({})).to_string();
            }
            text.push_str(part.text.filter(|_| !part.thought).as_deref().unwrap_or_default());
        }
        if let Some(reason) = candidate.finish_reason {
            reply.finish_reason = Some(finish_reason(&reason, !reply.calls.is_empty()));
        }
        reply.content.push_str(&text);
        text
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct GeminiCandidate {
    content: Option<GeminiContent>,
    finish_reason: Option<String>,
}

#[derive(Deserialize, Default)]
struct GeminiContent {
    #[serde(default)]
    parts: Vec<GeminiPart>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct GeminiPart {
    text: Option<String>,
    /// Whether the text is part of the model's reasoning.
    #[serde(default)]
    thought: bool,
    function_call: Option<GeminiFunctionCall>,
}

#[derive(Deserialize)]
struct GeminiFunctionCall {
    id: Option<String>,
    name: String,
    args: Option<Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct GeminiPromptFeedback {
    block_reason: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct GeminiUsage {
    #[serde(default)]
    prompt_token_count: u64,
    #[serde(default)]
    candidates_token_count: u64,
    #[serde(default)]
    thoughts_token_count: u64,
}

#[derive(Deserialize)]
struct GeminiEmbeddings {
    embeddings: Vec<GeminiEmbedding>,
}

#[derive(Deserialize)]
struct GeminiEmbedding {
    values: Vec<f32>,
}
