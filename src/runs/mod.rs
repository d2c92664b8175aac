//! Stands in for the log until it is there.

use crate::collection::config_owner;
use crate::pg::bytes::Jsonb;
use crate::pg::error::{Error, Outcome};
use crate::pg::spi::{Arg, connect, run as statement};
use crate::pg::switch_user::as_owner;
use serde_json::Value;

#[derive(Default)]
pub struct NewRun<'a> {
    pub agent: &'a str,
    pub session: Option<i64>,
    pub job: Option<i64>,
    pub input: Option<&'a Value>,
    pub traceparent: Option<&'a str>,
    pub attributes: Option<&'a Value>,
    pub started_us: Option<i64>,
}

#[derive(Default)]
pub struct NewStep<'a> {
    pub kind: &'a str,
    pub name: Option<&'a str>,
    pub input: Option<Value>,
    pub output: Option<Value>,
    pub parent: Option<i64>,
    pub model: Option<&'a str>,
    pub input_tokens: Option<i64>,
    pub output_tokens: Option<i64>,
    pub cost: Option<f64>,
    pub started_us: Option<i64>,
    pub duration_ms: Option<f64>,
    pub status: &'a str,
    pub error: Option<&'a str>,
    pub sqlstate: Option<&'a str>,
    pub attributes: Option<Value>,
}

#[derive(Default)]
pub struct Ending<'a> {
    pub status: &'a str,
    pub output: Option<Value>,
    pub error: Option<&'a str>,
    pub sqlstate: Option<&'a str>,
}

fn json(value: Option<&Value>) -> Outcome<Option<Jsonb>> {
    value.map(|value| Jsonb::from_json(&value.to_string())).transpose()
}

pub fn start(run: &NewRun) -> Outcome<i64> {
    connect(|| {
        let input = json(run.input)?;
        let args = [
            Arg::text(run.agent),
            Arg::optional(run.session),
            Arg::optional(run.job),
            Arg::optional_jsonb(input.as_ref()),
        ];
        let role = statement("SELECT current_user::text", &[])?.text(0, 0).unwrap_or_default();
        let args = [args[0], args[1], args[2], args[3], Arg::text(&role)];
        as_owner(config_owner()?, || {
            statement(
                "INSERT INTO rag._runs (id, owner, agent, session, job, status, input, started, written)
                 VALUES (nextval('rag._run_id'), $5::name, $1, $2, $3, 'running', $4, clock_timestamp(), 0) RETURNING id",
                &args,
            )?
            .int8(0, 0)
            .ok_or_else(|| Error::internal("no run"))
        })
    })
}

pub fn log(run: i64, step: NewStep) -> Outcome<i64> {
    connect(|| {
        let (input, output) = (json(step.input.as_ref())?, json(step.output.as_ref())?);
        let attributes = json(step.attributes.as_ref())?;
        let args = [
            Arg::new(run),
            Arg::text(step.kind),
            Arg::optional_text(step.name),
            Arg::optional_jsonb(input.as_ref()),
            Arg::optional_jsonb(output.as_ref()),
            Arg::optional(step.parent),
            Arg::optional_text(step.model),
            Arg::optional(step.input_tokens),
            Arg::optional(step.output_tokens),
            Arg::optional(step.cost),
            Arg::optional(step.duration_ms),
            Arg::text(step.status),
            Arg::optional_text(step.error),
            Arg::optional_text(step.sqlstate),
            Arg::optional_jsonb(attributes.as_ref()),
        ];
        as_owner(config_owner()?, || {
            statement(
                "INSERT INTO rag._steps (id, run_id, number, parent_id, owner, agent, kind, name, input, output, model,
                   input_tokens, output_tokens, cost, started, duration_ms, status, error, sqlstate, attributes, written)
                 SELECT nextval('rag._step_id'), $1, (SELECT coalesce(max(number), 0) + 1 FROM rag._steps WHERE run_id = $1),
                   $6, r.owner, r.agent, $2, $3, $4, $5, $7, $8, $9, $10, clock_timestamp(), $11, $12, $13, $14, $15, 0
                 FROM rag._runs r WHERE r.id = $1 RETURNING id",
                &args,
            )?
            .int8(0, 0)
            .ok_or_else(|| Error::internal("no step"))
        })
    })
}

pub fn finish(run: i64, end: Ending) -> Outcome<()> {
    connect(|| {
        let output = json(end.output.as_ref())?;
        let args = [
            Arg::new(run),
            Arg::text(end.status),
            Arg::optional_jsonb(output.as_ref()),
            Arg::optional_text(end.error),
            Arg::optional_text(end.sqlstate),
        ];
        as_owner(config_owner()?, || {
            statement(
                "UPDATE rag._runs SET status = $2, output = $3, error = $4, sqlstate = $5, finished = clock_timestamp()
                 WHERE id = $1",
                &args,
            )
        })?;
        Ok(())
    })
}
