//! The functions that write the log of agents: `rag.start_run`, `rag.log_step`, `rag.log_steps`, `rag.finish_run`.

use crate::agent_log;
use crate::agent_log::{FinishArgs, NewRun, NewStep};
use crate::agents;
use pgrx::datum::TimestampWithTimeZone;
use pgrx::{default, extension_sql_file, pg_extern, pg_sys};
use ragstone_pg::bytes::JsonbRef;
use ragstone_pg::clock;
use ragstone_pg::error::{Error, Result, or_raise};
use ragstone_pg::function::{FunctionCall, sql_function};
use ragstone_pg::sqlstate::given;
use ragstone_pg::text::{Utf8, required};
use ragstone_pg::transactions;
use ragstone_pg::version;

#[pg_extern(volatile, parallel_unsafe)]
#[allow(clippy::too_many_arguments, reason = "arguments of the SQL function")]
fn start_run<'a>(
    agent: Option<Utf8>,
    input: default!(Option<JsonbRef<'a>>, "NULL"),
    session: default!(Option<i64>, "NULL"),
    traceparent: default!(Option<Utf8>, "NULL"),
    attributes: default!(Option<JsonbRef<'a>>, "NULL"),
    started: default!(Option<TimestampWithTimeZone>, "NULL"),
    current: default!(Option<bool>, "true"),
) -> i64 {
    version::check();
    let agent = or_raise(required(agent, "agent"));
    or_raise(agent_log::start_jsonb(&NewRun {
        agent: &agent,
        session,
        job: None,
        input,
        traceparent: text(&traceparent),
        attributes,
        started_us: or_raise(moment(started, "started")),
        is_detached: current == Some(false),
    }))
}

#[pg_extern(volatile, parallel_unsafe)]
#[allow(clippy::too_many_arguments, reason = "arguments of the SQL function")]
fn log_step<'a>(
    run: Option<i64>,
    kind: Option<Utf8>,
    name: default!(Option<Utf8>, "NULL"),
    input: default!(Option<JsonbRef<'a>>, "NULL"),
    output: default!(Option<JsonbRef<'a>>, "NULL"),
    parent: default!(Option<i64>, "NULL"),
    model: default!(Option<Utf8>, "NULL"),
    input_tokens: default!(Option<i64>, "NULL"),
    output_tokens: default!(Option<i64>, "NULL"),
    cost: default!(Option<f64>, "NULL"),
    started: default!(Option<TimestampWithTimeZone>, "NULL"),
    duration_ms: default!(Option<f64>, "NULL"),
    status: default!(Option<Utf8>, "NULL"),
    error: default!(Option<Utf8>, "NULL"),
    attributes: default!(Option<JsonbRef<'a>>, "NULL"),
) -> i64 {
    version::check();
    let run = or_raise(given(run, "run"));
    let kind = or_raise(required(kind, "kind"));
    let step = NewStep {
        id: None,
        kind: &kind,
        name: text(&name),
        input,
        output,
        parent,
        model: text(&model),
        input_tokens,
        output_tokens,
        cost,
        started_us: or_raise(moment(started, "started")),
        duration_ms,
        status: text(&status),
        error: text(&error),
        sqlstate: None,
        attributes,
    };
    or_raise(agent_log::log_jsonb(run, &step))
}

#[pg_extern(volatile, parallel_unsafe)]
fn log_steps(run: Option<i64>, steps: Option<JsonbRef<'_>>) -> Vec<i64> {
    version::check();
    let run = or_raise(given(run, "run"));
    let steps = or_raise(given(steps, "steps"));
    or_raise(agent_log::log_all(run, steps))
}

#[pg_extern(volatile, parallel_unsafe)]
fn finish_run(
    run: Option<i64>,
    output: default!(Option<JsonbRef<'_>>, "NULL"),
    status: default!(Option<Utf8>, "NULL"),
    error: default!(Option<Utf8>, "NULL"),
    finished: default!(Option<TimestampWithTimeZone>, "NULL"),
) {
    version::check();
    let run = or_raise(given(run, "run"));
    let finished_us = or_raise(moment(finished, "finished"));
    let end = FinishArgs { status: text(&status), output, error: text(&error), sqlstate: None, finished_us };
    if !matches!(end.status, Some("waiting" | "running")) && transactions::may_write() {
        or_raise(agents::abandon(run));
    }
    or_raise(agent_log::finish_jsonb(run, &end));
}

sql_function!(pg_finfo_ragstone_redactions_changed, ragstone_redactions_changed, redactions_changed);

/// The trigger function `rag._redactions_changed`, which sql/redactions.sql creates.
fn redactions_changed(call: FunctionCall<'_>) -> pg_sys::Datum {
    let Some(trigger) = call.trigger() else {
        return or_raise(Err(Error::trigger_protocol_violated(
            "rag._redactions_changed was not called as a trigger",
        )));
    };
    or_raise(agent_log::redactions_changed(trigger));
    if trigger.is_for_row() { trigger.unchanged() } else { pg_sys::Datum::null() }
}

fn text(value: &Option<Utf8>) -> Option<&str> {
    value.as_ref().map(|value| value.0.as_str())
}

/// Microseconds since 1970.
fn moment(value: Option<TimestampWithTimeZone>, name: &str) -> Result<Option<i64>> {
    let Some(value) = value else { return Ok(None) };
    match clock::from_postgres(value.into()) {
        Some(moment) => Ok(Some(moment)),
        None => Err(Error::bad_argument(format!("{name} must be finite"))),
    }
}

extension_sql_file!("../../sql/redactions.sql", name = "redactions", requires = ["runs"]);

extension_sql_file!(
    "../../sql/runs.sql",
    name = "runs",
    requires = ["accounting", start_run, log_step, log_steps, finish_run]
);
