//! The model is asked.

use crate::agents::run::{Course, FUNCTION};
use crate::provider::{CallOptions, Remote};
use ragstone_client::engine::client;
use ragstone_core::agent::{ModelReply, ModelRequest, ReplyFormat, tool_calls};
use ragstone_core::protocol::{Request, Response};
use ragstone_core::provider::{Completion, Prompt};
use ragstone_pg::error::{Error, Result};

impl Course {
    /// The question that is to be asked.
    pub fn prompt(&self, ask: &ModelRequest) -> Prompt {
        let (tools, schema) = match ask.form {
            ReplyFormat::Free => (self.definitions.clone(), None),
            ReplyFormat::Schema => (None, self.plan.schema.clone()),
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

    /// How it is asked: not longer than the run has time.
    pub fn options(remote: &Remote, ask: &ModelRequest) -> CallOptions {
        let most = ask.timeout_ms.map(|left| left.min(remote.target.limits.timeout_ms));
        let timeout_ms = most.map(|most| i32::try_from(most).unwrap_or(i32::MAX));
        CallOptions { function: FUNCTION, timeout_ms }
    }

    /// What the model said. Needs no transaction.
    pub fn said(&self, completion: Completion, form: ReplyFormat, ms: f64) -> Result<ModelReply> {
        let calls = tool_calls(completion.tool_calls.as_deref(), self.events.len());
        let mut said = ModelReply {
            content: completion.content,
            calls,
            finish_reason: completion.finish_reason,
            form,
            fits: None,
            input_tokens: completion.usage.input_tokens,
            output_tokens: completion.usage.output_tokens,
            cost: completion.usage.cost,
            ms,
        };
        // What was asked for by the schema, the engine has compared with it.
        if let Some(schema) = &self.plan.schema
            && form == ReplyFormat::Free
            && said.calls.is_empty()
        {
            let met = fitting(schema, &said.content)?;
            said.fits = Some(met.is_some());
            said.content = met.unwrap_or(said.content);
        }
        Ok(said)
    }
}

/// The JSON in an answer, if it meets the schema.
fn fitting(schema: &str, answer: &str) -> Result<Option<String>> {
    match client::call(Request::Check { schema: schema.to_owned(), answer: answer.to_owned() })? {
        Response::Checked(met) => Ok(met),
        other => Err(Error::internal(format!("unexpected answer to a check of an answer: {other:?}"))),
    }
}
