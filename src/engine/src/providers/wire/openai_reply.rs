//! Reads the answers of OpenAI's chat completions, and of the many services that imitate them.

use serde_json::{Map, Value};

use super::{
    error::ReplyError,
    json::tool_call,
    loose::{content, count, first_count, items, text},
    reply::{CompletionReply, PartialToolCall, ReplyBuilder, ReportedTokens},
};
use crate::providers::refusal::Refusal;

/// Members of a message that some services want back with the calls of tools to which they led.
const OWN_MEMBERS: [&str; 2] = ["reasoning_content", "reasoning_details"];

/// A whole answer.
///
/// # Errors
/// It has no choice, or the choice reports an error.
pub fn completion(mut reply: Value) -> Result<CompletionReply, ReplyError> {
    let tokens = tokens(&reply);
    let mut choice =
        first_choice(&mut reply)?.ok_or(ReplyError::Malformed("an answer without choices".into()))?;
    let mut message = message(&mut choice);
    let content = content(message["content"].take()).or_else(|| text(&choice, "text").map(str::to_owned));
    let mut calls: Vec<PartialToolCall> =
        items(&message, "tool_calls").iter().filter_map(call_part).collect();
    calls.extend(message.as_object_mut().and_then(legacy_call).as_ref().and_then(call_part));
    let refused = text(&message, "refusal").filter(|refusal| content.is_none() && !refusal.is_empty());
    let finish_reason = match refused {
        Some(_) => "content_filter".into(),
        None => finish_reason(text(&choice, "finish_reason").unwrap_or_default(), !calls.is_empty()),
    };
    Ok(CompletionReply {
        content: refused.map(str::to_owned).or(content).unwrap_or_default(),
        tool_calls: calls.iter().map(|call| tool_call(&call.id, &call.name, &call.arguments)).collect(),
        finish_reason,
        tokens,
        own: (!calls.is_empty()).then(|| own_members(&message)).flatten().map(|own| Value::Array(vec![own])),
    })
}

/// Adds one event of a stream, and returns the text that it adds.
///
/// # Errors
/// The choice reports an error.
pub fn event(reply: &mut ReplyBuilder, mut event: Value) -> Result<String, ReplyError> {
    let ReportedTokens { input, output } = tokens(&event);
    (reply.input_tokens, reply.output_tokens) =
        (input.or(reply.input_tokens), output.or(reply.output_tokens));
    let Some(mut choice) = first_choice(&mut event)? else { return Ok(String::new()) };
    let mut delta = message(&mut choice);
    for (position, part) in items(&delta, "tool_calls").iter().filter_map(call_part).enumerate() {
        reply.add_call_part(&part, position == 0);
    }
    if let Some(part) = delta.as_object_mut().and_then(legacy_call).as_ref().and_then(call_part) {
        reply.add_call_part(&part, true);
    }
    if let Some(reason) = text(&choice, "finish_reason").filter(|reason| !reason.is_empty()) {
        reply.finish_reason = Some(finish_reason(reason, !reply.calls.is_empty()));
    }
    add_own(reply, &delta);
    let refusal = text(&delta, "refusal").map(str::to_owned);
    if refusal.as_ref().is_some_and(|refusal| !refusal.is_empty()) {
        reply.refused = true;
    }
    let text = content(delta["content"].take()).filter(|text| !text.is_empty()).or(refusal);
    let text = text.or_else(|| choice["text"].as_str().map(str::to_owned)).unwrap_or_default();
    reply.content.push_str(&text);
    Ok(text)
}

fn own_members(message: &Value) -> Option<Value> {
    let member = |name: &str| {
        let value = &message[name];
        let is_empty = value.as_str().is_some_and(str::is_empty);
        (!value.is_null() && !is_empty).then(|| (name.to_owned(), value.clone()))
    };
    let members: Map<String, Value> = OWN_MEMBERS.into_iter().filter_map(member).collect();
    (!members.is_empty()).then_some(Value::Object(members))
}

/// Adds the thoughts of a delta to those before.
fn add_own(reply: &mut ReplyBuilder, delta: &Value) {
    let Some(added) = own_members(delta) else { return };
    reply.wants_own = true;
    let Some(own) = reply.own_part(0) else { return reply.own.push((0, added)) };
    for (name, more) in added.as_object().into_iter().flatten() {
        match (&mut own[name.as_str()], more) {
            (Value::String(text), Value::String(more)) => text.push_str(more),
            (Value::Array(items), Value::Array(more)) => items.extend(more.iter().cloned()),
            (known, more) => *known = more.clone(),
        }
    }
}

/// The choice with number 0, or without a number: a provider may send more than was asked for.
fn first_choice(reply: &mut Value) -> Result<Option<Value>, ReplyError> {
    let Some(choices) = reply["choices"].as_array_mut() else { return Ok(None) };
    let is_first = |choice: &&mut Value| choice.is_object() && count(&choice["index"]).unwrap_or(0) == 0;
    let Some(choice) = choices.iter_mut().find(is_first).map(Value::take) else { return Ok(None) };
    if let Some(refusal) = Refusal::within(&choice) {
        return Err(ReplyError::Refused(Box::new(refusal)));
    }
    // A broker's word for a failure of the service behind it.
    if text(&choice, "finish_reason") == Some("error") {
        let refusal = Refusal { codes: vec!["error".into()], ..Refusal::default() };
        return Err(ReplyError::Refused(Box::new(refusal)));
    }
    Ok(Some(choice))
}

/// The message of a choice. Streams have a delta in its place, and some of them a message.
fn message(choice: &mut Value) -> Value {
    let name = if choice["delta"].is_object() { "delta" } else { "message" };
    match choice[name].take() {
        message @ Value::Object(_) => message,
        _ => Value::Object(Map::new()),
    }
}

/// The call of a function in the format before tools.
fn legacy_call(message: &mut Map<String, Value>) -> Option<Value> {
    let function = message.remove("function_call").filter(Value::is_object)?;
    Some(serde_json::json!({ "function": function, "index": 0 }))
}

/// A tool call, or a part of it.
fn call_part(call: &Value) -> Option<PartialToolCall> {
    let function = call.as_object().map(|_| &call["function"])?;
    let arguments = match &function["arguments"] {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        // Some services send the object itself.
        object => object.to_string(),
    };
    let id = match &call["id"] {
        Value::String(id) => id.clone(),
        Value::Number(id) => id.to_string(),
        _ => String::new(),
    };
    let name = text(function, "name").unwrap_or_default().to_owned();
    Some(PartialToolCall { index: count(&call["index"]), id, name, arguments })
}

/// The tokens of a reply: its usage has OpenAI's names or Anthropic's.
fn tokens(reply: &Value) -> ReportedTokens {
    let usage = &reply["usage"];
    ReportedTokens {
        input: first_count(usage, &["prompt_tokens", "input_tokens"]),
        output: first_count(usage, &["completion_tokens", "output_tokens"]),
    }
}

fn finish_reason(reason: &str, calls_tools: bool) -> String {
    match reason {
        "function_call" => "tool_calls",
        "" if calls_tools => "tool_calls",
        "" | "eos" | "end_turn" => "stop",
        "model_length" | "max_tokens" => "length",
        other => other,
    }
    .into()
}
