//! What calls have learnt about models: the members of a request that a model refuses, and how it writes its thoughts.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Mutex,
};

use serde_json::{Map, Value, json};

use super::refusal::Refusal;
use crate::lock::lock;

/// Maximum number of models that are remembered; beyond it, all are forgotten and learnt again.
const MAX_MODELS: usize = 4096;

/// The models of all providers, by their fingerprints.
#[derive(Default)]
pub struct KnownModels(Mutex<HashMap<String, KnownModel>>);

/// What is known about a model.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct KnownModel {
    /// Members that it has refused, with the number of forms in which it has.
    refused: BTreeMap<&'static str, u8>,
    /// Whether its answers begin with thoughts that no tag opens.
    pub thinks_unopened: bool,
}

impl KnownModels {
    /// What is known about a model.
    pub fn get(&self, fingerprint: &str) -> KnownModel {
        lock(&self.0).get(fingerprint).cloned().unwrap_or_default()
    }

    /// Changes what is known about a model. Returns the result of the change.
    pub fn learn<T>(&self, fingerprint: &str, change: impl FnOnce(&mut KnownModel) -> T) -> T {
        let mut models = lock(&self.0);
        if models.len() >= MAX_MODELS && !models.contains_key(fingerprint) {
            models.clear();
        }
        change(models.entry(fingerprint.to_owned()).or_default())
    }
}

/// A request without its values, which may be long: all that is needed to learn from its refusal.
pub fn outline(request: &Value) -> Value {
    let mut members = names(request);
    if request[SETTINGS].is_object() {
        members.insert(SETTINGS.into(), names(&request[SETTINGS]).into());
    }
    members.into()
}

/// The members of an object that are not null, each with the value true.
fn names(object: &Value) -> Map<String, Value> {
    let members = object.as_object().into_iter().flatten();
    members.filter(|(_, value)| !value.is_null()).map(|(name, _)| (name.clone(), true.into())).collect()
}

impl KnownModel {
    /// Learns from a refusal of this request, or of one with this [`outline`]. Returns the members that the next request leaves out or replaces; none if
    /// another request would be refused as well.
    pub fn learn_refusal(&mut self, refusal: &Refusal, request: &Value) -> Vec<&'static str> {
        if !matches!(refusal.status, 0 | 400 | 422) {
            return Vec::new();
        }
        let has_tools = !request["tools"].is_null();
        let mut learnt = Vec::new();
        for name in &refusal.unsupported {
            // Newer models want to be told that they shall not think while they call tools.
            let is_missing_effort = *name == EFFORT && has_tools;
            let is_sent = !request[*name].is_null() || !request[SETTINGS][*name].is_null();
            let forms = if matches!(*name, FORMAT | EFFORT) { 2 } else { 1 };
            let refused = self.refused.entry(name).or_default();
            if (is_sent || is_missing_effort) && *refused < forms {
                *refused += 1;
                learnt.push(*name);
            }
        }
        self.refused.retain(|_, forms| *forms > 0);
        learnt
    }

    /// Changes a request into a form that the model does not refuse. `schema` is that of the answer.
    pub fn adapt(&self, request: &mut Value, schema: Option<&str>) {
        let has_tools = !request["tools"].is_null();
        let forms = |name: &str| self.refused.get(name).copied().unwrap_or(0);
        for (name, other) in [(TOKENS, NEW_TOKENS), (NEW_TOKENS, TOKENS)] {
            if forms(name) > 0
                && let Some(limit) = take(request, name)
                && forms(other) == 0
            {
                request[other] = limit;
            }
        }
        for (name, refused) in &self.refused {
            match *name {
                TOKENS | NEW_TOKENS => {}
                FORMAT => {
                    if take(request, FORMAT).is_some()
                        && let Some(schema) = schema
                    {
                        tell_schema(request, schema);
                        if *refused == 1 {
                            request[FORMAT] = json!({ "type": "json_object" });
                        }
                    }
                }
                EFFORT if has_tools && *refused == 1 => request[EFFORT] = "none".into(),
                name => {
                    take(request, name);
                }
            }
        }
    }
}

const TOKENS: &str = "max_tokens";
const NEW_TOKENS: &str = "max_completion_tokens";
const FORMAT: &str = "response_format";
const EFFORT: &str = "reasoning_effort";
/// The object in which Gemini takes its settings.
const SETTINGS: &str = "generationConfig";

/// Takes a member out of a request, and out of Gemini's settings.
fn take(request: &mut Value, name: &str) -> Option<Value> {
    let inner = request.get_mut(SETTINGS).and_then(Value::as_object_mut);
    let inner = inner.and_then(|settings| settings.remove(name));
    request.as_object_mut().and_then(|members| members.remove(name)).or(inner)
}

/// Asks for the schema in the system message, where the format of the answer cannot be set.
fn tell_schema(request: &mut Value, schema: &str) {
    let told = format!("Answer with JSON that meets this JSON Schema, and with nothing else:\n{schema}");
    let Some(messages) = request["messages"].as_array_mut() else { return };
    match messages.first_mut().filter(|message| message["role"] == "system") {
        Some(system) => {
            let text = format!("{}\n\n{told}", system["content"].as_str().unwrap_or_default());
            system["content"] = text.into();
        }
        None => messages.insert(0, json!({ "role": "system", "content": told })),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(unsupported: &[&'static str]) -> Refusal {
        Refusal { status: 400, unsupported: unsupported.to_vec(), ..Refusal::default() }
    }

    fn adapted(model: &KnownModel, mut request: Value) -> Value {
        model.adapt(&mut request, Some("{}"));
        request
    }

    #[test]
    fn a_refused_member_is_left_out_once_and_for_all() {
        let mut model = KnownModel::default();
        let request = json!({ "temperature": 0, "stop": ["x"] });
        assert_eq!(model.learn_refusal(&refused(&["temperature"]), &request), ["temperature"]);
        assert_eq!(adapted(&model, request.clone()), json!({ "stop": ["x"] }));
        assert_eq!(model.learn_refusal(&refused(&["temperature"]), &request), [""; 0]);
        let request = json!({ "generationConfig": { "seed": 1, "topK": 2 } });
        assert_eq!(model.learn_refusal(&refused(&["seed"]), &request), ["seed"]);
        assert_eq!(adapted(&model, request), json!({ "generationConfig": { "topK": 2 } }));
    }

    #[test]
    fn an_outline_teaches_what_the_request_would() {
        let request = json!({
            "messages": [{ "role": "user", "content": "long" }], "tools": null, "temperature": 0,
            SETTINGS: { "seed": 1, "topK": null }
        });
        assert_eq!(
            outline(&request),
            json!({ "messages": true, "temperature": true, SETTINGS: { "seed": true } })
        );
        let refusal = refused(&["temperature", "seed", "topK", EFFORT]);
        let mut models = [KnownModel::default(), KnownModel::default()];
        assert_eq!(models[0].learn_refusal(&refusal, &outline(&request)), ["temperature", "seed"]);
        assert_eq!(models[1].learn_refusal(&refusal, &request), ["temperature", "seed"]);
    }

    #[test]
    fn what_was_not_sent_cannot_be_left_out() {
        let mut model = KnownModel::default();
        assert!(model.learn_refusal(&refused(&["temperature"]), &json!({})).is_empty());
        let overloaded = Refusal { status: 503, ..refused(&["seed"]) };
        assert!(model.learn_refusal(&overloaded, &json!({ "seed": 1 })).is_empty());
        assert_eq!(model, KnownModel::default());
    }

    #[test]
    fn the_limit_of_tokens_changes_its_name() {
        for (old, new) in [(TOKENS, NEW_TOKENS), (NEW_TOKENS, TOKENS)] {
            let mut model = KnownModel::default();
            let request = json!({ old: 9 });
            assert_eq!(model.learn_refusal(&refused(&[TOKENS, NEW_TOKENS]), &request), [old]);
            let second = adapted(&model, request.clone());
            assert_eq!(second, json!({ new: 9 }));
            assert_eq!(model.learn_refusal(&refused(&[new]), &second), [new]);
            assert_eq!(adapted(&model, request), json!({}));
        }
    }

    #[test]
    fn a_schema_that_cannot_be_set_is_told() {
        let mut model = KnownModel::default();
        let request = json!({ "messages": [{ "role": "system", "content": "Be brief." }], FORMAT: { "type": "json_schema" } });
        assert_eq!(model.learn_refusal(&refused(&[FORMAT]), &request), [FORMAT]);
        let second = adapted(&model, request.clone());
        assert_eq!(second[FORMAT], json!({ "type": "json_object" }));
        let system = second["messages"][0]["content"].as_str().unwrap();
        assert!(system.starts_with("Be brief.\n\n") && system.ends_with("\n{}"), "{system}");
        assert_eq!(model.learn_refusal(&refused(&[FORMAT]), &second), [FORMAT]);
        assert!(adapted(&model, request)[FORMAT].is_null());
        assert_eq!(adapted(&model, json!({ "messages": [] })), json!({ "messages": [] }));
    }

    #[test]
    fn a_model_that_must_not_think_with_tools_is_told_so() {
        let mut model = KnownModel::default();
        let request = json!({ "tools": [] });
        assert_eq!(model.learn_refusal(&refused(&[EFFORT]), &request), [EFFORT]);
        assert_eq!(adapted(&model, request), json!({ "tools": [], EFFORT: "none" }));
        assert_eq!(adapted(&model, json!({})), json!({}));
    }
}
