//! Logging several steps of a run at once.

use crate::agent_log::step::{NewStep, log_jsonb};
use crate::agent_log::tables::reserve;
use crate::agent_log::{send, session};
use pgrx::pg_sys;
use ragstone_pg::bytes::{Jsonb, JsonbRef};
use ragstone_pg::clock;
use ragstone_pg::error::{Error, Result};
use ragstone_pg::spi::Arg;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use serde_json::Number;
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::collections::HashMap;

/// An element of the argument of `rag.log_steps`: the arguments of `rag.log_step`. JSON values stay text, so
/// that numbers stay exact.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object")]
struct StepArgs<'a> {
    #[serde(borrow)]
    kind: Cow<'a, str>,
    #[serde(borrow, default)]
    name: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    input: Option<&'a RawValue>,
    #[serde(borrow, default)]
    output: Option<&'a RawValue>,
    #[serde(default, deserialize_with = "integer")]
    parent: Option<i64>,
    #[serde(borrow, default)]
    key: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    parent_key: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    model: Option<Cow<'a, str>>,
    #[serde(default, deserialize_with = "integer")]
    input_tokens: Option<i64>,
    #[serde(default, deserialize_with = "integer")]
    output_tokens: Option<i64>,
    #[serde(default)]
    cost: Option<f64>,
    #[serde(borrow, default)]
    started: Option<Cow<'a, str>>,
    #[serde(default)]
    duration_ms: Option<f64>,
    #[serde(borrow, default)]
    status: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    error: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    attributes: Option<&'a RawValue>,
}

/// Adds all steps to a run of the current role, or none of them, and returns their numbers in the same order. A step
/// may have a `key`, by which others name it as their `parent_key`, before or after it.
///
/// # Errors
/// As [`log_jsonb`]; 22023 if the steps are not an array of objects with the arguments of `rag.log_step`, and if a
/// key is unknown or has two steps.
pub fn log_all(run: i64, steps: JsonbRef) -> Result<Vec<i64>> {
    session::find(run)?;
    let json = steps.to_json()?;
    let elements: Vec<&RawValue> = serde_json::from_str(&json)
        .map_err(|_| Error::bad_argument("steps must be a JSON array of objects").hint(HINT))?;
    let mut keys = HashMap::new();
    let mut steps = Vec::with_capacity(elements.len());
    for (element, place) in elements.iter().zip(1..) {
        steps.push(read(element, &mut keys).map_err(|error| error.at(place))?);
    }
    let log_one = |((args, id), place)| log_element(run, &args, id, &keys).map_err(|error| error.at(place));
    send::post_together(|| steps.into_iter().zip(1..).map(log_one).collect())
}

/// Reads a step, and takes its number if it has a key.
fn read<'a>(step: &'a RawValue, keys: &mut HashMap<String, i64>) -> Result<(StepArgs<'a>, Option<i64>)> {
    let args: StepArgs = serde_json::from_str(step.get())
        .map_err(|error| Error::bad_argument(without_position(&error)).hint(HINT))?;
    let Some(key) = &args.key else { return Ok((args, None)) };
    let id = reserve()?;
    if keys.insert(key.clone().into_owned(), id).is_some() {
        return Err(Error::bad_argument(format!("two steps have the key \"{key}\"")));
    }
    Ok((args, Some(id)))
}

const HINT: &str = "Each object has the arguments of rag.log_step (\\df+ rag.log_step), key and parent_key.";

fn log_element(run: i64, args: &StepArgs, id: Option<i64>, keys: &HashMap<String, i64>) -> Result<i64> {
    let parent = match (&args.parent_key, args.parent) {
        (Some(key), None) => Some(*keys.get(&**key).ok_or_else(|| {
            Error::bad_argument(format!("no step has the key \"{key}\""))
                .hint("parent_key is the key of another step of the same call.")
        })?),
        (Some(_), Some(_)) => return Err(Error::bad_argument("a step has either parent or parent_key")),
        (None, parent) => parent,
    };
    if id.is_some() && parent == id {
        return Err(Error::bad_argument("a step is no part of itself"));
    }
    let (input, output) = (jsonb(args.input)?, jsonb(args.output)?);
    let attributes = jsonb(args.attributes)?;
    log_jsonb(
        run,
        &NewStep {
            id,
            kind: &args.kind,
            name: args.name.as_deref(),
            input: input.as_ref().map(JsonbRef::from),
            output: output.as_ref().map(JsonbRef::from),
            parent,
            model: args.model.as_deref(),
            input_tokens: args.input_tokens,
            output_tokens: args.output_tokens,
            cost: args.cost,
            started_us: args.started.as_deref().map(moment).transpose()?,
            duration_ms: args.duration_ms,
            status: args.status.as_deref(),
            error: args.error.as_deref(),
            sqlstate: None,
            attributes: attributes.as_ref().map(JsonbRef::from),
        },
    )
}

fn jsonb(value: Option<&RawValue>) -> Result<Option<Jsonb>> {
    value.map(|value| Jsonb::from_json(value.get())).transpose()
}

/// Microseconds since 1970 of a timestamp in any form that Postgres accepts.
fn moment(text: &str) -> Result<i64> {
    Arg::from_text(pg_sys::TIMESTAMPTZOID, Some(text))?
        .int8()
        .and_then(clock::from_postgres)
        .ok_or_else(|| Error::bad_argument(format!("started must be a timestamp, not {text}")))
}

/// An integer, also if it is written with a point, as programs that count in floating point do: `41.0`.
fn integer<'de, D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Option<i64>, D::Error> {
    let number: Option<Number> = Option::deserialize(deserializer)?;
    let Some(number) = number else { return Ok(None) };
    let text = number.to_string();
    let whole = text.split_once('.').filter(|(_, rest)| rest.bytes().all(|digit| digit == b'0'));
    match whole.map_or(text.as_str(), |(whole, _)| whole).parse() {
        Ok(integer) => Ok(Some(integer)),
        Err(_) => Err(D::Error::custom(format!("expected an integer, not {text}"))),
    }
}

/// The message of a serde error without the position, which refers to a text that the caller has not written.
fn without_position(error: &serde_json::Error) -> String {
    let text = error.to_string();
    text.rsplit_once(" at line ")
        .map_or(text.clone(), |(message, _)| message.to_owned())
        .replace("expected f64", "expected a number")
}
