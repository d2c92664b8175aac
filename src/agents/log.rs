//! Logs the steps of an agent's run.

use crate::agent_log;
use crate::agent_log::{FinishArgs, NewRun, NewStep};
use crate::agents::request::RunRequest;
use crate::agents::result::RunResult;
use crate::tools::Observation;
use ragstone_core::agent::{ModelReply, ToolCall};
use ragstone_core::log::semconv;
use ragstone_pg::error::{Error, Result};
use serde_json::{Value, json};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// The time at which a step began.
#[derive(Debug, Clone, Copy)]
pub struct StartTime {
    /// Wall-clock time, for the log.
    started_us: i64,
    /// Monotonic time, for the duration: a change of the system's clock must not affect it.
    instant: Instant,
}

/// Start and duration of a step.
#[derive(Debug, Clone, Copy)]
pub struct Timing {
    /// Start, in microseconds since 1970.
    pub started_us: i64,
    /// Duration, in milliseconds.
    pub duration_ms: f64,
}

impl StartTime {
    /// The current time.
    pub fn now() -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { started_us: i64::try_from(now.as_micros()).unwrap_or(i64::MAX), instant: Instant::now() }
    }

    /// The timing of a step that ends now.
    pub fn timing(self) -> Timing {
        Timing { started_us: self.started_us, duration_ms: self.instant.elapsed().as_secs_f64() * 1e3 }
    }
}

/// Starts a run in the log and returns its number.
pub fn begin(request: &RunRequest, job: Option<i64>) -> Result<i64> {
    agent_log::start(&NewRun {
        agent: &request.agent,
        session: request.session,
        job,
        input: Some(Value::from(request.input.as_str())),
        ..NewRun::default()
    })
}

/// Logs the user's input.
pub fn input(run: i64, input: &str) -> Result<i64> {
    agent_log::log(
        run,
        NewStep {
            kind: "message",
            name: Some("user"),
            input: Some(json!({ "role": "user", "content": input })),
            ..NewStep::default()
        },
    )
}

/// Logs a reply of the model. `messages` is the number of messages in its prompt.
pub fn reply(run: i64, model: &str, messages: usize, reply: &ModelReply, timing: Timing) -> Result<i64> {
    let calls: Vec<Value> = (reply.calls.iter())
        .map(|call| json!({ "id": call.id, "name": call.name, "arguments": arguments(call) }))
        .collect();
    let mut output = json!({ "content": reply.content });
    if !calls.is_empty() {
        output["tool_calls"] = calls.into();
    }
    let count = |tokens| i64::try_from(tokens).ok();
    agent_log::log(
        run,
        NewStep {
            kind: "model",
            name: Some(model),
            input: Some(json!({ "messages": messages })),
            output: Some(output),
            model: Some(model),
            input_tokens: count(reply.input_tokens),
            output_tokens: count(reply.output_tokens),
            cost: Some(reply.cost),
            started_us: Some(timing.started_us),
            duration_ms: Some(timing.duration_ms),
            attributes: Some(json!({ semconv::RESPONSE_FINISH_REASONS: [reply.finish_reason] })),
            ..NewStep::default()
        },
    )
}

/// Logs the call of a tool as the step `id`.
pub fn tool_call(
    run: i64,
    id: i64,
    call: &ToolCall,
    parent: Option<i64>,
    observation: &Observation,
    timing: Timing,
) -> Result<i64> {
    let mut step = tool_step(call, parent);
    step.id = Some(id);
    step.started_us = Some(timing.started_us);
    step.duration_ms = Some(timing.duration_ms);
    step.output = Some(
        serde_json::from_str(&observation.content).unwrap_or_else(|_| observation.content.as_str().into()),
    );
    if observation.is_error {
        step.status = Some("error");
        step.error = Some(&observation.content);
        step.sqlstate = observation.sqlstate.as_deref();
    }
    agent_log::log(run, step)
}

/// Logs a refused call.
pub fn refused_call(run: i64, call: &ToolCall, parent: Option<i64>, reason: &str) -> Result<i64> {
    agent_log::log(run, NewStep { status: Some("error"), error: Some(reason), ..tool_step(call, parent) })
}

/// Logs a call that waits for approval.
pub fn waiting_call(run: i64, call: &ToolCall, parent: Option<i64>) -> Result<i64> {
    agent_log::log(run, NewStep { status: Some("waiting"), ..tool_step(call, parent) })
}

/// Logs the error that ended the run.
pub fn error(run: i64, error: &Error) -> Result<i64> {
    let code = error.code();
    agent_log::log(
        run,
        NewStep {
            kind: "error",
            status: Some("error"),
            error: Some(&error.message),
            sqlstate: Some(&code),
            ..NewStep::default()
        },
    )
}

/// Writes the status of a run that ends or waits.
pub fn finish(result: &RunResult) -> Result<()> {
    let code = result.error.as_ref().map(Error::code);
    agent_log::finish(
        result.run,
        FinishArgs {
            status: Some(result.status),
            output: result.answer.as_deref().map(Value::from),
            error: result.error.as_ref().map(|error| error.message.as_str()),
            sqlstate: code.as_deref(),
            finished_us: None,
        },
    )
}

fn tool_step<'a>(call: &'a ToolCall, parent: Option<i64>) -> NewStep<'a> {
    NewStep {
        kind: "tool",
        name: Some(&call.name),
        input: Some(arguments(call)),
        parent,
        attributes: Some(json!({ semconv::TOOL_CALL_ID: call.id })),
        ..NewStep::default()
    }
}

/// The arguments as JSON, or as a JSON string if they are not valid JSON.
fn arguments(call: &ToolCall) -> Value {
    call.parsed().unwrap_or_else(|_| call.arguments.as_str().into())
}
