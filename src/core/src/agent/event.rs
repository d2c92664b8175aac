//! The events of a run.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::provider::Message;

/// An event of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "lowercase")]
pub enum Event {
    /// The run has begun.
    Asked {
        /// The messages before, if the run continues a conversation.
        history: Vec<Message>,
        /// The task.
        input: String,
    },
    /// The model has answered.
    Said(ModelReply),
    /// The state of a call has changed.
    Called(CallUpdate),
}

/// A reply of the model.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct ModelReply {
    /// Its text.
    pub content: String,
    /// The tool calls, in the order of the reply.
    pub calls: Vec<ToolCall>,
    /// As in [`crate::provider::Completion`].
    pub finish_reason: String,
    /// As in [`crate::provider::Completion`].
    #[serde(default)]
    pub own: Option<String>,
    /// The format that was requested.
    pub form: ReplyFormat,
    /// Whether the text meets the agent's schema. `None` without a schema or if the reply calls tools.
    pub fits: Option<bool>,
    /// Tokens of the prompt.
    pub input_tokens: u64,
    /// Tokens of the answer.
    pub output_tokens: u64,
    /// Cost, by the provider's prices.
    pub cost: f64,
    /// Duration, milliseconds.
    pub ms: f64,
}

/// The format in which the model is asked to reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ReplyFormat {
    /// Any text; the model may call tools.
    #[default]
    Free,
    /// JSON that meets the agent's schema. Not every provider supports a schema and tools in one request.
    Schema,
}

/// A tool call, as the model wrote it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ToolCall {
    /// The id that assigns a tool's result to the call.
    pub id: String,
    /// Name of the tool.
    pub name: String,
    /// JSON text, unless the model has written something else.
    pub arguments: String,
}

/// A new state of one of the calls in the model's last reply.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CallUpdate {
    /// The call's position in that reply, from 0.
    pub position: usize,
    /// Serialised as `fate`, its former name.
    #[serde(rename = "fate")]
    pub state: CallState,
    /// Duration of the call, milliseconds.
    pub ms: f64,
}

/// The state of a call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "fate", rename_all = "lowercase")]
pub enum CallState {
    /// It waits for the approval of a user.
    Waiting,
    /// A user has approved it.
    Approved,
    /// A user has rejected it.
    Rejected {
        /// The reason.
        reason: String,
    },
    /// The tool has returned.
    Made {
        /// The tool's result, or its error.
        content: String,
        /// Whether it is an error.
        is_error: bool,
    },
    /// It was not made, and the model gets the reason.
    Refused {
        /// The reason.
        content: String,
        /// True if the reason is that the same call was repeated too often.
        repeats: bool,
    },
}

/// The tool calls in a provider's answer, a JSON array in OpenAI's format. A call without a unique id gets one, since each
/// result refers to its call by the id.
pub fn tool_calls(json: Option<&str>, turn: usize) -> Vec<ToolCall> {
    let parsed: Vec<Value> = json.and_then(|json| serde_json::from_str(json).ok()).unwrap_or_default();
    let mut calls: Vec<ToolCall> = Vec::with_capacity(parsed.len());
    for (position, call) in parsed.iter().enumerate() {
        let text = |value: &Value| value.as_str().unwrap_or_default().replace('\0', "\u{fffd}");
        let mut id = text(&call["id"]);
        if id.is_empty() || calls.iter().any(|earlier| earlier.id == id) {
            id = format!("call_{turn}_{position}");
        }
        let function = &call["function"];
        calls.push(ToolCall { id, name: text(&function["name"]), arguments: text(&function["arguments"]) });
    }
    calls
}

impl ToolCall {
    /// The arguments as JSON, or a message that says what is wrong and where.
    ///
    /// # Errors
    /// They are not a JSON object.
    pub fn parsed(&self) -> Result<Value, String> {
        // Some models write nothing for the arguments of a tool without parameters.
        if self.arguments.trim().is_empty() {
            return Ok(Value::Object(serde_json::Map::new()));
        }
        match serde_json::from_str::<Value>(&self.arguments) {
            Ok(object @ Value::Object(_)) => Ok(object),
            Ok(other) => Err(format!("the arguments must be a JSON object, but are {}", shape(&other))),
            Err(error) => Err(format!("the arguments are not valid JSON: {error}")),
        }
    }
}

fn shape(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_read_and_each_has_an_id_of_its_own() {
        let json = r#"[{"id":"a","type":"function","function":{"name":"find","arguments":"{\"n\":1}"}},
                       {"id":"a","function":{"name":"find","arguments":"{}"}},
                       {"function":{"name":"x\u0000y"}}]"#;
        let calls = tool_calls(Some(json), 4);
        let ids: Vec<_> = calls.iter().map(|call| call.id.as_str()).collect();
        assert_eq!(ids, ["a", "call_4_1", "call_4_2"]);
        assert_eq!(calls[0].arguments, r#"{"n":1}"#);
        assert_eq!((calls[2].name.as_str(), calls[2].arguments.as_str()), ("x\u{fffd}y", ""));
        assert!(tool_calls(None, 1).is_empty() && tool_calls(Some("no JSON"), 1).is_empty());
    }

    #[test]
    fn broken_arguments_say_where() {
        let call = |arguments: &str| ToolCall { arguments: arguments.into(), ..ToolCall::default() };
        assert_eq!(call(" ").parsed().unwrap(), serde_json::json!({}));
        assert_eq!(call(r#"{"a": 1}"#).parsed().unwrap(), serde_json::json!({ "a": 1 }));
        assert!(call(r#"{"a": 1"#).parsed().unwrap_err().contains("line 1 column 7"));
        assert_eq!(
            call("[1]").parsed().unwrap_err(),
            "the arguments must be a JSON object, but are an array"
        );
    }

    #[test]
    fn events_come_through_json() {
        let events = [
            Event::Asked {
                history: vec![Message::new(crate::provider::Role::User, "hi")],
                input: "x".into(),
            },
            Event::Said(ModelReply {
                calls: vec![ToolCall::default()],
                fits: Some(true),
                ..ModelReply::default()
            }),
            Event::Called(CallUpdate {
                position: 1,
                state: CallState::Rejected { reason: "no".into() },
                ms: 0.5,
            }),
            Event::Called(CallUpdate { position: 0, state: CallState::Waiting, ms: 0.0 }),
        ];
        for event in events {
            let json = serde_json::to_string(&event).unwrap();
            assert_eq!(serde_json::from_str::<Event>(&json).unwrap(), event, "{json}");
        }
    }

    /// Runs that wait for approval store their events in a table, which later versions of Ragstone read.
    #[test]
    fn the_stored_form_of_a_call_stays() {
        let event = Event::Called(CallUpdate { position: 1, state: CallState::Approved, ms: 0.5 });
        let json = r#"{"event":"called","position":1,"fate":{"fate":"approved"},"ms":0.5}"#;
        assert_eq!(serde_json::to_string(&event).unwrap(), json);
    }
}
