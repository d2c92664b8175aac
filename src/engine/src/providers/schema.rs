//! Answers that have to be JSON of a certain shape (JSON Schema, <https://json-schema.org>).

use std::{fmt::Write, sync::Arc};

use jsonschema::{PatternOptions, Validator};
use serde_json::Value;
use tokio::sync::Semaphore;

use super::{
    schema_work::{MAX_BACKTRACKS, TooMuchWork, check_work},
    wire::reply::CompletionReply,
};
use crate::failure::Error;

/// A schema to check answers against. Its author decides how much time it takes, so it never runs in the thread that serves
/// the sockets.
pub struct Schema {
    schema: Arc<Value>,
    validator: Arc<Validator>,
}

impl Schema {
    /// Reads a schema. References to other documents are not followed.
    ///
    /// # Errors
    /// It is not a JSON Schema, or one whose check might not end.
    pub async fn read(json: String) -> Result<Self, Error> {
        run_blocking(move || {
            let schema: Value = serde_json::from_str(&json)
                .map_err(|_| Error::Argument("schema: expected a JSON Schema, actual no JSON".into()))?;
            let patterns = PatternOptions::fancy_regex().backtrack_limit(MAX_BACKTRACKS);
            let options = jsonschema::options().with_pattern_options(patterns);
            let validator = options.build(&schema).map_err(|error| {
                let (place, keyword) = (error.instance_path().as_str().to_owned(), error.kind().keyword().to_owned());
                Error::Argument(format!(
                    "schema: expected a JSON Schema without references to other documents, actual fault at \"{place}\" ({keyword})"
                ))
            })?;
            check_work(&schema, &Value::Null).map_err(too_much_work)?;
            Ok(Self { schema: Arc::new(schema), validator: Arc::new(validator) })
        })
        .await?
    }

    /// The answer reduced to its JSON, or the answer with what is wrong with it.
    ///
    /// # Errors
    /// The check would take too much work, or panicked.
    pub async fn check(
        &self,
        mut reply: CompletionReply,
    ) -> Result<Result<CompletionReply, (CompletionReply, SchemaErrors)>, Error> {
        let (schema, validator) = (self.schema.clone(), self.validator.clone());
        run_blocking(move || {
            let json = strip_code_fence(&reply.content);
            let errors = match serde_json::from_str::<Value>(json) {
                Ok(value) => {
                    check_work(&schema, &value).map_err(too_much_work)?;
                    SchemaErrors::of(&validator, &value)
                }
                Err(_) => SchemaErrors(vec![SchemaError {
                    location: String::new(),
                    keyword: "no JSON".into(),
                    text: "It is not JSON.".into(),
                }]),
            };
            if errors.0.is_empty() {
                reply.content = json.to_owned();
                Ok(Ok(reply))
            } else {
                Ok(Err((reply, errors)))
            }
        })
        .await?
    }
}

fn too_much_work(why: TooMuchWork) -> Error {
    Error::Argument(format!("schema: checking an answer would not end in time: {why}"))
}

/// Number of schemas that are read or checked at a time, so that they do not take all threads of the pool.
const MAX_AT_ONCE: usize = 2;

static TURNS: Semaphore = Semaphore::const_new(MAX_AT_ONCE);

async fn run_blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Error> {
    let turn = TURNS.acquire().await.map_err(|error| Error::Internal(error.to_string()))?;
    let work = move || {
        // Work that has begun goes on, and keeps its turn, when nobody waits for it any more.
        let _turn = turn;
        work()
    };
    tokio::task::spawn_blocking(work).await.map_err(|error| Error::Internal(error.to_string()))
}

/// What is wrong with an answer.
#[derive(Debug)]
pub struct SchemaErrors(Vec<SchemaError>);

#[derive(Debug)]
struct SchemaError {
    /// JSON Pointer.
    location: String,
    keyword: String,
    /// The validator's message, for the model: it may repeat the answer.
    text: String,
}

/// More errors than these do not help the model.
const MAX_REPORTED_ERRORS: usize = 16;

impl SchemaErrors {
    fn of(validator: &Validator, value: &Value) -> Self {
        let errors = validator.iter_errors(value).take(MAX_REPORTED_ERRORS).map(|error| SchemaError {
            location: error.instance_path().as_str().to_owned(),
            keyword: error.kind().keyword().to_owned(),
            text: error.to_string(),
        });
        Self(errors.collect())
    }

    /// Locations and keywords; nothing of what the model wrote.
    pub fn locations(&self) -> String {
        let locations: Vec<String> =
            self.0.iter().map(|error| format!("at \"{}\": {}", error.location, error.keyword)).collect();
        locations.join("; ")
    }

    /// The message that asks the model to correct its answer.
    pub fn correction_request(&self) -> String {
        let mut text = String::from("Your answer does not meet the JSON Schema:\n");
        for SchemaError { location, text: what, .. } in &self.0 {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "- at \"{location}\": {what}");
        }
        text.push_str("Answer again with the corrected JSON and nothing else.");
        text
    }
}

/// The text inside a code fence that encloses all of it.
fn strip_code_fence(text: &str) -> &str {
    let text = text.trim();
    let inner = text.strip_prefix("```").and_then(|rest| rest.strip_suffix("```"));
    // The rest of the first line names a language.
    inner.and_then(|inner| inner.split_once('\n')).map_or(text, |(_, inner)| inner.trim())
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    fn run<T>(future: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
    }

    fn check(schema: &str, content: &str) -> Result<String, String> {
        run(async {
            let schema = Schema::read(schema.into()).await.unwrap();
            let reply = CompletionReply { content: content.into(), ..CompletionReply::default() };
            let checked = schema.check(reply).await.unwrap();
            checked.map(|reply| reply.content).map_err(|(_, errors)| errors.locations())
        })
    }

    const AGE: &str = r#"{"type":"object","properties":{"age":{"type":"integer"}},"required":["age"]}"#;

    #[test]
    fn few_schemas_are_worked_on_at_once() {
        static RUNNING: AtomicUsize = AtomicUsize::new(0);
        let work = || {
            let running = RUNNING.fetch_add(1, Ordering::SeqCst) + 1;
            (0..10_000).for_each(|_| std::thread::yield_now());
            RUNNING.fetch_sub(1, Ordering::SeqCst);
            running
        };
        let most = run(async {
            let working: Vec<_> = (0..20).map(|_| tokio::spawn(run_blocking(work))).collect();
            let mut most = 0;
            for working in working {
                most = most.max(working.await.unwrap().unwrap());
            }
            most
        });
        assert!(most <= MAX_AT_ONCE, "{most} at once");
    }

    #[test]
    fn json_is_taken_out_of_its_fence() {
        assert_eq!(check(AGE, "```json\n{\"age\": 3}\n```").unwrap(), "{\"age\": 3}");
        assert_eq!(check(AGE, " {\"age\": 3}\n").unwrap(), "{\"age\": 3}");
    }

    #[test]
    fn errors_name_places_and_not_what_is_there() {
        assert_eq!(check(AGE, r#"{"age":"secret"}"#).unwrap_err(), "at \"/age\": type");
        assert_eq!(check(AGE, "{}").unwrap_err(), "at \"\": required");
        assert_eq!(check(AGE, "my secret").unwrap_err(), "at \"\": no JSON");
    }

    /// Each of forty definitions refers to the next in two ways.
    fn ways(keyword: &str) -> String {
        let definitions: Vec<String> = (0..40)
            .map(|number| {
                let next = format!(r##"{{"$ref":"#/$defs/d{}"}}"##, number + 1);
                format!(r#""d{number}":{{"{keyword}":[{next},{next}]}}"#)
            })
            .collect();
        format!(
            r##"{{"$ref":"#/$defs/d0","$defs":{{{},"d40":{{"type":"string"}}}}}}"##,
            definitions.join(",")
        )
    }

    #[test]
    fn a_schema_whose_check_would_not_end_is_refused() {
        for keyword in ["anyOf", "allOf", "oneOf"] {
            let refusal = run(Schema::read(ways(keyword))).err().unwrap().to_string();
            assert!(refusal.contains("in too many ways"), "{refusal}");
        }
        let endless = r##"{"$ref":"#/$defs/a","$defs":{"a":{"anyOf":[{"$ref":"#/$defs/a"}]}}}"##;
        let refusal = run(Schema::read(endless.into())).err().unwrap().to_string();
        assert!(refusal.contains("refers to itself"), "{refusal}");
        let doubling = r##"{"$ref":"#/$defs/a","$defs":{"a":{"properties":{"x":{"anyOf":[{"$ref":"#/$defs/a"},{"$ref":"#/$defs/a"}]}}}}}"##;
        let (deep, end) = ("{\"x\":".repeat(60), "}".repeat(60));
        run(async {
            let schema = Schema::read(doubling.into()).await.unwrap();
            let reply = CompletionReply { content: format!("{deep}1{end}"), ..CompletionReply::default() };
            let refusal = schema.check(reply).await.err().unwrap().to_string();
            assert!(refusal.contains("in too many ways"), "{refusal}");
        });
    }

    #[test]
    fn a_schema_that_is_none_or_leads_elsewhere_is_refused() {
        for schema in [
            "",
            r#"{"type":"nonsense"}"#,
            r#"{"$ref":"http://127.0.0.1:1/x"}"#,
            r#"{"$ref":"file:///etc/passwd"}"#,
        ] {
            assert!(matches!(run(Schema::read(schema.into())), Err(Error::Argument(_))), "{schema}");
        }
    }
}
