//! Logs a step of a run.

use crate::agent_log::send::post_if_autonomous;
use crate::agent_log::session;
use crate::agent_log::session::SessionRun;
use crate::agent_log::stored_value::{StoredValue, jsonb};
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

/// A step to log. Ragstone's own code passes JSON as [`Value`]; SQL functions pass it as [`JsonbRef`], which
/// is stored without a copy.
#[derive(Debug, Default, Clone)]
pub struct NewStep<'a, J = Value> {
    /// A number from [`reserve`]; None stands for the next number.
    pub id: Option<i64>,
    /// `message`, `model`, `tool`, `retrieval`, `error` or `custom`.
    pub kind: &'a str,
    /// The name of the tool, the collection or the function.
    pub name: Option<&'a str>,
    /// The input of the step.
    pub input: Option<J>,
    /// The output of the step.
    pub output: Option<J>,
    /// The step that contains this one.
    pub parent: Option<i64>,
    /// `server/model`.
    pub model: Option<&'a str>,
    /// Tokens of the prompt.
    pub input_tokens: Option<i64>,
    /// Tokens of the answer.
    pub output_tokens: Option<i64>,
    /// Cost in the currency of the prices.
    pub cost: Option<f64>,
    /// When the step began, in microseconds since 1970; None stands for now minus the duration.
    pub started_us: Option<i64>,
    /// Duration in milliseconds.
    pub duration_ms: Option<f64>,
    /// If None, `error` if there is an error, otherwise `ok`.
    pub status: Option<&'a str>,
    /// The message of an error.
    pub error: Option<&'a str>,
    /// The SQLSTATE of the error, if it has one.
    pub sqlstate: Option<&'a str>,
    /// A JSON object.
    pub attributes: Option<J>,
}

impl<'a, J> NewStep<'a, J> {
    /// The same step with the JSON values replaced.
    fn with_json<K>(&self, input: Option<K>, output: Option<K>, attributes: Option<K>) -> NewStep<'a, K> {
        NewStep {
            id: self.id,
            kind: self.kind,
            name: self.name,
            input,
            output,
            parent: self.parent,
            model: self.model,
            input_tokens: self.input_tokens,
            output_tokens: self.output_tokens,
            cost: self.cost,
            started_us: self.started_us,
            duration_ms: self.duration_ms,
            status: self.status,
            error: self.error,
            sqlstate: self.sqlstate,
            attributes,
        }
    }
}

/// Adds a step to a run of the current role, and returns the step's number.
///
/// # Errors
/// 42704 if there is no such run; 22023 if an argument is out of its range.
pub fn log(run: i64, step: NewStep) -> Result<i64> {
    let (input, output) = (jsonb(step.input.as_ref())?, jsonb(step.output.as_ref())?);
    let attributes = jsonb(step.attributes.as_ref())?;
    let [input, output, attributes] =
        [&input, &output, &attributes].map(|value| value.as_ref().map(JsonbRef::from));
    log_jsonb(run, &step.with_json(input, output, attributes))
}

/// As [`log`], for values that are `jsonb` already.
///
/// # Errors
/// As [`log`].
pub fn log_jsonb(run: i64, step: &NewStep<JsonbRef>) -> Result<i64> {
    let row = CheckedStep::new(run, step)?;
    if !post_if_autonomous(|| row.entry())? {
        row.insert()?;
    }
    tables::ensure_coordinator();
    Ok(row.id)
}

/// A step whose arguments are valid, with its numbers, and with its values as they are stored.
struct CheckedStep<'a> {
    id: i64,
    run: SessionRun,
    step: &'a NewStep<'a, JsonbRef<'a>>,
    kind: &'static str,
    status: &'static str,
    name: Option<Cow<'a, str>>,
    model: Option<Cow<'a, str>>,
    error: Option<Cow<'a, str>>,
    input: StoredValue<'a>,
    output: StoredValue<'a>,
    attributes: StoredValue<'a>,
    started_us: i64,
    duration_ms: Option<f64>,
}

impl<'a> CheckedStep<'a> {
    fn new(run: i64, step: &'a NewStep<'a, JsonbRef<'a>>) -> Result<Self> {
        let kind = vocabulary::parse_kind(step.kind)?;
        let status = vocabulary::parse_step_status(step.status.unwrap_or(if step.error.is_some() {
            "error"
        } else {
            "ok"
        }))?;
        check_amount("input_tokens", step.input_tokens.map(|tokens| tokens as f64))?;
        check_amount("output_tokens", step.output_tokens.map(|tokens| tokens as f64))?;
        check_amount("cost", step.cost)?;
        let duration_ms = checked_duration(step.duration_ms)?;
        let now_minus_duration =
            || clock::now().saturating_sub((duration_ms.unwrap_or_default() * 1000.0) as i64);
        Ok(Self {
            run: session::next_step(run)?,
            id: step.id.map_or_else(reserve, Ok)?,
            step,
            kind,
            status,
            name: step.name.map(redaction::text).transpose()?,
            model: step.model.map(redaction::text).transpose()?,
            error: step.error.map(redaction::text).transpose()?,
            input: StoredValue::of(step.input)?,
            output: StoredValue::of(step.output)?,
            attributes: StoredValue::of(step.attributes)?,
            started_us: step.started_us.unwrap_or_else(now_minus_duration),
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
            Arg::optional_text(self.model.as_deref()),
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
            model: self.model.as_deref().map(str::to_owned),
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

/// Checks that an amount is from 0 to [`vocabulary::MAX_AMOUNT`].
fn check_amount(name: &str, value: Option<f64>) -> Result<()> {
    match value {
        Some(value) if !(0.0..=vocabulary::MAX_AMOUNT).contains(&value) => {
            let most = vocabulary::MAX_AMOUNT;
            Err(Error::bad_argument(format!("{name} must be a number from 0 to {most}, not {value}")))
        }
        _ => Ok(()),
    }
}

/// Checks that a duration is a number of at most [`vocabulary::MAX_AMOUNT`]. A negative duration becomes
/// zero: the clock was set back during the step, which is logged anyway.
fn checked_duration(milliseconds: Option<f64>) -> Result<Option<f64>> {
    let duration = milliseconds.map(|value| if value < 0.0 { 0.0 } else { value });
    check_amount("duration_ms", duration)?;
    Ok(duration)
}
