//! The model calls of a run: prompt, time limit, and evaluation of the reply.

use crate::agents::run::{AgentRun, FUNCTION};
use crate::provider::{CallOptions, Remote};
use ragstone_client::engine::call::caller;
use ragstone_client::engine::client;
use ragstone_core::agent::{ModelReply, ModelRequest, ReplyFormat, StopReason, tool_calls};
use ragstone_core::protocol::{Request, Response};
use ragstone_core::provider::{Completion, Prompt};
use ragstone_pg::error::{Error, Result};

impl AgentRun {
    /// The prompt of a request.
    pub fn prompt(&self, ask: &ModelRequest) -> Prompt {
        let (tools, schema) = match ask.form {
            ReplyFormat::Free => (self.tool_definitions.clone(), None),
            ReplyFormat::Schema => (None, self.spec.schema.clone()),
        };
        Prompt {
            messages: ask.messages.clone(),
            temperature: self.agent.temperature,
            max_tokens: ask.max_tokens,
            schema,
            tools,
            ..Prompt::default()
        }
    }

    /// The options of a call, with a timeout no longer than the remaining time of the run.
    pub fn call_options(remote: &Remote, ask: &ModelRequest) -> CallOptions {
        let timeout_ms = ask.timeout_ms.map(|left| {
            let timeout = left.min(remote.target.limits.timeout_ms);
            i32::try_from(timeout).unwrap_or(i32::MAX)
        });
        CallOptions { function: FUNCTION, timeout_ms }
    }

    /// The model's reply, with the answer checked against the agent's schema. `ms` is the duration of the
    /// call. Needs no transaction.
    pub fn read_reply(&self, completion: Completion, form: ReplyFormat, ms: f64) -> Result<ModelReply> {
        let calls = tool_calls(completion.tool_calls.as_deref(), self.events.len());
        let mut reply = ModelReply {
            content: completion.content,
            calls,
            finish_reason: completion.finish_reason,
            own: completion.own,
            form,
            fits: None,
            input_tokens: completion.usage.input_tokens,
            output_tokens: completion.usage.output_tokens,
            cost: completion.usage.cost,
            ms,
        };
        // The engine has already checked a reply that was requested with the schema.
        if let Some(schema) = &self.spec.schema
            && form == ReplyFormat::Free
            && reply.calls.is_empty()
        {
            let fitting = json_that_fits(schema, &reply.content)?;
            reply.fits = Some(fitting.is_some());
            reply.content = fitting.unwrap_or(reply.content);
        }
        Ok(reply)
    }

    /// True if a model call has used up the run's time, so that its failure counts as the run's time limit
    /// instead of an error.
    pub fn is_out_of_time(&self, ask: &ModelRequest, ms: f64) -> bool {
        ask.timeout_ms.is_some_and(|left| ms >= left as f64)
    }

    /// The run's time limit as the reason for its end.
    pub fn out_of_time(&self) -> StopReason {
        StopReason::Time(self.spec.limits.timeout_ms.unwrap_or_default())
    }
}

/// The JSON in an answer, if it fits the schema.
fn json_that_fits(schema: &str, answer: &str) -> Result<Option<String>> {
    match client::call(Request::Check {
        caller: caller(),
        schema: schema.to_owned(),
        answer: answer.to_owned(),
    })? {
        Response::Checked(fitting) => Ok(fitting),
        other => Err(Error::internal(format!("unexpected answer to a check of an answer: {other:?}"))),
    }
}
