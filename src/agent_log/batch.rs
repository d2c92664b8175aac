//! Logging several steps of a run at once.

use crate::agent_log::step::{NewStep, log_jsonb};
use crate::agent_log::{send, session};
use pgrx::pg_sys;
use ragstone_pg::bytes::{Jsonb, JsonbRef};
use ragstone_pg::clock;
use ragstone_pg::error::{Error, Result};
use ragstone_pg::spi::Arg;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::borrow::Cow;

/// An element of the argument of `rag.log_steps`: the arguments of `rag.log_step`. JSON stays text, which keeps its numbers
/// exact.
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
    #[serde(default)]
    parent: Option<i64>,
    #[serde(borrow, default)]
    model: Option<Cow<'a, str>>,
    #[serde(default)]
    input_tokens: Option<i64>,
    #[serde(default)]
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

/// Adds all steps to a run of the current role or none, and returns their numbers in the same order.
///
/// # Errors
/// As [`log_jsonb`]; 22023 where the steps are not an array of objects with the arguments of `rag.log_step`.
pub fn log_all(run: i64, steps: JsonbRef) -> Result<Vec<i64>> {
    session::find(run)?;
    let json = steps.to_json()?;
    let elements: Vec<&RawValue> = serde_json::from_str(&json)
        .map_err(|_| Error::bad_argument("steps must be a JSON array of objects").hint(HINT))?;
    let numbered = elements.iter().zip(1..);
    let all =
        || numbered.map(|(step, place)| log_element(run, step).map_err(|error| error.at(place))).collect();
    send::post_together(all)
}

const HINT: &str = "Each object has the arguments of rag.log_step: \\df+ rag.log_step";

fn log_element(run: i64, step: &RawValue) -> Result<i64> {
    let args: StepArgs = serde_json::from_str(step.get())
        .map_err(|error| Error::bad_argument(without_position(&error)).hint(HINT))?;
    let (input, output) = (jsonb(args.input)?, jsonb(args.output)?);
    let attributes = jsonb(args.attributes)?;
    log_jsonb(
        run,
        &NewStep {
            id: None,
            kind: &args.kind,
            name: args.name.as_deref(),
            input: input.as_ref().map(JsonbRef::from),
            output: output.as_ref().map(JsonbRef::from),
            parent: args.parent,
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
        .ok_or_else(|| Error::bad_argument(format!("started must be a moment, not {text}")))
}

/// The message of serde without the position, which refers to a text that the caller has not written.
fn without_position(error: &serde_json::Error) -> String {
    let text = error.to_string();
    text.rsplit_once(" at line ").map_or(text.clone(), |(message, _)| message.to_owned())
}
