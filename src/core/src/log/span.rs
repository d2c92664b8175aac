//! Converts a run or a step to an OpenTelemetry span: its name, and its attributes in OTLP's JSON (opentelemetry-proto,
//! `common/v1/common.proto` and the JSON mapping of protobuf: 64-bit integers are strings).

use super::semconv::{self as names, operation, own};
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// A row of `rag.runs` or `rag.steps`. Missing columns are missing in the span.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct LoggedRecord {
    /// Number of the run or step.
    pub id: i64,
    /// The step's run; `None` for a run.
    pub run_id: Option<i64>,
    /// The step's position in its run.
    pub number: Option<i64>,
    /// Name of the role that owns the run.
    pub owner: Option<String>,
    /// Name of the agent.
    pub agent: Option<String>,
    /// The conversation.
    pub session: Option<i64>,
    /// The step's kind.
    pub kind: Option<String>,
    /// Name of the tool, the collection or the function.
    pub name: Option<String>,
    /// The model, `server/model`.
    pub model: Option<String>,
    /// Tokens of the prompt.
    pub input_tokens: Option<i64>,
    /// Tokens of the answer.
    pub output_tokens: Option<i64>,
    /// Cost, in the currency of the prices.
    pub cost: Option<f64>,
    /// The status in the log.
    pub status: Option<String>,
    /// Error message.
    pub error: Option<String>,
    /// SQLSTATE of the error.
    pub sqlstate: Option<String>,
    /// True if the caller's transaction was rolled back.
    pub rolled_back: bool,
    /// Input; present only if texts are exported.
    pub input: Option<Box<RawValue>>,
    /// Output; present only if texts are exported.
    pub output: Option<Box<RawValue>>,
    /// Attributes that the log's writer added.
    pub attributes: Option<BTreeMap<String, Box<RawValue>>>,
}

/// The span's name: the operation and its object.
pub fn name(kind: Option<&str>, name: Option<&str>, model: Option<&str>) -> String {
    let model = model.map(|model| server_and_model(model).1);
    let (operation, with) = match kind {
        None => (operation::INVOKE_AGENT, name),
        Some("model") => (operation::CHAT, model.or(name)),
        Some("tool") => (operation::EXECUTE_TOOL, name),
        Some("retrieval") => (operation::RETRIEVAL, name),
        Some(kind) => return name.unwrap_or(kind).to_owned(),
    };
    with.map_or_else(|| operation.to_owned(), |with| format!("{operation} {with}"))
}

/// The span's attributes: an array of keys and values. Columns of the row take precedence over attributes with the same key.
pub fn attributes(row: &LoggedRecord) -> Value {
    let mut out = AttributeList::default();
    match row.run_id {
        None => run(row, &mut out),
        Some(run_id) => step(row, run_id, &mut out),
    }
    if row.error.is_some() || matches!(row.status.as_deref(), Some("error" | "failed")) {
        out.text(names::ERROR_TYPE, Some(row.sqlstate.as_deref().unwrap_or(names::ERROR_TYPE_OTHER)));
    }
    out.text(names::AGENT_NAME, row.agent.as_deref());
    out.text(names::CONVERSATION_ID, row.session.map(|session| session.to_string()).as_deref());
    out.text(own::STATUS, row.status.as_deref());
    out.text(own::OWNER, row.owner.as_deref());
    if row.rolled_back {
        out.put(own::ROLLED_BACK, json!({"boolValue": true}));
    }
    for (key, given) in row.attributes.iter().flatten() {
        out.put(key, parse(given).map_or_else(|| json!({"stringValue": given.get()}), |given| value(&given)));
    }
    Value::Array(out.0)
}

fn run(row: &LoggedRecord, out: &mut AttributeList) {
    out.text(names::OPERATION_NAME, Some(operation::INVOKE_AGENT));
    // The conventions require a provider; here it is the system that runs the agent.
    out.text(names::PROVIDER_NAME, Some("ragstone"));
    out.number(own::RUN_ID, Some(row.id));
    out.content(own::INPUT, row.input.as_deref());
    out.content(own::OUTPUT, row.output.as_deref());
}

fn step(row: &LoggedRecord, run_id: i64, out: &mut AttributeList) {
    let (input, output) = match row.kind.as_deref() {
        Some("model") => {
            out.text(names::OPERATION_NAME, Some(operation::CHAT));
            (names::INPUT_MESSAGES, names::OUTPUT_MESSAGES)
        }
        Some("tool") => {
            out.text(names::OPERATION_NAME, Some(operation::EXECUTE_TOOL));
            out.text(names::TOOL_NAME, row.name.as_deref());
            out.text(names::TOOL_TYPE, Some("function"));
            (names::TOOL_CALL_ARGUMENTS, names::TOOL_CALL_RESULT)
        }
        Some("retrieval") => {
            out.text(names::OPERATION_NAME, Some(operation::RETRIEVAL));
            out.text(names::DATA_SOURCE_ID, row.name.as_deref());
            (own::INPUT, names::RETRIEVAL_DOCUMENTS)
        }
        _ => (own::INPUT, own::OUTPUT),
    };
    if let Some(model) = &row.model {
        let (server, model) = server_and_model(model);
        out.text(names::PROVIDER_NAME, server);
        out.text(names::REQUEST_MODEL, Some(model));
    }
    out.number(names::USAGE_INPUT_TOKENS, row.input_tokens);
    out.number(names::USAGE_OUTPUT_TOKENS, row.output_tokens);
    if let Some(cost) = row.cost {
        out.put(own::COST, json!({"doubleValue": cost}));
    }
    out.number(own::RUN_ID, Some(run_id));
    out.number(own::STEP_ID, Some(row.id));
    out.number(own::STEP_NUMBER, row.number);
    out.text(own::STEP_KIND, row.kind.as_deref());
    out.content(input, row.input.as_deref());
    out.content(output, row.output.as_deref());
}

/// Splits `server/model` at the first slash: a model's name may contain further slashes.
fn server_and_model(model: &str) -> (Option<&str>, &str) {
    match model.split_once('/') {
        Some((server, model)) => (Some(server), model),
        None => (None, model),
    }
}

#[derive(Default)]
struct AttributeList(Vec<Value>);

impl AttributeList {
    fn put(&mut self, key: &str, value: Value) {
        if !self.0.iter().any(|attribute| attribute["key"] == key) {
            self.0.push(json!({"key": key, "value": value}));
        }
    }

    fn text(&mut self, key: &str, text: Option<&str>) {
        if let Some(text) = text {
            self.put(key, json!({"stringValue": text}));
        }
    }

    fn number(&mut self, key: &str, number: Option<i64>) {
        if let Some(number) = number {
            self.put(key, json!({"intValue": number.to_string()}));
        }
    }

    /// Adds content as text, since spans cannot hold structures: a string unchanged, any other value as JSON.
    fn content(&mut self, key: &str, content: Option<&RawValue>) {
        let Some(content) = content else { return };
        match parse(content) {
            Some(Value::Null) => {}
            Some(Value::String(text)) => self.text(key, Some(&text)),
            Some(other) => self.text(key, Some(&other.to_string())),
            None => self.text(key, Some(content.get())),
        }
    }
}

/// `None` if the JSON is nested deeper than serde_json permits. Such a value is shown as its text.
fn parse(json: &RawValue) -> Option<Value> {
    serde_json::from_str(json.get()).ok()
}

/// A JSON value as OTLP's `AnyValue`.
fn value(given: &Value) -> Value {
    match given {
        // An `AnyValue` without a value is OTLP's null.
        Value::Null => json!({}),
        Value::Bool(yes) => json!({"boolValue": yes}),
        Value::Number(number) => match number.as_i64() {
            Some(integer) => json!({"intValue": integer.to_string()}),
            None => json!({"doubleValue": number}),
        },
        Value::String(text) => json!({"stringValue": text}),
        Value::Array(all) => json!({"arrayValue": {"values": all.iter().map(value).collect::<Vec<_>>()}}),
        Value::Object(all) => {
            let all: Vec<_> = all.iter().map(|(key, it)| json!({"key": key, "value": value(it)})).collect();
            json!({"kvlistValue": {"values": all}})
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(row: Value) -> Value {
        attributes(&serde_json::from_value(row).unwrap())
    }

    fn find<'a>(attributes: &'a Value, key: &str) -> &'a Value {
        let all = attributes.as_array().unwrap();
        let mut found = all.iter().filter(|attribute| attribute["key"] == key);
        let first = found.next().map_or(&Value::Null, |attribute| &attribute["value"]);
        assert!(found.next().is_none(), "{key} is there twice");
        first
    }

    #[test]
    fn names_are_as_the_conventions_say() {
        for (kind, what, model, expected) in [
            (None, Some("support"), None, "invoke_agent support"),
            (Some("model"), Some("generate"), Some("openai/gpt-4o"), "chat gpt-4o"),
            (Some("model"), None, Some("hub/meta/llama-3"), "chat meta/llama-3"),
            (Some("model"), None, None, "chat"),
            (Some("tool"), Some("get_order"), None, "execute_tool get_order"),
            (Some("retrieval"), Some("manual"), None, "retrieval manual"),
            (Some("custom"), Some("plan"), None, "plan"),
            (Some("error"), None, None, "error"),
        ] {
            assert_eq!(name(kind, what, model), expected);
        }
    }

    #[test]
    fn a_call_of_a_model_says_who_was_asked_and_what_it_took() {
        let row = json!({"id": 5, "run_id": 2, "number": 1, "kind": "model", "model": "openai/gpt-4o", "agent": "support",
                         "input_tokens": 12, "output_tokens": 3, "cost": 0.5, "status": "ok", "unknown": 1,
                         "attributes": {"gen_ai.request.temperature": 0.2, "gen_ai.request.model": "other",
                                        "list": [1, "a", true, null], "nested": {"a": 9007199254740993i64}}});
        let found = of(row);
        assert_eq!(find(&found, "gen_ai.operation.name"), &json!({"stringValue": "chat"}));
        assert_eq!(find(&found, "gen_ai.provider.name"), &json!({"stringValue": "openai"}));
        assert_eq!(find(&found, "gen_ai.request.model"), &json!({"stringValue": "gpt-4o"}));
        assert_eq!(find(&found, "gen_ai.usage.input_tokens"), &json!({"intValue": "12"}));
        assert_eq!(find(&found, "gen_ai.request.temperature"), &json!({"doubleValue": 0.2}));
        assert_eq!(find(&found, "ragstone.cost"), &json!({"doubleValue": 0.5}));
        assert_eq!(
            find(&found, "list"),
            &json!({"arrayValue": {"values": [{"intValue": "1"}, {"stringValue": "a"}, {"boolValue": true}, {}]}})
        );
        assert_eq!(
            find(&found, "nested"),
            &json!({"kvlistValue": {"values": [{"key": "a", "value": {"intValue": "9007199254740993"}}]}})
        );
        assert_eq!(find(&found, "error.type"), &Value::Null);
    }

    #[test]
    fn a_failed_call_of_a_tool_says_what_kind_of_error_it_was() {
        let row = json!({"id": 5, "run_id": 2, "kind": "tool", "name": "get_order", "status": "error", "sqlstate": "22P02",
                         "input": {"id": 17}, "output": "gone", "attributes": {"gen_ai.tool.call.id": "call_1"}});
        let found = of(row);
        assert_eq!(find(&found, "gen_ai.tool.name"), &json!({"stringValue": "get_order"}));
        assert_eq!(find(&found, "gen_ai.tool.call.id"), &json!({"stringValue": "call_1"}));
        assert_eq!(find(&found, "gen_ai.tool.call.arguments"), &json!({"stringValue": "{\"id\":17}"}));
        assert_eq!(find(&found, "gen_ai.tool.call.result"), &json!({"stringValue": "gone"}));
        assert_eq!(find(&found, "error.type"), &json!({"stringValue": "22P02"}));
    }

    #[test]
    fn what_is_nested_deeply_is_text() {
        let deep = format!("{}1{}", "[".repeat(6000), "]".repeat(6000));
        let row = format!(r#"{{"id": 5, "input": {deep}, "attributes": {{"deep": {deep}}}}}"#);
        let found = attributes(&serde_json::from_str(&row).unwrap());
        assert_eq!(find(&found, "deep"), &json!({ "stringValue": deep }));
        assert_eq!(find(&found, own::INPUT), &json!({ "stringValue": deep }));
    }

    #[test]
    fn a_run_is_an_agent_that_is_invoked() {
        let found =
            of(json!({"id": 5, "agent": "support", "session": 9, "status": "failed", "rolled_back": true}));
        assert_eq!(find(&found, "gen_ai.operation.name"), &json!({"stringValue": "invoke_agent"}));
        assert_eq!(find(&found, "gen_ai.agent.name"), &json!({"stringValue": "support"}));
        assert_eq!(find(&found, "gen_ai.conversation.id"), &json!({"stringValue": "9"}));
        assert_eq!(find(&found, "error.type"), &json!({"stringValue": "_OTHER"}));
        assert_eq!(find(&found, "ragstone.rolled_back"), &json!({"boolValue": true}));
    }
}
