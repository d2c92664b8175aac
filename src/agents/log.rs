//! What a run leaves in the log.

use crate::agent_log;
use crate::agent_log::{FinishArgs, NewRun, NewStep};
use crate::agents::Finished;
use crate::agents::request::Order;
use crate::tools::Observation;
use ragstone_core::agent::{ModelReply, ToolCall};
use ragstone_core::log::semconv;
use ragstone_pg::error::{Error, Result};
use serde_json::{Value, json};
use std::time::{SystemTime, UNIX_EPOCH};

/// When something began.
#[derive(Debug, Clone, Copy)]
pub struct Clock(i64);

/// When something began, microseconds since 1970, and how long it took, milliseconds.
#[derive(Debug, Clone, Copy)]
pub struct Took(i64, f64);

impl Clock {
    /// Now.
    pub fn start() -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self(i64::try_from(now.as_micros()).unwrap_or(i64::MAX))
    }

    /// It took so many milliseconds.
    pub fn took(self, ms: f64) -> Took {
        Took(self.0, ms)
    }
}

/// A run begins.
pub fn begin(order: &Order, job: Option<i64>) -> Result<i64> {
    agent_log::start(&NewRun {
        agent: &order.agent,
        session: order.session,
        job,
        input: Some(Value::from(order.input.as_str())),
        ..NewRun::default()
    })
}

/// What was asked.
pub fn asked(run: i64, input: &str) -> Result<i64> {
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

/// What the model said, of so many messages.
pub fn said(run: i64, model: &str, messages: usize, said: &ModelReply, took: Took) -> Result<i64> {
    let calls: Vec<Value> = (said.calls.iter())
        .map(|call| json!({ "id": call.id, "name": call.name, "arguments": arguments(call) }))
        .collect();
    let mut output = json!({ "content": said.content });
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
            input_tokens: count(said.input_tokens),
            output_tokens: count(said.output_tokens),
            cost: Some(said.cost),
            started_us: Some(took.0),
            duration_ms: Some(took.1),

            attributes: Some(json!({ semconv::RESPONSE_FINISH_REASONS: [said.finish_reason] })),
            ..NewStep::default()
        },
    )
}

/// A tool was called, in the step of this number.
pub fn made(
    run: i64,
    id: i64,
    call: &ToolCall,
    parent: Option<i64>,
    seen: &Observation,
    took: Took,
) -> Result<i64> {
    let mut step = tool(call, parent);
    step.id = Some(id);
    step.started_us = Some(took.0);
    step.duration_ms = Some(took.1);
    step.output = Some(serde_json::from_str(&seen.content).unwrap_or_else(|_| seen.content.as_str().into()));
    if seen.is_error {
        step.status = Some("error");
        step.error = Some(&seen.content);
        step.sqlstate = seen.sqlstate.as_deref();
    }
    agent_log::log(run, step)
}

/// A call was refused.
pub fn refused(run: i64, call: &ToolCall, parent: Option<i64>, reason: &str) -> Result<i64> {
    agent_log::log(run, NewStep { status: Some("error"), error: Some(reason), ..tool(call, parent) })
}

/// A call waits for approval.
pub fn waits(run: i64, call: &ToolCall, parent: Option<i64>) -> Result<i64> {
    agent_log::log(run, NewStep { status: Some("waiting"), ..tool(call, parent) })
}

/// Something ended the run.
pub fn failed(run: i64, error: &Error) -> Result<i64> {
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

/// A run ends, or waits.
pub fn finish(finished: &Finished) -> Result<()> {
    let code = finished.error.as_ref().map(Error::code);
    agent_log::finish(
        finished.run,
        FinishArgs {
            status: Some(finished.status),
            output: finished.answer.as_deref().map(Value::from),
            error: finished.error.as_ref().map(|error| error.message.as_str()),
            sqlstate: code.as_deref(),
        },
    )
}

fn tool<'a>(call: &'a ToolCall, parent: Option<i64>) -> NewStep<'a> {
    NewStep {
        kind: "tool",
        name: Some(&call.name),
        input: Some(arguments(call)),
        parent,

        attributes: Some(json!({ semconv::TOOL_CALL_ID: call.id })),
        ..NewStep::default()
    }
}

/// The arguments, as text where they are no JSON.
fn arguments(call: &ToolCall) -> Value {
    call.parsed().unwrap_or_else(|_| call.arguments.as_str().into())
}
