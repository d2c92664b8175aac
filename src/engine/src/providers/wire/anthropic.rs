//! Anthropic's messages, version 2023-06-01 (<https://docs.anthropic.com/en/api/messages>).

use ragstone_core::provider::{Message, Role};
use reqwest::Url;
use serde_json::{Map, Value, json};

use super::{
    conversation::sendable,
    error::ReplyError,
    json::{
        insert_some, own_parts, parse_argument, parse_reply, parse_tool_calls, parse_tools, tool_arguments,
        with_options,
    },
    loose::{content, count, first_count, text},
    protocol::{CompletionParams, Protocol, WireRequest},
    reply::{CompletionReply, ReplyBuilder},
};
use crate::failure::Error;

/// The protocol.
pub struct Anthropic;

/// `max_tokens` of a prompt that sets none: the protocol requires a number.
const DEFAULT_MAX_TOKENS: u32 = 4096;

impl Protocol for Anthropic {
    fn name(&self) -> &'static str {
        "anthropic"
    }

    fn key_header(&self, _base: &Url, key: &str) -> (&'static str, String) {
        ("x-api-key", key.into())
    }

    fn headers(&self) -> &'static [(&'static str, &'static str)] {
        &[("anthropic-version", "2023-06-01")]
    }

    fn completion_request(&self, params: &CompletionParams<'_>) -> Result<WireRequest, Error> {
        let prompt = params.prompt;
        let mut body = Map::new();
        insert_some(&mut body, "model", Some(prompt.model.as_str()));
        insert_some(&mut body, "max_tokens", Some(prompt.max_tokens.unwrap_or(DEFAULT_MAX_TOKENS)));
        let system = system(&prompt.messages, prompt.schema.as_deref())?;
        insert_some(&mut body, "system", (!system.is_empty()).then_some(system));
        body.insert("messages".into(), messages(&sendable(&prompt.messages))?.into());
        insert_some(&mut body, "temperature", prompt.temperature);
        insert_some(&mut body, "stop_sequences", (!prompt.stop.is_empty()).then(|| prompt.stop.clone()));
        let tools = parse_tools(prompt)?.into_iter().map(tool).collect::<Vec<_>>();
        insert_some(&mut body, "tools", (!tools.is_empty()).then_some(tools));
        insert_some(&mut body, "stream", params.stream.then_some(true));
        Ok(WireRequest { path: "messages".into(), body: with_options(body, prompt)? })
    }

    fn parse_completion(&self, body: &[u8]) -> Result<CompletionReply, ReplyError> {
        let mut message = parse_reply(body)?;
        if message["content"].is_null() && message["stop_reason"].is_null() {
            return Err(ReplyError::Malformed("an answer without content".into()));
        }
        let mut reply = ReplyBuilder::default();
        add_usage(&mut reply, &message["usage"]);
        reply.finish_reason = Some(finish_reason(text(&message, "stop_reason").unwrap_or_default()));
        match message["content"].take() {
            Value::Array(blocks) => {
                for (index, block) in (0..).zip(blocks) {
                    add_block(&mut reply, index, block);
                }
            }
            other => reply.content = content(other).unwrap_or_default(),
        }
        end_calls(&mut reply);
        Ok(reply.finish())
    }

    fn parse_event(&self, reply: &mut ReplyBuilder, data: &str) -> Result<String, ReplyError> {
        let mut event = parse_reply(data.as_bytes())?;
        let index = count(&event["index"]).unwrap_or(0);
        match text(&event, "type").unwrap_or_default() {
            "message_start" => add_usage(reply, &event["message"]["usage"]),
            "content_block_start" => return Ok(add_block(reply, index, event["content_block"].take())),
            "content_block_delta" => return Ok(add_delta(reply, index, &event["delta"])),
            "message_delta" => {
                if let Some(reason) = text(&event["delta"], "stop_reason") {
                    reply.finish_reason = Some(finish_reason(reason));
                }
                add_usage(reply, &event["usage"]);
            }
            "message_stop" => {
                reply.done = true;
                end_calls(reply);
            }
            _ => {}
        }
        Ok(String::new())
    }
}

/// Adds the beginning of a block, or a whole one, and returns the text that it adds.
fn add_block(reply: &mut ReplyBuilder, index: u64, mut block: Value) -> String {
    match text(&block, "type").unwrap_or_default() {
        "tool_use" => {
            let input = block["input"].take();
            let call = reply.call(index);
            call.id = text(&block, "id").unwrap_or_default().into();
            call.name = text(&block, "name").unwrap_or_default().into();
            // In a stream the arguments follow, and the block has an empty object in their place.
            if input.as_object().is_some_and(|input| !input.is_empty()) {
                call.arguments = input.to_string();
            }
        }
        "text" => return add_text(reply, text(&block, "text")),
        "thinking" | "redacted_thinking" => {
            reply.wants_own = true;
            reply.own.push((index, block));
        }
        _ => {}
    }
    String::new()
}

fn add_delta(reply: &mut ReplyBuilder, index: u64, delta: &Value) -> String {
    match text(delta, "type").unwrap_or_default() {
        "text_delta" => return add_text(reply, text(delta, "text")),
        "input_json_delta" => {
            let part = text(delta, "partial_json").unwrap_or_default();
            reply.call(index).arguments.push_str(part);
        }
        kind @ ("thinking_delta" | "signature_delta") => {
            let name = kind.trim_end_matches("_delta");
            if let (Some(block), Some(more)) = (reply.own_part(index), text(delta, name)) {
                let whole = format!("{}{more}", text(block, name).unwrap_or_default());
                block[name] = whole.into();
            }
        }
        _ => {}
    }
    String::new()
}

fn add_text(reply: &mut ReplyBuilder, text: Option<&str>) -> String {
    let text = text.unwrap_or_default();
    reply.content.push_str(text);
    text.into()
}

/// A tool without arguments streams none.
fn end_calls(reply: &mut ReplyBuilder) {
    for call in reply.calls.iter_mut().filter(|call| call.arguments.is_empty()) {
        call.arguments = "{}".into();
    }
}

/// Adds the tokens of a message or an event. Input tokens do not include those that are written to the provider's cache or
/// read from it. Some services count the input in the last event alone.
fn add_usage(reply: &mut ReplyBuilder, usage: &Value) {
    let cached = ["cache_creation_input_tokens", "cache_read_input_tokens"];
    let cached = cached.into_iter().filter_map(|name| count(&usage[name])).fold(0, u64::saturating_add);
    if let Some(input) = first_count(usage, &["input_tokens", "prompt_tokens"]) {
        reply.input_tokens = reply.input_tokens.max(Some(input.saturating_add(cached)));
    }
    let output = first_count(usage, &["output_tokens", "completion_tokens"]);
    reply.output_tokens = output.or(reply.output_tokens);
}

/// The system messages, and the schema of the answer: the protocol has no parameter for a schema that all models support.
fn system(messages: &[Message], schema: Option<&str>) -> Result<String, Error> {
    let system = messages.iter().filter(|message| message.role == Role::System);
    let mut texts: Vec<String> = system.map(|message| message.content.clone()).collect();
    if let Some(schema) = schema {
        let schema: Value = parse_argument("schema", "JSON", schema)?;
        texts.push(format!("Answer with JSON that meets this JSON Schema, and with nothing else:\n{schema}"));
    }
    Ok(texts.join("\n\n"))
}

/// The conversation without the system messages. Consecutive tool results go into one message.
fn messages(messages: &[Message]) -> Result<Vec<Value>, Error> {
    let mut turns: Vec<(&str, Vec<Value>)> = Vec::new();
    for message in messages.iter().filter(|message| message.role != Role::System) {
        let (role, blocks) = blocks(message)?;
        match turns.last_mut() {
            Some((last, merged)) if *last == role => merged.extend(blocks),
            _ => turns.push((role, blocks)),
        }
    }
    Ok(turns.into_iter().map(|(role, content)| json!({ "role": role, "content": content })).collect())
}

fn blocks(message: &Message) -> Result<(&'static str, Vec<Value>), Error> {
    let text = || json!({ "type": "text", "text": message.content });
    Ok(match message.role {
        Role::Tool => {
            let id = message.tool_call_id.as_deref().unwrap_or_default();
            let result = json!({ "type": "tool_result", "tool_use_id": id, "content": message.content });
            ("user", vec![result])
        }
        Role::Assistant => {
            // The provider refuses a text block of white space.
            let calls = parse_tool_calls(message)?;
            // Thoughts come first, where they led to calls of tools.
            let mut blocks = if calls.is_empty() { Vec::new() } else { own_parts(message) };
            blocks.extend((!message.content.trim().is_empty()).then(text));
            for call in calls {
                let (id, name) = (&call["id"], &call["function"]["name"]);
                let input = tool_arguments(&call)?;
                blocks.push(json!({ "type": "tool_use", "id": id, "name": name, "input": input }));
            }
            ("assistant", blocks)
        }
        Role::User | Role::System => ("user", vec![text()]),
    })
}

fn tool(mut function: Map<String, Value>) -> Value {
    let schema = function.remove("parameters").unwrap_or_else(|| json!({ "type": "object" }));
    function.retain(|name, _| matches!(name.as_str(), "name" | "description"));
    function.insert("input_schema".into(), schema);
    function.into()
}

fn finish_reason(reason: &str) -> String {
    match reason {
        "" | "end_turn" | "stop_sequence" => "stop",
        "max_tokens" | "model_context_window_exceeded" => "length",
        "tool_use" => "tool_calls",
        "refusal" => "content_filter",
        other => other,
    }
    .into()
}
