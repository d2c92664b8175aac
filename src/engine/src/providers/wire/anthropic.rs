//! Anthropic's messages, version 2023-06-01 (<https://docs.anthropic.com/en/api/messages>).

use ragstone_core::provider::{Message, Role};
use reqwest::Url;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{
    error::ReplyError,
    json::{
        insert_some, parse_argument, parse_body, parse_tool_calls, parse_tools, tool_arguments, tool_call,
        with_options,
    },
    protocol::{CompletionParams, Protocol, WireRequest},
    reply::{CompletionReply, ReplyBuilder},
};
use crate::{failure::Error, providers::refusal::Refusal};

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
        body.insert("messages".into(), messages(&prompt.messages)?.into());
        insert_some(&mut body, "temperature", prompt.temperature);
        insert_some(&mut body, "stop_sequences", (!prompt.stop.is_empty()).then(|| prompt.stop.clone()));
        let tools = parse_tools(prompt)?.into_iter().map(tool).collect::<Vec<_>>();
        insert_some(&mut body, "tools", (!tools.is_empty()).then_some(tools));
        insert_some(&mut body, "stream", params.stream.then_some(true));
        Ok(WireRequest { path: "messages".into(), body: with_options(body, prompt)? })
    }

    fn parse_completion(&self, body: &[u8]) -> Result<CompletionReply, ReplyError> {
        let message: AnthropicMessage = parse_body(body)?;
        let mut reply = CompletionReply {
            finish_reason: finish_reason(message.stop_reason.as_deref().unwrap_or_default()),
            tokens: message.usage.map(|usage| (usage.input(), usage.output_tokens)),
            ..CompletionReply::default()
        };
        for block in message.content {
            match block {
                AnthropicBlock::Text { text } => reply.content.push_str(&text),
                AnthropicBlock::ToolUse { id, name, input } => {
                    reply.tool_calls.push(tool_call(&id, &name, &input.to_string()));
                }
                AnthropicBlock::Other => {}
            }
        }
        Ok(reply)
    }

    fn parse_event(&self, reply: &mut ReplyBuilder, data: &str) -> Result<String, ReplyError> {
        match parse_body(data.as_bytes())? {
            AnthropicEvent::MessageStart { message } => {
                reply.input_tokens = message.usage.as_ref().map(AnthropicUsage::input);
                reply.output_tokens = message.usage.map(|usage| usage.output_tokens);
            }
            AnthropicEvent::ContentBlockStart {
                index,
                content_block: AnthropicBlock::ToolUse { id, name, .. },
            } => {
                let call = reply.call(index);
                (call.id, call.name) = (id, name);
            }
            AnthropicEvent::ContentBlockStart { content_block: AnthropicBlock::Text { text }, .. }
            | AnthropicEvent::ContentBlockDelta { delta: AnthropicBlockDelta::Text { text }, .. } => {
                reply.content.push_str(&text);
                return Ok(text);
            }
            AnthropicEvent::ContentBlockDelta {
                index,
                delta: AnthropicBlockDelta::Arguments { partial_json },
            } => {
                reply.call(index).arguments.push_str(&partial_json);
            }
            AnthropicEvent::MessageDelta { delta, usage } => {
                reply.finish_reason = delta.stop_reason.as_deref().map(finish_reason);
                reply.output_tokens = usage.map(|usage| usage.output_tokens).or(reply.output_tokens);
            }
            AnthropicEvent::MessageStop => {
                reply.done = true;
                // A tool without arguments streams none.
                for call in reply.calls.iter_mut().filter(|call| call.arguments.is_empty()) {
                    call.arguments = "{}".into();
                }
            }
            AnthropicEvent::Error => return Err(ReplyError::Refused(Refusal::of_body(data.as_bytes()))),
            AnthropicEvent::ContentBlockStart { .. }
            | AnthropicEvent::ContentBlockDelta { .. }
            | AnthropicEvent::Other => {}
        }
        Ok(String::new())
    }
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
            // An empty block of text is refused.
            let mut blocks: Vec<Value> = (!message.content.is_empty()).then(text).into_iter().collect();
            for call in parse_tool_calls(message)? {
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

#[derive(Deserialize)]
struct AnthropicMessage {
    content: Vec<AnthropicBlock>,
    stop_reason: Option<String>,
    usage: Option<AnthropicUsage>,
}

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum AnthropicBlock {
    Text {
        text: String,
    },
    ToolUse {
        id: String,
        name: String,
        #[serde(default)]
        input: Value,
    },
    #[serde(other)]
    Other,
}

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum AnthropicEvent {
    MessageStart {
        message: AnthropicMessageStart,
    },
    ContentBlockStart {
        index: u64,
        content_block: AnthropicBlock,
    },
    ContentBlockDelta {
        index: u64,
        delta: AnthropicBlockDelta,
    },
    MessageDelta {
        delta: AnthropicMessageEnd,
        usage: Option<AnthropicUsage>,
    },
    MessageStop,
    Error,
    #[serde(other)]
    Other,
}

#[derive(Deserialize)]
struct AnthropicMessageStart {
    usage: Option<AnthropicUsage>,
}

#[derive(Deserialize)]
struct AnthropicMessageEnd {
    stop_reason: Option<String>,
}

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum AnthropicBlockDelta {
    #[serde(rename = "text_delta")]
    Text { text: String },
    #[serde(rename = "input_json_delta")]
    Arguments { partial_json: String },
    #[serde(other)]
    Other,
}

/// Tokens that are written to the provider's cache or read from it are counted separately.
#[derive(Deserialize)]
struct AnthropicUsage {
    #[serde(default)]
    input_tokens: u64,
    #[serde(default)]
    output_tokens: u64,
    cache_creation_input_tokens: Option<u64>,
    cache_read_input_tokens: Option<u64>,
}

impl AnthropicUsage {
    fn input(&self) -> u64 {
        let cached = [self.cache_creation_input_tokens, self.cache_read_input_tokens];
        cached.into_iter().flatten().fold(self.input_tokens, u64::saturating_add)
    }
}
