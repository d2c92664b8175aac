//! Answers that have to be JSON of a certain shape (JSON Schema, <https://json-schema.org>).

use std::{fmt::Write, sync::Arc};

use jsonschema::Validator;
use serde_json::Value;

use super::wire::Reply;
use crate::failure::Error;

/// A schema to compare answers with. What it costs is up to whoever wrote it, so it is never run in the thread that serves
/// the sockets.
pub struct Schema {
    validator: Arc<Validator>,
}

impl Schema {
    /// Reads a schema. References to other documents are not followed.
    ///
    /// # Errors
    /// It is none.
    pub async fn read(json: String) -> Result<Self, Error> {
        elsewhere(move || {
            let schema: Value = serde_json::from_str(&json)
                .map_err(|_| Error::Argument("schema: expected a JSON Schema, actual no JSON".into()))?;
            let validator = jsonschema::validator_for(&schema).map_err(|error| {
                let (place, keyword) = (error.instance_path().as_str().to_owned(), error.kind().keyword().to_owned());
                Error::Argument(format!(
                    "schema: expected a JSON Schema without references to other documents, actual fault at \"{place}\" ({keyword})"
                ))
            })?;
            Ok(Self { validator: Arc::new(validator) })
        })
        .await?
    }

    /// The answer with nothing but the JSON in it, or what is wrong with it.
    ///
    /// # Errors
    /// The comparison failed by itself.
    pub async fn check(&self, mut reply: Reply) -> Result<Result<Reply, (Reply, Problems)>, Error> {
        let validator = self.validator.clone();
        elsewhere(move || {
            let json = unfenced(&reply.content);
            let problems = match serde_json::from_str::<Value>(json) {
                Ok(value) => Problems::of(&validator, &value),
                Err(_) => Problems(vec![Problem {
                    place: String::new(),
                    keyword: "no JSON".into(),
                    text: "It is not JSON.".into(),
                }]),
            };
            if problems.0.is_empty() {
                reply.content = json.to_owned();
                Ok(reply)
            } else {
                Err((reply, problems))
            }
        })
        .await
    }
}

async fn elsewhere<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Error> {
    tokio::task::spawn_blocking(work).await.map_err(|error| Error::Internal(error.to_string()))
}

/// What is wrong with an answer.
#[derive(Debug)]
pub struct Problems(Vec<Problem>);

#[derive(Debug)]
struct Problem {
    /// JSON Pointer.
    place: String,
    keyword: String,
    /// In words, for the model: they repeat what it wrote.
    text: String,
}

/// More than these do not help.
const MOST: usize = 16;

impl Problems {
    fn of(validator: &Validator, value: &Value) -> Self {
        let problems = validator.iter_errors(value).take(MOST).map(|error| Problem {
            place: error.instance_path().as_str().to_owned(),
            keyword: error.kind().keyword().to_owned(),
            text: error.to_string(),
        });
        Self(problems.collect())
    }

    /// Where, and which keywords; nothing of what the model wrote.
    pub fn places(&self) -> String {
        let places: Vec<String> =
            self.0.iter().map(|problem| format!("at \"{}\": {}", problem.place, problem.keyword)).collect();
        places.join("; ")
    }

    /// What the model is told.
    pub fn request(&self) -> String {
        let mut text = String::from("Your answer does not meet the JSON Schema:\n");
        for Problem { place, text: what, .. } in &self.0 {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "- at \"{place}\": {what}");
        }
        text.push_str("Answer again with the corrected JSON and nothing else.");
        text
    }
}

/// The text within a code fence around all of it.
fn unfenced(text: &str) -> &str {
    let text = text.trim();
    let inner = text.strip_prefix("```").and_then(|rest| rest.strip_suffix("```"));
    // The rest of the first line names a language.
    inner.and_then(|inner| inner.split_once('\n')).map_or(text, |(_, inner)| inner.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run<T>(future: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
    }

    fn check(schema: &str, content: &str) -> Result<String, String> {
        run(async {
            let schema = Schema::read(schema.into()).await.unwrap();
            let reply = Reply { content: content.into(), ..Reply::default() };
            let outcome = schema.check(reply).await.unwrap();
            outcome.map(|reply| reply.content).map_err(|(_, problems)| problems.places())
        })
    }

    const AGE: &str = r#"{"type":"object","properties":{"age":{"type":"integer"}},"required":["age"]}"#;

    #[test]
    fn json_is_taken_out_of_its_fence() {
        assert_eq!(check(AGE, "```json\n{\"age\": 3}\n```").unwrap(), "{\"age\": 3}");
        assert_eq!(check(AGE, " {\"age\": 3}\n").unwrap(), "{\"age\": 3}");
    }

    #[test]
    fn problems_name_places_and_not_what_is_there() {
        assert_eq!(check(AGE, r#"{"age":"secret"}"#).unwrap_err(), "at \"/age\": type");
        assert_eq!(check(AGE, "{}").unwrap_err(), "at \"\": required");
        assert_eq!(check(AGE, "my secret").unwrap_err(), "at \"\": no JSON");
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
