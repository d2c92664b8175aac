//! `rag.generate` and its kin: a provider's language model is asked, and the statement waits for the answer.

use crate::pg::bytes::Jsonb;
use crate::pg::error::{Error, Outcome, or_raise};
use crate::pg::text::Utf8;
use crate::pg::version;
use crate::provider::{self, CallOptions, Generator, Remote, send_all};
use pgrx::iter::{SetOfIterator, TableIterator};
use pgrx::{default, extension_sql_file, name, pg_extern};
use ragstone_core::provider::{Completion, Message, Prompt, Role};
use serde_json::Value;

/// What the functions of this file have in common.
struct Knobs {
    function: &'static str,
    model: Option<Utf8>,
    system: Option<Utf8>,
    temperature: Option<f64>,
    max_tokens: Option<i32>,
    stop: Option<Vec<Option<Utf8>>>,
    seed: Option<i64>,
    timeout_ms: Option<i32>,
    options: Option<Jsonb>,
}

impl Knobs {
    fn remote(&self) -> Outcome<Remote> {
        Generator::find(self.model.as_ref().map(|model| model.0.as_str()))?.remote()
    }

    fn call(&self) -> CallOptions {
        CallOptions { function: self.function, timeout_ms: self.timeout_ms }
    }

    /// What all prompts of a call share.
    fn prompt(&self) -> Outcome<Prompt> {
        if self.temperature.is_some_and(|it| !(0.0..=10.0).contains(&it)) {
            return Err(Error::bad_argument("temperature must be from 0 to 10"));
        }
        let max_tokens = self.max_tokens.map(|most| {
            let most = u32::try_from(most).ok().filter(|most| *most > 0);
            most.ok_or_else(|| Error::bad_argument("max_tokens must be more than 0"))
        });
        let system = self.system.iter().map(|system| Message::new(Role::System, system.0.clone()));
        Ok(Prompt {
            messages: system.collect(),
            temperature: self.temperature,
            max_tokens: max_tokens.transpose()?,
            stop: self.stop.iter().flatten().flatten().map(|stop| stop.0.clone()).collect(),
            seed: self.seed,
            options: self.options.as_ref().map(object).transpose()?,
            ..Prompt::default()
        })
    }

    fn ask(&self, text: &str) -> Outcome<Prompt> {
        let mut prompt = self.prompt()?;
        prompt.messages.push(user(text)?);
        Ok(prompt)
    }

    fn complete(&self, prompt: Prompt) -> Outcome<Completion> {
        let remote = self.remote()?;
        if self.function == "generate" {
            return remote.complete_aloud(prompt, self.call());
        }
        remote.complete(prompt, self.call())
    }
}

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
    let knobs = Knobs {
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
    Some(Utf8(or_raise(knobs.ask(&prompt.0).and_then(|prompt| knobs.complete(prompt))).content))
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
    let knobs = Knobs { function, model, system, temperature, max_tokens, stop, seed, timeout_ms, options };
    let prompt = prompt?;
    let answer = knobs.ask(&prompt.0).and_then(|prompt| knobs.complete(prompt));
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
    let knobs = Knobs {
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
    let said = or_raise(conversation(&messages?));
    let mut prompt = or_raise(knobs.prompt());
    prompt.messages.extend(said);
    Some(Utf8(or_raise(knobs.complete(prompt)).content))
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
    let knobs = Knobs {
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
    Some(or_raise(many(&knobs, prompts?, |answer| answer.map(Some))))
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
    let knobs = Knobs { function, model, system, temperature, max_tokens, stop, seed, timeout_ms, options };
    let prompts = prompts?;
    let nothing = vec![None; prompts.len()];
    Some(or_null(many(&knobs, prompts, |answer| Ok(or_null(answer)))).unwrap_or(nothing))
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
    let knobs = Knobs { function, model, system, temperature, max_tokens, stop, seed, timeout_ms, options };
    Some(or_raise(structured(&knobs, &prompt?.0, &schema?)))
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
    let knobs = Knobs { function, model, system, temperature, max_tokens, stop, seed, timeout_ms, options };
    or_null(structured(&knobs, &prompt?.0, &schema?))
}

#[pg_extern(volatile, parallel_restricted, cost = 1000000)]
#[allow(
    clippy::too_many_arguments,
    clippy::type_complexity,
    reason = "arguments and columns of the SQL function"
)]
fn call(
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
    let knobs =
        Knobs { function: "call", model, system, temperature, max_tokens, stop, seed, timeout_ms, options };
    let completion =
        or_raise(whole_prompt(&knobs, prompt, messages, tools, schema).and_then(|it| knobs.complete(it)));
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
    let knobs =
        Knobs { function: "stream", model, system, temperature, max_tokens, stop, seed, timeout_ms, options };
    let prompt = or_raise(whole_prompt(&knobs, prompt, messages, None, None));
    let pieces = or_raise(knobs.remote().and_then(|remote| remote.stream(prompt, knobs.call())));
    SetOfIterator::new(pieces.map(|piece| Utf8(or_raise(piece))))
}

#[pg_extern(stable, parallel_restricted, cost = 10000)]
fn count_tokens(input: Option<Utf8>, model: default!(Option<Utf8>, "NULL")) -> Option<i32> {
    version::check();
    let counts = or_raise(provider::count_tokens(vec![input?.0], model.map(|model| model.0)));
    counts.first().map(|count| *count as i32)
}

fn structured(knobs: &Knobs, prompt: &str, schema: &Jsonb) -> Outcome<Jsonb> {
    let mut prompt = knobs.ask(prompt)?;
    prompt.schema = Some(object_or_boolean(schema)?);
    Jsonb::from_json(&knobs.complete(prompt)?.content)
}

fn whole_prompt(
    knobs: &Knobs,
    prompt: Option<Utf8>,
    messages: Option<Jsonb>,
    tools: Option<Jsonb>,
    schema: Option<Jsonb>,
) -> Outcome<Prompt> {
    let mut whole = knobs.prompt()?;
    if let Some(messages) = &messages {
        whole.messages.extend(conversation(messages)?);
    }
    if let Some(prompt) = &prompt {
        whole.messages.push(user(&prompt.0)?);
    }
    if prompt.is_none() && messages.is_none() {
        return Err(Error::bad_argument("neither prompt nor messages are given"));
    }
    whole.tools = tools.as_ref().map(list).transpose()?;
    whole.schema = schema.as_ref().map(object_or_boolean).transpose()?;
    Ok(whole)
}

/// Answers in the order of the prompts; a null gives a null.
fn many(
    knobs: &Knobs,
    prompts: Vec<Option<Utf8>>,
    check: impl Fn(Outcome<Completion>) -> Outcome<Option<Completion>>,
) -> Outcome<Vec<Option<Utf8>>> {
    let asked = prompts.iter().flatten().map(|prompt| knobs.ask(&prompt.0)).collect::<Outcome<Vec<_>>>()?;
    let mut answers = Vec::with_capacity(asked.len());
    send_all(&knobs.remote()?, asked.into_iter(), knobs.call(), |answer| {
        answers.push(check(answer)?.map(|completion| Utf8(completion.content)));
        Ok(())
    })?;
    let mut answers = answers.into_iter();
    Ok(prompts.iter().map(|prompt| if prompt.is_some() { answers.next().flatten() } else { None }).collect())
}

/// What a function that never fails gives: nothing, unless the statement is to end.
pub fn or_null<T>(outcome: Outcome<T>) -> Option<T> {
    match outcome {
        Err(error) if error.ends_statement() => error.raise(),
        outcome => outcome.ok(),
    }
}

fn user(text: &str) -> Outcome<Message> {
    if text.trim().is_empty() {
        return Err(Error::bad_argument("prompt is empty"));
    }
    Ok(Message::new(Role::User, text))
}

/// Messages as OpenAI writes them: `[{"role": "user", "content": "…"}, …]`.
fn conversation(messages: &Jsonb) -> Outcome<Vec<Message>> {
    let wrong = |number: usize, what: &str| {
        Error::bad_argument(format!("message {number} {what}"))
            .hint("Messages look like [{\"role\": \"user\", \"content\": \"…\"}]; roles are system, user, assistant and tool.")
    };
    let Value::Array(messages) = messages.to_value()? else {
        return Err(wrong(1, "is missing: messages must be a JSON array"));
    };
    if messages.is_empty() {
        return Err(wrong(1, "is missing"));
    }
    let message = |(number, message): (usize, Value)| {
        let role = match message["role"].as_str() {
            Some("system") => Role::System,
            Some("user") => Role::User,
            Some("assistant") => Role::Assistant,
            Some("tool") => Role::Tool,
            _ => return Err(wrong(number, "has no valid role")),
        };
        let tool_calls = message.get("tool_calls").map(Value::to_string);
        let content = match &message["content"] {
            Value::String(content) => content.clone(),
            Value::Null if tool_calls.is_some() => String::new(),
            _ => return Err(wrong(number, "has no content that is a text")),
        };
        let tool_call_id = message["tool_call_id"].as_str().map(str::to_owned);
        Ok(Message { role, content, tool_calls, tool_call_id })
    };
    (1..).zip(messages).map(message).collect()
}

fn object(options: &Jsonb) -> Outcome<String> {
    checked(options, Value::is_object, "options must be a JSON object")
}

fn list(tools: &Jsonb) -> Outcome<String> {
    checked(tools, Value::is_array, "tools must be a JSON array")
}

fn object_or_boolean(schema: &Jsonb) -> Outcome<String> {
    checked(schema, |it| it.is_object() || it.is_boolean(), "schema must be a JSON object")
}

fn checked(json: &Jsonb, is_right: impl Fn(&Value) -> bool, otherwise: &str) -> Outcome<String> {
    let value = json.to_value()?;
    if is_right(&value) { Ok(value.to_string()) } else { Err(Error::bad_argument(otherwise)) }
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
        call,
        stream,
        count_tokens
    ]
);
