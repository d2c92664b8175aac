//! `rag.generate` and the other functions that call a provider's language model and wait for the answer.

use crate::embedding::tokens;
use crate::provider;
use crate::provider::{GenerateOptions, send_all};
use pgrx::iter::{SetOfIterator, TableIterator};
use pgrx::{PgLogLevel, default, extension_sql_file, name, pg_extern};
use ragstone_core::provider::Prompt;
use ragstone_pg::bytes::Jsonb;
use ragstone_pg::error::{Error, Result, or_raise};
use ragstone_pg::sqlstate::given;
use ragstone_pg::text::{Utf8, replace_unencodable_in_json};
use ragstone_pg::version;

#[pg_extern(volatile, parallel_restricted, cost = 1000000)]
#[allow(clippy::too_many_arguments, reason = "arguments of the SQL function")]
fn generate(
    prompt: Option<Utf8>,
    model: default!(Option<Utf8>, "NULL"),
    system: default!(Option<Utf8>, "NULL"),
    temperature: default!(Option<f64>, "NULL"),
    max_tokens: default!(Option<i32>, "NULL"),
    stop: default!(Option<Vec<Option<Utf8>>>, "NULL"),
    seed: default!(Option<i64>, "NULL"),
    timeout_ms: default!(Option<i32>, "NULL"),
    options: default!(Option<Jsonb>, "NULL"),
    on_error: default!(Option<Utf8>, "'raise'"),
) -> Option<Utf8> {
    version::check();
    let options = GenerateOptions {
        function: "generate",
        model,
        system,
        temperature,
        max_tokens,
        stop,
        seed,
        timeout_ms,
        options,
    };
    let on_error = or_raise(OnError::of(on_error));
    let prompt = prompt?;
    let answer = options.prompt_of_text(&prompt.0).and_then(|prompt| options.complete(prompt));
    or_raise(on_error.apply(answer)).map(|completion| Utf8(completion.content))
}

#[pg_extern(volatile, parallel_restricted, cost = 1000000, name = "generate")]
#[allow(clippy::too_many_arguments, reason = "arguments of the SQL function")]
fn generate_messages(
    messages: Option<Jsonb>,
    model: default!(Option<Utf8>, "NULL"),
    system: default!(Option<Utf8>, "NULL"),
    temperature: default!(Option<f64>, "NULL"),
    max_tokens: default!(Option<i32>, "NULL"),
    stop: default!(Option<Vec<Option<Utf8>>>, "NULL"),
    seed: default!(Option<i64>, "NULL"),
    timeout_ms: default!(Option<i32>, "NULL"),
    options: default!(Option<Jsonb>, "NULL"),
    on_error: default!(Option<Utf8>, "'raise'"),
) -> Option<Utf8> {
    version::check();
    let options = GenerateOptions {
        function: "generate",
        model,
        system,
        temperature,
        max_tokens,
        stop,
        seed,
        timeout_ms,
        options,
    };
    let on_error = or_raise(OnError::of(on_error));
    let messages = messages?;
    let answer =
        options.prompt_of_all(None, Some(messages), None, None).and_then(|prompt| options.complete(prompt));
    or_raise(on_error.apply(answer)).map(|completion| Utf8(completion.content))
}

#[pg_extern(volatile, parallel_restricted, cost = 10000000, name = "generate")]
#[allow(clippy::too_many_arguments, reason = "arguments of the SQL function")]
fn generate_many(
    prompts: Option<Vec<Option<Utf8>>>,
    model: default!(Option<Utf8>, "NULL"),
    system: default!(Option<Utf8>, "NULL"),
    temperature: default!(Option<f64>, "NULL"),
    max_tokens: default!(Option<i32>, "NULL"),
    stop: default!(Option<Vec<Option<Utf8>>>, "NULL"),
    seed: default!(Option<i64>, "NULL"),
    timeout_ms: default!(Option<i32>, "NULL"),
    options: default!(Option<Jsonb>, "NULL"),
    on_error: default!(Option<Utf8>, "'raise'"),
) -> Option<Vec<Option<Utf8>>> {
    version::check();
    let options = GenerateOptions {
        function: "generate",
        model,
        system,
        temperature,
        max_tokens,
        stop,
        seed,
        timeout_ms,
        options,
    };
    let on_error = or_raise(OnError::of(on_error));
    let prompts = prompts?;
    let nothing = vec![None; prompts.len()];
    Some(or_raise(on_error.apply(many(&options, prompts, on_error))).unwrap_or(nothing))
}

#[pg_extern(volatile, parallel_restricted, cost = 1000000)]
#[allow(clippy::too_many_arguments, reason = "arguments of the SQL function")]
fn generate_json(
    prompt: Option<Utf8>,
    schema: Option<Jsonb>,
    model: default!(Option<Utf8>, "NULL"),
    system: default!(Option<Utf8>, "NULL"),
    temperature: default!(Option<f64>, "NULL"),
    max_tokens: default!(Option<i32>, "NULL"),
    stop: default!(Option<Vec<Option<Utf8>>>, "NULL"),
    seed: default!(Option<i64>, "NULL"),
    timeout_ms: default!(Option<i32>, "NULL"),
    options: default!(Option<Jsonb>, "NULL"),
    on_error: default!(Option<Utf8>, "'raise'"),
) -> Option<Jsonb> {
    version::check();
    let function = "generate_json";
    let options =
        GenerateOptions { function, model, system, temperature, max_tokens, stop, seed, timeout_ms, options };
    let on_error = or_raise(OnError::of(on_error));
    let prompt = prompt?.0;
    let answer = given(schema, "schema").and_then(|schema| structured(&options, &prompt, &schema));
    or_raise(on_error.apply(answer))
}

#[pg_extern(volatile, parallel_restricted, cost = 1000000)]
#[allow(
    clippy::too_many_arguments,
    clippy::type_complexity,
    reason = "arguments and columns of the SQL function"
)]
fn complete(
    prompt: default!(Option<Utf8>, "NULL"),
    model: default!(Option<Utf8>, "NULL"),
    system: default!(Option<Utf8>, "NULL"),
    messages: default!(Option<Jsonb>, "NULL"),
    tools: default!(Option<Jsonb>, "NULL"),
    schema: default!(Option<Jsonb>, "NULL"),
    temperature: default!(Option<f64>, "NULL"),
    max_tokens: default!(Option<i32>, "NULL"),
    stop: default!(Option<Vec<Option<Utf8>>>, "NULL"),
    seed: default!(Option<i64>, "NULL"),
    timeout_ms: default!(Option<i32>, "NULL"),
    options: default!(Option<Jsonb>, "NULL"),
) -> TableIterator<
    'static,
    (
        name!(content, Utf8),
        name!(tool_calls, Option<Jsonb>),
        name!(finish_reason, Utf8),
        name!(input_tokens, i64),
        name!(output_tokens, i64),
        name!(cost, f64),
        name!(latency_ms, f64),
    ),
> {
    version::check();
    let options = GenerateOptions {
        function: "complete",
        model,
        system,
        temperature,
        max_tokens,
        stop,
        seed,
        timeout_ms,
        options,
    };
    let completion =
        or_raise(options.prompt_of_all(prompt, messages, tools, schema).and_then(|it| options.complete(it)));
    let tool_calls = completion.tool_calls.as_deref().map(|calls| or_raise(Jsonb::from_json(calls)));
    TableIterator::once((
        Utf8(completion.content),
        tool_calls,
        Utf8(completion.finish_reason),
        completion.usage.input_tokens as i64,
        completion.usage.output_tokens as i64,
        completion.usage.cost,
        completion.usage.latency_ms,
    ))
}

#[pg_extern(volatile, parallel_restricted, cost = 1000000)]
#[allow(clippy::too_many_arguments, reason = "arguments of the SQL function")]
fn stream(
    prompt: default!(Option<Utf8>, "NULL"),
    model: default!(Option<Utf8>, "NULL"),
    system: default!(Option<Utf8>, "NULL"),
    messages: default!(Option<Jsonb>, "NULL"),
    temperature: default!(Option<f64>, "NULL"),
    max_tokens: default!(Option<i32>, "NULL"),
    stop: default!(Option<Vec<Option<Utf8>>>, "NULL"),
    seed: default!(Option<i64>, "NULL"),
    timeout_ms: default!(Option<i32>, "NULL"),
    options: default!(Option<Jsonb>, "NULL"),
) -> SetOfIterator<'static, Utf8> {
    version::check();
    let options = GenerateOptions {
        function: "stream",
        model,
        system,
        temperature,
        max_tokens,
        stop,
        seed,
        timeout_ms,
        options,
    };
    let prompt = or_raise(options.prompt_of_all(prompt, messages, None, None));
    let deltas = or_raise(options.remote().and_then(|remote| remote.stream(prompt, options.call_options())));
    SetOfIterator::new(deltas.map(|delta| Utf8(or_raise(delta))))
}

#[pg_extern(stable, parallel_restricted, cost = 10000)]
fn count_tokens(input: Option<Utf8>, model: default!(Option<Utf8>, "NULL")) -> Option<i32> {
    version::check();
    let counts = or_raise(tokens::count_tokens(vec![input?.0], model.map(|model| model.0)));
    counts.first().map(|count| *count as i32)
}

fn structured(options: &GenerateOptions, prompt: &str, schema: &Jsonb) -> Result<Jsonb> {
    let mut prompt = options.prompt_of_text(prompt)?;
    prompt.schema = Some(provider::schema(schema, "schema")?);
    Jsonb::from_json(&replace_unencodable_in_json(&options.complete(prompt)?.content))
}

/// The answers in the order of the prompts. A NULL prompt has a NULL answer, as has one whose call fails where errors are not
/// raised.
fn many(
    options: &GenerateOptions,
    prompts: Vec<Option<Utf8>>,
    on_error: OnError,
) -> Result<Vec<Option<Utf8>>> {
    let total = prompts.len();
    let which = |place: usize| format!("prompt {} of {total}", place + 1);
    let (mut places, mut texts): (Vec<usize>, Vec<Prompt>) = (Vec::new(), Vec::new());
    for (place, text) in prompts.iter().enumerate() {
        let Some(text) = text else { continue };
        let prompt = options.prompt_of_text(&text.0).map_err(|error| error.with_fact(which(place)));
        if let Some(prompt) = on_error.apply(prompt)? {
            places.push(place);
            texts.push(prompt);
        }
    }
    let mut answers = vec![None; total];
    let mut places = places.into_iter();
    send_all(&options.remote()?, texts.into_iter(), options.call_options(), |answer| {
        let Some(place) = places.next() else { return Ok(()) };
        let answer = on_error.apply(answer.map_err(|error| error.with_fact(which(place))))?;
        answers[place] = answer.map(|completion| Utf8(completion.content));
        Ok(())
    })?;
    Ok(answers)
}

/// What a failed call of a model becomes.
#[derive(Clone, Copy)]
pub enum OnError {
    /// The statement's error.
    Raise,
    /// NULL, with the error as a NOTICE.
    Null,
}

impl OnError {
    /// The value of the argument.
    ///
    /// # Errors
    /// 22023 for an unknown one.
    pub fn of(name: Option<Utf8>) -> Result<Self> {
        match name.as_ref().map(|name| name.0.as_str()) {
            None | Some("raise") => Ok(Self::Raise),
            Some("null") => Ok(Self::Null),
            Some(_) => {
                Err(Error::bad_argument("unknown value of on_error").hint("on_error is 'raise' or 'null'."))
            }
        }
    }

    /// The result of a call, or `None` for an error that is not raised. Cancelling ends the statement in any case.
    fn apply<T>(self, result: Result<T>) -> Result<Option<T>> {
        match (self, result) {
            (Self::Null, Err(error)) if !error.ends_statement() => {
                error.notice(PgLogLevel::NOTICE);
                Ok(None)
            }
            (_, result) => result.map(Some),
        }
    }
}

extension_sql_file!(
    "../../sql/generate.sql",
    name = "generate_comments",
    requires = [generate, generate_messages, generate_many, generate_json, complete, stream, count_tokens]
);
