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
    Ask, Embedded, Fault, Gathered, Post, Protocol, Reply, Texts, argument, arguments, calls, put, read,
    tools, with_options,
};
use crate::{failure::Error, providers::refusal::Refusal};

/// The protocol.
pub struct Gemini;

impl Protocol for Gemini {
    fn name(&self) -> &'static str {
        "gemini"
    }

    fn key(&self, _base: &Url, key: &str) -> (&'static str, String) {
        ("x-goog-api-key", key.into())
    }

    fn complete(&self, ask: &Ask<'_>) -> Result<Post, Error> {
        let prompt = ask.prompt;
        let mut body = Map::new();
        let system = prompt.messages.iter().filter(|message| message.role == Role::System);
        let system: Vec<Value> = system.map(|message| json!({ "text": message.content })).collect();
        put(&mut body, "systemInstruction", (!system.is_empty()).then(|| json!({ "parts": system })));
        body.insert("contents".into(), contents(&prompt.messages)?.into());
        let tools = tools(prompt)?;
        put(&mut body, "tools", (!tools.is_empty()).then(|| json!([{ "functionDeclarations": tools }])));
        let mut settings = Map::new();
        put(&mut settings, "temperature", prompt.temperature);
        put(&mut settings, "maxOutputTokens", prompt.max_tokens);
        put(&mut settings, "seed", prompt.seed);
        put(&mut settings, "stopSequences", (!prompt.stop.is_empty()).then(|| prompt.stop.clone()));
        if let Some(schema) = &prompt.schema {
            put(&mut settings, "responseMimeType", Some("application/json"));
            settings.insert("responseJsonSchema".into(), argument("schema", "JSON", schema)?);
        }
        let mut body = with_options(body, prompt)?;
        // Options add to these settings: to replace all of them is not what anybody means.
        if let Some(Value::Object(wanted)) = body.get_mut("generationConfig").map(Value::take) {
            settings.extend(wanted);
        }
        if !settings.is_empty() {
            body["generationConfig"] = settings.into();
        }
        let how = if ask.stream { "streamGenerateContent?alt=sse" } else { "generateContent" };
        Ok(Post { path: format!("{}:{how}", path_of(&prompt.model)), body })
    }

    fn completed(&self, body: &[u8]) -> Result<Reply, Fault> {
        let mut gathered = Gathered::default();
        let part: Part = read(body)?;
        if part.candidates.is_empty() && part.prompt_feedback.is_none() {
            return Err(Fault::Malformed("an answer without candidates".into()));
        }
        part.add_to(&mut gathered);
        Ok(gathered.finish())
    }

    fn event(&self, gathered: &mut Gathered, data: &str) -> Result<String, Fault> {
        let part: Part = read(data.as_bytes())?;
        if part.error.is_some() {
            return Err(Fault::Refused(Refusal::of_body(data.as_bytes())));
        }
        Ok(part.add_to(gathered))
    }

    fn embed(&self, ask: &Texts<'_>) -> Result<Post, Error> {
        let model = path_of(ask.model);
        let task = match ask.kind {
            Kind::Query => "RETRIEVAL_QUERY",
            Kind::Document => "RETRIEVAL_DOCUMENT",
        };
        let requests = ask.texts.iter().map(|text| {
            let mut request = Map::new();
            put(&mut request, "model", Some(model.as_str()));
            request.insert("content".into(), json!({ "parts": [{ "text": text }] }));
            put(&mut request, "taskType", Some(task));
            put(&mut request, "outputDimensionality", ask.dimensions);
            Value::from(request)
        });
        let body = json!({ "requests": requests.collect::<Vec<_>>() });
        Ok(Post { path: format!("{model}:batchEmbedContents"), body })
    }

    fn embedded(&self, body: &[u8]) -> Result<Embedded, Fault> {
        let list: EmbeddingList = read(body)?;
        Ok(Embedded { vectors: list.embeddings.into_iter().map(|row| row.values).collect(), tokens: None })
    }
}

/// `models/NAME`; tuned models have a folder of their own.
fn path_of(model: &str) -> String {
    if model.contains('/') { model.into() } else { format!("models/{model}") }
}

/// The conversation without the system. Results of tools that follow each other belong into one message, and are known by
/// the tool's name rather than the call's.
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
        for call in calls(message)? {
            let name = call["function"]["name"].clone();
            parts.push(json!({ "functionCall": { "name": name, "args": arguments(&call)? } }));
            names.insert(call["id"].as_str().unwrap_or_default().into(), name);
        }
        let role = if message.role == Role::Assistant { "model" } else { "user" };
        match turns.last_mut() {
            Some((last, gathered)) if *last == role => gathered.extend(parts),
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
struct Part {
    #[serde(default)]
    candidates: Vec<Candidate>,
    prompt_feedback: Option<Feedback>,
    usage_metadata: Option<Usage>,
    error: Option<Value>,
}

impl Part {
    /// Adds what came to what is there, and gives its text.
    fn add_to(self, gathered: &mut Gathered) -> String {
        let mut piece = String::new();
        if let Some(usage) = self.usage_metadata {
            gathered.input_tokens = Some(usage.prompt_token_count);
            gathered.output_tokens =
                Some(usage.candidates_token_count.saturating_add(usage.thoughts_token_count));
        }
        if self.prompt_feedback.is_some_and(|feedback| feedback.block_reason.is_some()) {
            gathered.finish_reason = Some("content_filter".into());
        }
        let Some(candidate) = self.candidates.into_iter().next() else { return piece };
        for part in candidate.content.unwrap_or_default().parts {
            if let Some(call) = part.function_call {
                let index = gathered.calls.len() as u64;
                let partial = gathered.call(index);
                // The protocol has no name for a call, and the answer to it needs one.
                (partial.id, partial.name) = (call.id.unwrap_or_else(|| format!("call_{index}")), call.name);
                partial.arguments = call.args.unwrap_or_else(|| json!({})).to_string();
            }
            piece.push_str(part.text.filter(|_| !part.thought).as_deref().unwrap_or_default());
        }
        if let Some(reason) = candidate.finish_reason {
            gathered.finish_reason = Some(finish_reason(&reason, !gathered.calls.is_empty()));
        }
        gathered.content.push_str(&piece);
        piece
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Candidate {
    content: Option<Content>,
    finish_reason: Option<String>,
}

#[derive(Deserialize, Default)]
struct Content {
    #[serde(default)]
    parts: Vec<ContentPart>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ContentPart {
    text: Option<String>,
    /// The model talks to itself.
    #[serde(default)]
    thought: bool,
    function_call: Option<FunctionCall>,
}

#[derive(Deserialize)]
struct FunctionCall {
    id: Option<String>,
    name: String,
    args: Option<Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Feedback {
    block_reason: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Usage {
    #[serde(default)]
    prompt_token_count: u64,
    #[serde(default)]
    candidates_token_count: u64,
    #[serde(default)]
    thoughts_token_count: u64,
}

#[derive(Deserialize)]
struct EmbeddingList {
    embeddings: Vec<Embedding>,
}

#[derive(Deserialize)]
struct Embedding {
    values: Vec<f32>,
}
