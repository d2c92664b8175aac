//! Reading and writing the JSON that the protocols share.

use std::fmt;

use ragstone_core::provider::{Message, Prompt};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::{error::ReplyError, loose::mended};
use crate::{failure::Error, providers::refusal::Refusal};

/// A tool call in OpenAI's format.
pub fn tool_call(id: &str, name: &str, arguments: &str) -> Value {
    serde_json::json!({ "id": id, "type": "function", "function": { "name": name, "arguments": arguments } })
}

/// Parses a body. The reason of a failure gives a position and never quotes the body. A body of another shape may be an
/// error that the provider reports with a status of success.
///
/// # Errors
/// [`ReplyError`].
pub fn parse_body<T: DeserializeOwned>(body: &[u8]) -> Result<T, ReplyError> {
    let text = mended(body);
    serde_json::from_str(&text).map_err(|error| {
        let reported = serde_json::from_str(&text).ok().as_ref().and_then(Refusal::within);
        if let Some(refusal) = reported {
            return ReplyError::Refused(Box::new(refusal));
        }
        let what = match error.classify() {
            serde_json::error::Category::Data => "JSON of another shape than expected",
            serde_json::error::Category::Eof => "JSON that ends too early",
            _ => "no JSON",
        };
        ReplyError::Malformed(format!("{what}, line {} column {}", error.line(), error.column()))
    })
}

/// Parses a reply. An error that it reports, whatever its status, is one.
///
/// # Errors
/// [`ReplyError`].
pub fn parse_reply(body: &[u8]) -> Result<Value, ReplyError> {
    let reply: Value = parse_body(body)?;
    match Refusal::within(&reply) {
        Some(refusal) => Err(ReplyError::Refused(Box::new(refusal))),
        None if reply.is_object() => Ok(reply),
        None => Err(ReplyError::Malformed("JSON that is no object".into())),
    }
}

/// Parses JSON that the caller passed as an argument.
///
/// # Errors
/// It is not JSON of this type.
pub fn parse_argument<T: DeserializeOwned>(
    name: &str,
    expected: impl fmt::Display,
    json: &str,
) -> Result<T, Error> {
    serde_json::from_str(json).map_err(|_| Error::Argument(format!("{name}: expected {expected}")))
}

/// The tools of a prompt: for each tool the object below `function`.
///
/// # Errors
/// They are not in OpenAI's format.
pub fn parse_tools(prompt: &Prompt) -> Result<Vec<Map<String, Value>>, Error> {
    let Some(json) = &prompt.tools else { return Ok(Vec::new()) };
    let tools: Vec<Value> = parse_argument("tools", "a JSON array", json)?;
    tools
        .into_iter()
        .map(|mut tool| match tool.get_mut("function").map(Value::take) {
            Some(Value::Object(function)) => Ok(function),
            _ => Err(Error::Argument("tools: expected objects with a member \"function\"".into())),
        })
        .collect()
}

/// The tool calls in a message of an assistant.
///
/// # Errors
/// They are not a JSON array.
pub fn parse_tool_calls(message: &Message) -> Result<Vec<Value>, Error> {
    match &message.tool_calls {
        Some(json) => parse_argument("tool_calls", "a JSON array", json),
        None => Ok(Vec::new()),
    }
}

/// The parts that the provider has asked to have back with this message, which [`ReplyBuilder::own`] collected.
///
/// [`ReplyBuilder::own`]: super::reply::ReplyBuilder::own
pub fn own_parts(message: &Message) -> Vec<Value> {
    message.own.as_deref().and_then(|own| serde_json::from_str(own).ok()).unwrap_or_default()
}

/// The arguments of a tool call, which OpenAI's format holds as JSON text.
///
/// # Errors
/// They are not JSON.
pub fn tool_arguments(call: &Value) -> Result<Value, Error> {
    match call["function"]["arguments"].as_str().filter(|text| !text.is_empty()) {
        Some(text) => parse_argument("tool_calls", "arguments that are JSON text", text),
        None => Ok(Value::Object(Map::new())),
    }
}

/// Members of a request, in any protocol, that options may not replace: they determine the record of a call, its budget
/// reservation, or how its answer is read.
const FIXED_MEMBERS: [&str; 15] = [
    "model",
    "models",
    "fallbacks",
    "messages",
    "contents",
    "stream",
    "streamoptions",
    "maxtokens",
    "maxcompletiontokens",
    "maxoutputtokens",
    "npredict",
    "n",
    "bestof",
    "numgenerations",
    "candidatecount",
];

/// The member with Gemini's settings of a generation.
const GENERATION_SETTINGS: &str = "generationconfig";

/// Adds the members of the prompt's options to the body.
///
/// # Errors
/// The options are not a JSON object, or replace a fixed member.
pub fn with_options(mut body: Map<String, Value>, prompt: &Prompt) -> Result<Value, Error> {
    if let Some(json) = &prompt.options {
        let mut options: Map<String, Value> = parse_argument("options", "a JSON object", json)?;
        check_options(&options)?;
        for (name, settings) in &options {
            if let Value::Object(settings) = settings
                && plain_name(name) == GENERATION_SETTINGS
            {
                check_options(settings)?;
            }
        }
        body.append(&mut options);
    }
    Ok(Value::Object(body))
}

fn check_options(options: &Map<String, Value>) -> Result<(), Error> {
    match options.keys().find(|name| FIXED_MEMBERS.contains(&plain_name(name).as_str())) {
        Some(name) => Err(Error::Argument(format!(
            "options: \"{name}\" cannot be given there; the call's record and budget go by its arguments"
        ))),
        None => Ok(()),
    }
}

/// A member's name in lower case without `_`, because services accept `max_tokens` for `maxTokens`.
fn plain_name(name: &str) -> String {
    name.chars().filter(|letter| *letter != '_').flat_map(char::to_lowercase).collect()
}

/// Adds a member to a body if there is a value for it.
pub fn insert_some(body: &mut Map<String, Value>, name: &str, value: Option<impl Into<Value>>) {
    if let Some(value) = value {
        body.insert(name.into(), value.into());
    }
}
