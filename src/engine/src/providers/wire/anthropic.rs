//! Anthropic's messages, version 2023-06-01 (<https://docs.anthropic.com/en/api/messages>).

use ragstone_core::provider::{Message, Role};
use reqwest::Url;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{
    Ask, Fault, Gathered, Post, Protocol, Reply, argument, arguments, calls, put, read, tool_call, tools,
    with_options,
};
use crate::{failure::Error, providers::refusal::Refusal};

/// The protocol.
pub struct Anthropic;

/// Most tokens of an answer where the prompt does not say: the protocol wants a number.
const MOST_TOKENS: u32 = 4096;

impl Protocol for Anthropic {
    fn name(&self) -> &'static str {
        "anthropic"
    }

    fn key(&self, _base: &Url, key: &str) -> (&'static str, String) {
        ("x-api-key", key.into())
    }

    fn headers(&self) -> &'static [(&'static str, &'static str)] {
        &[("anthropic-version", "2023-06-01")]
    }

    fn complete(&self, ask: &Ask<'_>) -> Result<Post, Error> {
        let prompt = ask.prompt;
        let mut body = Map::new();
        put(&mut body, "model", Some(prompt.model.as_str()));
        put(&mut body, "max_tokens", Some(prompt.max_tokens.unwrap_or(MOST_TOKENS)));
        let system = system(&prompt.messages, prompt.schema.as_deref())?;
        put(&mut body, "system", (!system.is_empty()).then_some(system));
        body.insert("messages".into(), messages(&prompt.messages)?.into());
        put(&mut body, "temperature", prompt.temperature);
        put(&mut body, "stop_sequences", (!prompt.stop.is_empty()).then(|| prompt.stop.clone()));
        let tools = tools(prompt)?.into_iter().map(tool).collect::<Vec<_>>();
        put(&mut body, "tools", (!tools.is_empty()).then_some(tools));
        put(&mut body, "stream", ask.stream.then_some(true));
        Ok(Post { path: "messages".into(), body: with_options(body, prompt)? })
    }

    fn completed(&self, body: &[u8]) -> Result<Reply, Fault> {
        let whole: Whole = read(body)?;
        let mut reply = Reply {
            finish_reason: finish_reason(whole.stop_reason.as_deref().unwrap_or_default()),
            tokens: whole.usage.map(|usage| (usage.input(), usage.output_tokens)),
            ..Reply::default()
        };
        for block in whole.content {
            match block {
                Block::Text { text } => reply.content.push_str(&text),
                Block::ToolUse { id, name, input } => {
                    reply.tool_calls.push(tool_call(&id, &name, &input.to_string()));
                }
                Block::Other => {}
            }
        }
        Ok(reply)
    }

    fn event(&self, gathered: &mut Gathered, data: &str) -> Result<String, Fault> {
        match read(data.as_bytes())? {
            Event::MessageStart { message } => {
                gathered.input_tokens = message.usage.as_ref().map(Usage::input);
                gathered.output_tokens = message.usage.map(|usage| usage.output_tokens);
            }
            Event::ContentBlockStart { index, content_block: Block::ToolUse { id, name, .. } } => {
                let call = gathered.call(index);
                (call.id, call.name) = (id, name);
            }
            Event::ContentBlockStart { content_block: Block::Text { text }, .. }
            | Event::ContentBlockDelta { delta: Delta::Text { text }, .. } => {
                gathered.content.push_str(&text);
                return Ok(text);
            }
            Event::ContentBlockDelta { index, delta: Delta::Arguments { partial_json } } => {
                gathered.call(index).arguments.push_str(&partial_json);
            }
            Event::MessageDelta { delta, usage } => {
                gathered.finish_reason = delta.stop_reason.as_deref().map(finish_reason);
                gathered.output_tokens = usage.map(|usage| usage.output_tokens).or(gathered.output_tokens);
            }
            Event::MessageStop => {
                gathered.done = true;
                // A tool without arguments streams none.
                for call in gathered.calls.iter_mut().filter(|call| call.arguments.is_empty()) {
                    call.arguments = "{}".into();
                }
            }
            Event::Error => return Err(Fault::Refused(Refusal::of_body(data.as_bytes()))),
            Event::ContentBlockStart { .. } | Event::ContentBlockDelta { .. } | Event::Other => {}
        }
        Ok(String::new())
    }
}

/// What the system says, and which shape the answer has to have: the protocol has no place for a schema that all models
/// know.
fn system(messages: &[Message], schema: Option<&str>) -> Result<String, Error> {
    let system = messages.iter().filter(|message| message.role == Role::System);
    let mut texts: Vec<String> = system.map(|message| message.content.clone()).collect();
    if let Some(schema) = schema {
        let schema: Value = argument("schema", "JSON", schema)?;
        texts.push(format!("Answer with JSON that meets this JSON Schema, and with nothing else:\n{schema}"));
    }
    Ok(texts.join("\n\n"))
}

/// The conversation without the system. Results of tools that follow each other belong into one message.
fn messages(messages: &[Message]) -> Result<Vec<Value>, Error> {
    let mut turns: Vec<(&str, Vec<Value>)> = Vec::new();
    for message in messages.iter().filter(|message| message.role != Role::System) {
        let (role, blocks) = blocks(message)?;
        match turns.last_mut() {
            Some((last, gathered)) if *last == role => gathered.extend(blocks),
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
            for call in calls(message)? {
                let (id, name) = (&call["id"], &call["function"]["name"]);
                let input = arguments(&call)?;
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
struct Whole {
    content: Vec<Block>,
    stop_reason: Option<String>,
    usage: Option<Usage>,
}

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Block {
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
enum Event {
    MessageStart {
        message: Started,
    },
    ContentBlockStart {
        index: u64,
        content_block: Block,
    },
    ContentBlockDelta {
        index: u64,
        delta: Delta,
    },
    MessageDelta {
        delta: Ended,
        usage: Option<Usage>,
    },
    MessageStop,
    Error,
    #[serde(other)]
    Other,
}

#[derive(Deserialize)]
struct Started {
    usage: Option<Usage>,
}

#[derive(Deserialize)]
struct Ended {
    stop_reason: Option<String>,
}

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Delta {
    #[serde(rename = "text_delta")]
    Text { text: String },
    #[serde(rename = "input_json_delta")]
    Arguments { partial_json: String },
    #[serde(other)]
    Other,
}

/// Tokens that are written to the provider's cache or read from it are counted apart.
#[derive(Deserialize)]
struct Usage {
    #[serde(default)]
    input_tokens: u64,
    #[serde(default)]
    output_tokens: u64,
    cache_creation_input_tokens: Option<u64>,
    cache_read_input_tokens: Option<u64>,
}

impl Usage {
    fn input(&self) -> u64 {
        let cached = [self.cache_creation_input_tokens, self.cache_read_input_tokens];
        cached.into_iter().flatten().fold(self.input_tokens, u64::saturating_add)
    }
}
