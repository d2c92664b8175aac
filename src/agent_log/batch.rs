//! Several steps of a run at once.

use crate::agent_log::step::{Record, record};
use crate::agent_log::{send, session};
use pgrx::pg_sys;
use ragstone_pg::bytes::{Jsonb, JsonbRef};
use ragstone_pg::clock;
use ragstone_pg::error::{Error, Result};
use ragstone_pg::spi::Arg;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::borrow::Cow;

/// A step as `rag.log_steps` is given it: the arguments of `rag.log_step`. JSON stays text, so that its numbers stay as they
/// are.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object")]
struct Given<'a> {
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

/// Adds steps to a run of the current role's, and gives their numbers in the same order: all or none.
///
/// # Errors
/// As [`record`]; 22023 where the steps are no array of objects with the arguments of `rag.log_step`.
pub fn log_all(run: i64, steps: JsonbRef) -> Result<Vec<i64>> {
    session::find(run)?;
    let json = steps.to_json()?;
    let given: Vec<&RawValue> = serde_json::from_str(&json)
        .map_err(|_| Error::bad_argument("steps must be a JSON array of objects").hint(HINT))?;
    let numbered = given.iter().zip(1..);
    let all = || numbered.map(|(step, place)| one(run, step).map_err(|error| error.at(place))).collect();
    send::together(all)
}

const HINT: &str = "Each object has the arguments of rag.log_step: \\df+ rag.log_step";

fn one(run: i64, step: &RawValue) -> Result<i64> {
    let given: Given =
        serde_json::from_str(step.get()).map_err(|error| Error::bad_argument(plain(&error)).hint(HINT))?;
    let (input, output) = (jsonb(given.input)?, jsonb(given.output)?);
    let attributes = jsonb(given.attributes)?;
    record(
        run,
        &Record {
            id: None,
            kind: &given.kind,
            name: given.name.as_deref(),
            input: input.as_ref().map(JsonbRef::from),
            output: output.as_ref().map(JsonbRef::from),
            parent: given.parent,
            model: given.model.as_deref(),
            input_tokens: given.input_tokens,
            output_tokens: given.output_tokens,
            cost: given.cost,
            started_us: given.started.as_deref().map(moment).transpose()?,
            duration_ms: given.duration_ms,
            status: given.status.as_deref(),
            error: given.error.as_deref(),
            sqlstate: None,
            attributes: attributes.as_ref().map(JsonbRef::from),
        },
    )
}

fn jsonb(value: Option<&RawValue>) -> Result<Option<Jsonb>> {
    value.map(|value| Jsonb::from_json(value.get())).transpose()
}

/// A moment as Postgres reads it.
fn moment(text: &str) -> Result<i64> {
    Arg::from_text(pg_sys::TIMESTAMPTZOID, Some(text))?
        .int8()
        .and_then(clock::from_postgres)
        .ok_or_else(|| Error::bad_argument(format!("started must be a moment, not {text}")))
}

/// What serde says, without the place in a text that nobody has seen.
fn plain(error: &serde_json::Error) -> String {
    let text = error.to_string();
    text.rsplit_once(" at line ").map_or(text.clone(), |(said, _)| said.to_owned())
}
