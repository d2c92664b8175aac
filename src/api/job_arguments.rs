//! Arguments of jobs, checked where a job is submitted as its function checks them: a value that is never right is refused at once. What
//! depends on what there is when the job runs is left to it.

use crate::api::ask::AskArguments;
use crate::api::chat::ChatArguments;
use crate::api::generate::OnError;
use crate::api::search::SearchArguments;
use crate::embedding::{check_input, model_or_default, parse_kind};
use crate::provider::GenerateOptions;
use ragstone_pg::bytes::Jsonb;
use ragstone_pg::error::Result;
use ragstone_pg::text::{Utf8, text_or};
use serde_json::{Map, Value};

/// Raises what the function of a kind of job would for these arguments, whatever there is in the database. Those that are missing or have
/// another shape are found by [`submit`](crate::jobs::submit).
pub fn check_job_arguments(kind: &str, args: &Jsonb) -> Result<()> {
    let Value::Object(given) = args.to_value()? else { return Ok(()) };
    let given = Given(&given);
    match kind {
        "embed" => given.check_embed(),
        "search" => given.search().request().map(|_| ()),
        "ask" => given.ask().question().map(|_| ()),
        "generate" => OnError::of(given.text("on_error"))
            .and_then(|_| given.generate().check(given.text("prompt").as_ref())),
        "chat" => given.chat().turn("chat").map(|_| ()),
        _ => Ok(()),
    }
}

/// The members of an object, as far as they have the type that is asked for.
struct Given<'a>(&'a Map<String, Value>);

impl Given<'_> {
    fn text(&self, name: &str) -> Option<Utf8> {
        self.0.get(name)?.as_str().map(|text| Utf8(text.to_owned()))
    }

    fn integer(&self, name: &str) -> Option<i32> {
        let value = self.0.get(name)?;
        let integer = value.as_i64().or_else(|| value.as_str()?.trim().parse().ok())?;
        i32::try_from(integer).ok()
    }

    fn number(&self, name: &str) -> Option<f64> {
        let value = self.0.get(name)?;
        // JSON has no NaN or infinity: they are strings.
        value.as_f64().or_else(|| value.as_str()?.trim().parse().ok())
    }

    fn json(&self, name: &str) -> Option<Jsonb> {
        Jsonb::from_json(&self.0.get(name)?.to_string()).ok()
    }

    fn check_embed(&self) -> Result<()> {
        parse_kind(&text_or(self.text("kind"), "document"))?;
        if let Some(model) = self.text("model") {
            model_or_default(Some(model.0))?;
        }
        self.text("input").map_or(Ok(()), |input| check_input(&input.0))
    }

    fn search(&self) -> SearchArguments {
        SearchArguments {
            collection: self.text("collection"),
            query: self.text("query"),
            k: self.integer("k"),
            mode: self.text("mode"),
            filter: self.json("filter"),
            fusion: self.text("fusion"),
            vector_weight: self.number("vector_weight"),
            syntax: self.text("syntax"),
            page_offset: self.integer("page_offset"),
            depth: self.integer("depth"),
            min_similarity: self.number("min_similarity"),
            ..SearchArguments::default()
        }
    }

    fn ask(&self) -> AskArguments {
        AskArguments {
            collection: self.text("collection"),
            question: self.text("question"),
            model: None,
            k: self.integer("k"),
            mode: self.text("mode"),
            filter: self.json("filter"),
            min_similarity: self.number("min_similarity"),
            instructions: None,
            temperature: self.number("temperature"),
            max_tokens: self.integer("max_tokens"),
            timeout_ms: self.integer("timeout_ms"),
        }
    }

    fn generate(&self) -> GenerateOptions {
        GenerateOptions {
            function: "generate",
            model: None,
            system: None,
            temperature: self.number("temperature"),
            max_tokens: self.integer("max_tokens"),
            stop: None,
            seed: None,
            timeout_ms: self.integer("timeout_ms"),
            options: self.json("options"),
        }
    }

    fn chat(&self) -> ChatArguments {
        ChatArguments {
            session: self.0.get("session").and_then(Value::as_i64),
            message: self.text("message"),
            collection: None,
            persona: None,
            model: None,
            k: self.integer("k").unwrap_or(5),
            max_tokens: self.integer("max_tokens"),
            timeout_ms: self.integer("timeout_ms"),
        }
    }
}
