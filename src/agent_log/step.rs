//! A step of a run.

use crate::agent_log::send::posted;
use crate::agent_log::session;
use crate::agent_log::session::Known;
use crate::agent_log::stored_value::{Kept, jsonb};
use crate::agent_log::tables::reserve;
use crate::agent_log::{redaction, tables, vocabulary};
use ragstone_core::log::{Entry, Step};
use ragstone_pg::bytes::JsonbRef;
use ragstone_pg::clock;
use ragstone_pg::error::{Error, Result};
use ragstone_pg::spi::{Arg, connect, run as statement};
use ragstone_pg::transactions;
use serde_json::Value;
use std::borrow::Cow;

/// A step that our own code logs.
#[derive(Debug, Default, Clone)]
pub struct NewStep<'a> {
    /// From [`reserve`](crate::agent_log::tables::reserve); the next number if nothing.
    pub id: Option<i64>,
    /// `message`, `model`, `tool`, `retrieval`, `error` or `custom`.
    pub kind: &'a str,
    /// Of the tool, the collection, the function.
    pub name: Option<&'a str>,
    /// What went in.
    pub input: Option<Value>,
    /// What came out.
    pub output: Option<Value>,
    /// The step that it is a part of.
    pub parent: Option<i64>,
    /// `server/model`.
    pub model: Option<&'a str>,
    /// Tokens of the prompt.
    pub input_tokens: Option<i64>,
    /// Tokens of the answer.
    pub output_tokens: Option<i64>,
    /// In the currency of the prices.
    pub cost: Option<f64>,
    /// When it began, microseconds since 1970; its duration ago if nothing.
    pub started_us: Option<i64>,
    /// Milliseconds.
    pub duration_ms: Option<f64>,
    /// `ok` if nothing.
    pub status: Option<&'a str>,
    /// What went wrong.
    pub error: Option<&'a str>,
    /// Its SQLSTATE, where it has one.
    pub sqlstate: Option<&'a str>,
    /// An object.
    pub attributes: Option<Value>,
}

/// A step as SQL logs it: JSON stays where it is.
#[derive(Debug, Default, Clone, Copy)]
#[allow(missing_docs, reason = "as in NewStep")]
pub struct Record<'a> {
    pub id: Option<i64>,
    pub kind: &'a str,
    pub name: Option<&'a str>,
    pub input: Option<JsonbRef<'a>>,
    pub output: Option<JsonbRef<'a>>,
    pub parent: Option<i64>,
    pub model: Option<&'a str>,
    pub input_tokens: Option<i64>,
    pub output_tokens: Option<i64>,
    pub cost: Option<f64>,
    pub started_us: Option<i64>,
    pub duration_ms: Option<f64>,
    pub status: Option<&'a str>,
    pub error: Option<&'a str>,
    pub sqlstate: Option<&'a str>,
    pub attributes: Option<JsonbRef<'a>>,
}

/// Adds a step to a run of the current role's, and gives its number.
///
/// # Errors
/// 42704 where there is no such run; 22023 where a word or a number makes no sense.
pub fn log(run: i64, step: NewStep) -> Result<i64> {
    let (input, output) = (jsonb(step.input.as_ref())?, jsonb(step.output.as_ref())?);
    let attributes = jsonb(step.attributes.as_ref())?;
    record(
        run,
        &Record {
            id: step.id,
            kind: step.kind,
            name: step.name,
            input: input.as_ref().map(JsonbRef::from),
            output: output.as_ref().map(JsonbRef::from),
            parent: step.parent,
            model: step.model,
            input_tokens: step.input_tokens,
            output_tokens: step.output_tokens,
            cost: step.cost,
            started_us: step.started_us,
            duration_ms: step.duration_ms,
            status: step.status,
            error: step.error,
            sqlstate: step.sqlstate,
            attributes: attributes.as_ref().map(JsonbRef::from),
        },
    )
}

/// As [`log`].
///
/// # Errors
/// As [`log`].
pub fn record(run: i64, step: &Record) -> Result<i64> {
    let row = Row::of(run, step)?;
    if !posted(|| row.entry())? {
        row.insert()?;
    }
    tables::ensure_worker();
    Ok(row.id)
}

/// A step that is found to be right.
struct Row<'a> {
    id: i64,
    run: Known,
    step: &'a Record<'a>,
    kind: &'static str,
    status: &'static str,
    name: Option<Cow<'a, str>>,
    error: Option<Cow<'a, str>>,
    input: Kept<'a>,
    output: Kept<'a>,
    attributes: Kept<'a>,
    started_us: i64,
    duration_ms: Option<f64>,
}

impl<'a> Row<'a> {
    fn of(run: i64, step: &'a Record<'a>) -> Result<Self> {
        let kind = vocabulary::kind(step.kind)?;
        let status = vocabulary::step_status(step.status.unwrap_or("ok"))?;
        amount("input_tokens", step.input_tokens.map(|tokens| tokens as f64))?;
        amount("output_tokens", step.output_tokens.map(|tokens| tokens as f64))?;
        amount("cost", step.cost)?;
        let duration_ms = duration(step.duration_ms)?;
        let began = || clock::now().saturating_sub((duration_ms.unwrap_or_default() * 1000.0) as i64);
        Ok(Self {
            run: session::next_step(run)?,
            id: step.id.map_or_else(reserve, Ok)?,
            step,
            kind,
            status,
            name: step.name.map(redaction::text).transpose()?,
            error: step.error.map(redaction::text).transpose()?,
            input: Kept::of(step.input)?,
            output: Kept::of(step.output)?,
            attributes: Kept::of(step.attributes)?,
            started_us: step.started_us.unwrap_or_else(began),
            duration_ms,
        })
    }

    fn insert(&self) -> Result<()> {
        let step = self.step;
        let args = [
            Arg::new(self.id),
            Arg::new(self.run.id),
            Arg::new(self.run.number),
            Arg::optional(step.parent),
            Arg::name(self.run.role.name()),
            Arg::text(&self.run.agent),
            Arg::text(self.kind),
            Arg::optional_text(self.name.as_deref()),
            self.input.arg(),
            self.output.arg(),
            Arg::optional_text(step.model),
            Arg::optional(step.input_tokens),
            Arg::optional(step.output_tokens),
            Arg::optional(step.cost),
            Arg::timestamptz(self.started_us),
            Arg::optional(self.duration_ms),
            Arg::text(self.status),
            Arg::optional_text(self.error.as_deref()),
            Arg::optional_text(step.sqlstate),
            self.attributes.arg(),
            Arg::new(transactions::top().cast_signed()),
        ];
        connect(|| {
            tables::as_owner(|| {
                statement(
                    "INSERT INTO rag._steps (id, run_id, number, parent_id, owner, agent, kind, name, input, output, model,
                                             input_tokens, output_tokens, cost, started, duration_ms, status, error, sqlstate,
                                             attributes, written)
                     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21)",
                    &args,
                )
                .map(|_| ())
            })
        })
    }

    fn entry(&self) -> Result<Entry> {
        let step = self.step;
        Ok(Entry::Step(Step {
            id: self.id,
            run_id: self.run.id,
            number: self.run.number,
            parent_id: step.parent,
            owner: self.run.role.to_text()?,
            agent: self.run.agent.to_string(),
            kind: self.kind.to_owned(),
            name: self.name.as_deref().map(str::to_owned),
            input: self.input.to_json()?,
            output: self.output.to_json()?,
            model: step.model.map(str::to_owned),
            input_tokens: step.input_tokens,
            output_tokens: step.output_tokens,
            cost: step.cost,
            started_us: self.started_us,
            duration_ms: self.duration_ms,
            status: self.status.to_owned(),
            error: self.error.as_deref().map(str::to_owned),
            sqlstate: step.sqlstate.map(str::to_owned),
            attributes: self.attributes.to_json()?,
            caller_xid: transactions::current_if_writable(),
        }))
    }
}

/// Refuses what is no amount of anything.
fn amount(name: &str, value: Option<f64>) -> Result<()> {
    match value {
        Some(value) if !(value >= 0.0 && value.is_finite()) => {
            Err(Error::bad_argument(format!("{name} must be a number from 0, not {value}")))
        }
        _ => Ok(()),
    }
}

/// A duration below zero is what a clock gives that was set back meanwhile. A step that was taken is on record all the same.
fn duration(milliseconds: Option<f64>) -> Result<Option<f64>> {
    let Some(value) = milliseconds else { return Ok(None) };
    if !value.is_finite() {
        return Err(Error::bad_argument(format!("duration_ms must be a finite number, not {value}")));
    }
    Ok(Some(value.max(0.0)))
}
