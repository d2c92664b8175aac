//! Checks answers against a JSON Schema (<https://json-schema.org>).

use std::{fmt::Write, sync::Arc};

use jsonschema::{PatternOptions, Validator};
use ragstone_core::protocol::Caller;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use super::{
    schema_work::{MAX_BACKTRACKS, TooMuchWork, check_work},
    wire::reply::CompletionReply,
};
use crate::{
    failure::Error,
    scheduler::{fair_queue::Client, turns::Turns},
};

/// A schema to check answers against. A check takes as long as the schema's author makes it take, so it never runs in
/// the thread that serves the sockets.
pub struct Schema {
    schema: Arc<Value>,
    validator: Arc<Validator>,
    workplace: Workplace,
}

impl Schema {
    /// Reads a schema. References to other documents are not followed.
    ///
    /// # Errors
    /// It is not a JSON Schema, or one whose check might not end.
    pub async fn read(workplace: Workplace, json: String) -> Result<Self, Error> {
        let reading = move |abandoned: &CancellationToken| {
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
            go_on(abandoned)?;
            check_work(&schema, &Value::Null).map_err(too_much_work)?;
            Ok((Arc::new(schema), Arc::new(validator)))
        };
        let (schema, validator) = workplace.run(reading).await?;
        Ok(Self { schema, validator, workplace })
    }

    /// The answer reduced to its JSON, or the answer with what is wrong with it.
    ///
    /// # Errors
    /// The check would take too much work, or panicked.
    pub async fn check(
        &self,
        reply: CompletionReply,
    ) -> Result<Result<CompletionReply, (CompletionReply, SchemaErrors)>, Error> {
        let (schema, validator) = (self.schema.clone(), self.validator.clone());
        let checking = move |abandoned: &CancellationToken| {
            let found = json_of(&reply.content);
            let errors = match &found {
                Some((_, value)) => {
                    check_work(&schema, value).map_err(too_much_work)?;
                    go_on(abandoned)?;
                    SchemaErrors::of(&validator, value)
                }
                None => SchemaErrors(vec![SchemaError {
                    location: String::new(),
                    keyword: "no JSON".into(),
                    text: "It is not JSON.".into(),
                }]),
            };
            match found {
                Some((json, _)) if errors.0.is_empty() => {
                    let content = json.to_owned();
                    Ok(Ok(CompletionReply { content, ..reply }))
                }
                _ => Ok(Err((reply, errors))),
            }
        };
        self.workplace.run(checking).await
    }
}

fn too_much_work(why: TooMuchWork) -> Error {
    Error::Argument(format!("schema: checking an answer would not end in time: {why}"))
}

/// Where schemas are read and checked: in threads of the pool, by turns between roles, so that neither one role nor all of them take
/// all threads.
#[derive(Clone)]
pub struct Workplace {
    turns: Arc<Turns>,
    client: Client,
}

impl Workplace {
    /// That of a role, with these turns.
    pub fn new(turns: &Arc<Turns>, caller: Caller) -> Self {
        Self { turns: turns.clone(), client: Client { caller, connection: 0 } }
    }

    /// Does the work, which asks the token between its steps whether it goes on: work that has begun goes on, and keeps its turn, when
    /// the future is dropped.
    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&CancellationToken) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let turn = self.turns.take(self.client).await;
        let abandoned = CancellationToken::new();
        let _guard = abandoned.clone().drop_guard();
        let work = move || {
            let _turn = turn;
            work(&abandoned)
        };
        tokio::task::spawn_blocking(work).await.map_err(|error| Error::Internal(error.to_string()))?
    }
}

/// An error, which nobody reads, where the work is for nobody any more.
fn go_on(abandoned: &CancellationToken) -> Result<(), Error> {
    if abandoned.is_cancelled() { Err(Error::Internal("cancelled".into())) } else { Ok(()) }
}

/// What is wrong with an answer.
#[derive(Debug)]
pub struct SchemaErrors(Vec<SchemaError>);

#[derive(Debug)]
struct SchemaError {
    /// JSON Pointer.
    location: String,
    keyword: String,
    /// The validator's message. Only the model gets it: it may repeat the answer.
    text: String,
}

/// Maximum number of errors that the model gets; more do not help it.
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

    /// Locations and keywords of the errors; nothing that the model wrote.
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

/// The JSON in an answer: all of it, the text inside its code fence, or what is between its first and last bracket.
fn json_of(answer: &str) -> Option<(&str, Value)> {
    let answer = answer.trim().trim_start_matches('\u{feff}');
    let found = [Some(answer), fenced(answer), bracketed(answer, '{', '}'), bracketed(answer, '[', ']')];
    found.into_iter().flatten().find_map(|text| Some((text, serde_json::from_str(text).ok()?)))
}

fn fenced(answer: &str) -> Option<&str> {
    ["```", "~~~"].into_iter().find_map(|fence| {
        let (_, opened) = answer.split_once(fence)?;
        // The rest of the fence's first line names a language.
        let (_, inner) = opened.split_once('\n')?;
        Some(inner.split_once(fence).map_or(inner, |(inner, _)| inner).trim())
    })
}

fn bracketed(answer: &str, open: char, close: char) -> Option<&str> {
    let (start, end) = (answer.find(open)?, answer.rfind(close)?);
    answer.get(start..=end)
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;

    fn run<T>(future: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
    }

    fn check(schema: &str, content: &str) -> Result<String, String> {
        run(async {
            let schema = read(schema.into()).await.unwrap();
            let reply = CompletionReply { content: content.into(), ..CompletionReply::default() };
            let checked = schema.check(reply).await.unwrap();
            checked.map(|reply| reply.content).map_err(|(_, errors)| errors.locations())
        })
    }

    const AGE: &str = r#"{"type":"object","properties":{"age":{"type":"integer"}},"required":["age"]}"#;

    fn workplace(turns: &Arc<Turns>, role: u32) -> Workplace {
        Workplace::new(turns, Caller { database: 1, role })
    }

    fn read(json: String) -> impl Future<Output = Result<Schema, Error>> {
        Schema::read(workplace(&Turns::new(2), 1), json)
    }

    #[test]
    fn schemas_of_one_role_leave_a_turn_to_others() {
        run(async {
            let turns = Turns::new(2);
            let (end, wait) = channel::<()>();
            let endless = workplace(&turns, 1);
            let endless = tokio::spawn(async move { endless.run(move |_| Ok(wait.recv().is_err())).await });
            let (sender, begun) = tokio::sync::oneshot::channel();
            let later = workplace(&turns, 1);
            let later = tokio::spawn(async move { later.run(move |_| Ok(sender.send(()).is_ok())).await });
            assert!(workplace(&turns, 2).run(|_| Ok(true)).await.unwrap());
            let mut begun = Box::pin(begun);
            assert!(futures_util::poll!(&mut begun).is_pending(), "a second one of the role has a turn");
            drop(end);
            assert!(endless.await.unwrap().unwrap() && later.await.unwrap().unwrap());
        });
    }

    #[test]
    fn work_that_nobody_waits_for_any_more_ends() {
        run(async {
            let place = workplace(&Turns::new(1), 1);
            let (begun, has_begun) = tokio::sync::oneshot::channel();
            let (ended, has_ended) = tokio::sync::oneshot::channel();
            let working = tokio::spawn(async move {
                let work = move |abandoned: &CancellationToken| {
                    let _ = begun.send(());
                    while go_on(abandoned).is_ok() {
                        std::thread::yield_now();
                    }
                    let _ = ended.send(());
                    Ok(())
                };
                place.run(work).await
            });
            has_begun.await.unwrap();
            working.abort();
            has_ended.await.unwrap();
        });
    }

    #[test]
    fn json_is_taken_out_of_what_surrounds_it() {
        for answer in [
            "Here it is:\n\n```json\n{\"age\": 3}\n```\n\nAnything else?",
            "~~~json\n{\"age\": 3}\n~~~",
            "`{\"age\": 3}`",
            "Sure! {\"age\": 3} Fine.",
            "\u{feff}{\"age\": 3}",
        ] {
            assert_eq!(check(AGE, answer).unwrap(), "{\"age\": 3}", "{answer}");
        }
        assert_eq!(check(r#"{"type":"array"}"#, "So: [1, 2].").unwrap(), "[1, 2]");
        assert_eq!(check(AGE, "{not} JSON").unwrap_err(), "at \"\": no JSON");
        assert_eq!(check(AGE, "```json\n{\"age\": 3}\n```").unwrap(), "{\"age\": 3}");
        assert_eq!(check(AGE, " {\"age\": 3}\n").unwrap(), "{\"age\": 3}");
    }

    #[test]
    fn errors_name_places_and_not_what_is_there() {
        assert_eq!(check(AGE, r#"{"age":"secret"}"#).unwrap_err(), "at \"/age\": type");
        assert_eq!(check(AGE, "{}").unwrap_err(), "at \"\": required");
        assert_eq!(check(AGE, "my secret").unwrap_err(), "at \"\": no JSON");
    }

    /// A schema with forty definitions, each of which refers to the next one twice.
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
            let refusal = run(read(ways(keyword))).err().unwrap().to_string();
            assert!(refusal.contains("in too many ways"), "{refusal}");
        }
        let endless = r##"{"$ref":"#/$defs/a","$defs":{"a":{"anyOf":[{"$ref":"#/$defs/a"}]}}}"##;
        let refusal = run(read(endless.into())).err().unwrap().to_string();
        assert!(refusal.contains("refers to itself"), "{refusal}");
        let doubling = r##"{"$ref":"#/$defs/a","$defs":{"a":{"properties":{"x":{"anyOf":[{"$ref":"#/$defs/a"},{"$ref":"#/$defs/a"}]}}}}}"##;
        let (deep, end) = ("{\"x\":".repeat(60), "}".repeat(60));
        run(async {
            let schema = read(doubling.into()).await.unwrap();
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
            assert!(matches!(run(read(schema.into())), Err(Error::Argument(_))), "{schema}");
        }
    }
}
