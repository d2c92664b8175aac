//! `rag.generate` and the other functions that call a provider's language model and wait for the answer.

use crate::embedding::tokens;
use crate::provider;
use crate::provider::{GenerateOptions, send_all};
use pgrx::iter::{SetOfIterator, TableIterator};
use pgrx::{default, extension_sql_file, name, pg_extern};
use ragstone_core::provider::Completion;
use ragstone_pg::bytes::Jsonb;
use ragstone_pg::error::{Result, or_raise};
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
    let prompt = prompt?;
    Some(Utf8(
        or_raise(options.prompt_of_text(&prompt.0).and_then(|prompt| options.complete(prompt))).content,
    ))
}

#[pg_extern(volatile, parallel_restricted, cost = 1000000)]
#[allow(clippy::too_many_arguments, reason = "arguments of the SQL function")]
fn try_generate(
    prompt: Option<Utf8>,
    model: default!(Option<Utf8>, "NULL"),
    system: default!(Option<Utf8>, "NULL"),
    temperature: default!(Option<f64>, "NULL"),
    max_tokens: default!(Option<i32>, "NULL"),
    stop: default!(Option<Vec<Option<Utf8>>>, "NULL"),
    seed: default!(Option<i64>, "NULL"),
    timeout_ms: default!(Option<i32>, "NULL"),
    options: default!(Option<Jsonb>, "NULL"),
) -> Option<Utf8> {
    version::check();
    let function = "try_generate";
    let options =
        GenerateOptions { function, model, system, temperature, max_tokens, stop, seed, timeout_ms, options };
    let prompt = prompt?;
    let answer = options.prompt_of_text(&prompt.0).and_then(|prompt| options.complete(prompt));
    or_null(answer).map(|completion| Utf8(completion.content))
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
    let messages = messages?;
    let answer =
        options.prompt_of_all(None, Some(messages), None, None).and_then(|prompt| options.complete(prompt));
    Some(Utf8(or_raise(answer).content))
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
    Some(or_raise(many(&options, prompts?, |answer| answer.map(Some))))
}

#[pg_extern(volatile, parallel_restricted, cost = 10000000, name = "try_generate")]
#[allow(clippy::too_many_arguments, reason = "arguments of the SQL function")]
fn try_generate_many(
    prompts: Option<Vec<Option<Utf8>>>,
    model: default!(Option<Utf8>, "NULL"),
    system: default!(Option<Utf8>, "NULL"),
    temperature: default!(Option<f64>, "NULL"),
    max_tokens: default!(Option<i32>, "NULL"),
    stop: default!(Option<Vec<Option<Utf8>>>, "NULL"),
    seed: default!(Option<i64>, "NULL"),
    timeout_ms: default!(Option<i32>, "NULL"),
    options: default!(Option<Jsonb>, "NULL"),
) -> Option<Vec<Option<Utf8>>> {
    version::check();
    let function = "try_generate";
    let options =
        GenerateOptions { function, model, system, temperature, max_tokens, stop, seed, timeout_ms, options };
    let prompts = prompts?;
    let nothing = vec![None; prompts.len()];
    Some(or_null(many(&options, prompts, |answer| Ok(or_null(answer)))).unwrap_or(nothing))
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
) -> Option<Jsonb> {
    version::check();
    let function = "generate_json";
    let options =
        GenerateOptions { function, model, system, temperature, max_tokens, stop, seed, timeout_ms, options };
    Some(or_raise(structured(&options, &prompt?.0, &or_raise(given(schema, "schema")))))
}

#[pg_extern(volatile, parallel_restricted, cost = 1000000)]
#[allow(clippy::too_many_arguments, reason = "arguments of the SQL function")]
fn try_generate_json(
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
) -> Option<Jsonb> {
    version::check();
    let function = "try_generate_json";
    let options =
        GenerateOptions { function, model, system, temperature, max_tokens, stop, seed, timeout_ms, options };
    let prompt = prompt?.0;
    or_null(given(schema, "schema").and_then(|schema| structured(&options, &prompt, &schema)))
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
    prompt.schema = Some(provider::schema(schema)?);
    Jsonb::from_json(&replace_unencodable_in_json(&options.complete(prompt)?.content))
}

/// Answers in the order of the prompts. A null prompt has a null answer.
fn many(
    options: &GenerateOptions,
    prompts: Vec<Option<Utf8>>,
    check: impl Fn(Result<Completion>) -> Result<Option<Completion>>,
) -> Result<Vec<Option<Utf8>>> {
    let texts = prompts
        .iter()
        .flatten()
        .map(|prompt| options.prompt_of_text(&prompt.0))
        .collect::<Result<Vec<_>>>()?;
    let mut answers = Vec::with_capacity(texts.len());
    send_all(&options.remote()?, texts.into_iter(), options.call_options(), |answer| {
        answers.push(check(answer)?.map(|completion| Utf8(completion.content)));
        Ok(())
    })?;
    let mut answers = answers.into_iter();
    Ok(prompts.iter().map(|prompt| if prompt.is_some() { answers.next().flatten() } else { None }).collect())
}

/// The value of a `try_` function: none after an error, unless the error ends the statement.
pub fn or_null<T>(result: Result<T>) -> Option<T> {
    match result {
        Err(error) if error.ends_statement() => error.raise(),
        result => result.ok(),
    }
}

extension_sql_file!(
    "../../sql/generate.sql",
    name = "generate_comments",
    requires = [
        generate,
        try_generate,
        generate_messages,
        generate_many,
        try_generate_many,
        generate_json,
        try_generate_json,
        complete,
        stream,
        count_tokens
    ]
);
