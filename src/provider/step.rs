//! Calls of a provider's language model as steps of the session's current run. As in `rag.calls`, the steps
//! contain prompts and answers only if `rag.log_prompts` is on.

use crate::agent_log;
use crate::agent_log::{NewStep, OpenStep, StepResult};
use crate::provider::{CallOptions, Remote};
use ragstone_client::settings;
use ragstone_core::provider::{Completion, Message, Prompt};
use ragstone_pg::clock;
use ragstone_pg::error::Result;
use serde_json::{Value, json};

impl Remote {
    /// As [`Remote::complete`].
    ///
    /// # Errors
    /// As [`Remote::complete`].
    pub fn complete_as_step(&self, prompt: Prompt, options: CallOptions) -> Result<Completion> {
        self.as_step(prompt, options, |prompt| self.complete(prompt, options))
    }

    /// As [`Remote::complete_streaming`].
    ///
    /// # Errors
    /// As [`Remote::complete_streaming`].
    pub fn complete_streaming_as_step(&self, prompt: Prompt, options: CallOptions) -> Result<Completion> {
        self.as_step(prompt, options, |prompt| self.complete_streaming(prompt, options))
    }

    /// Logs one call of a batch with its answer or error.
    ///
    /// # Errors
    /// Errors of the log.
    pub fn log_answer(&self, options: CallOptions, answer: &Result<Completion>) -> Result<()> {
        let took = answer.as_ref().map_or(0.0, |completion| completion.usage.latency_ms);
        let model = self.name();
        let new = || NewStep {
            kind: "model",
            name: Some(options.function),
            model: Some(&model),
            started_us: Some(clock::now() - (took * 1000.0) as i64),
            duration_ms: Some(took),
            ..NewStep::default()
        };
        agent_log::step_done(new, answer, outcome)
    }

    fn as_step(
        &self,
        prompt: Prompt,
        options: CallOptions,
        ask: impl FnOnce(Prompt) -> Result<Completion>,
    ) -> Result<Completion> {
        let model = self.name();
        let input =
            (settings::log_prompts() && agent_log::current().is_some()).then(|| messages(&prompt.messages));
        let new = || NewStep {
            kind: "model",
            name: Some(options.function),
            model: Some(&model),
            input,
            ..NewStep::default()
        };
        agent_log::step(new, || ask(prompt), outcome)
    }

    /// Begins the step of an answer that is streamed. It is logged after the last delta.
    pub(super) fn begin_step(&self, prompt: &Prompt, options: CallOptions) -> Result<Option<ModelStep>> {
        let Some(open) = OpenStep::begin()? else { return Ok(None) };
        let input = settings::log_prompts().then(|| messages(&prompt.messages));
        Ok(Some(ModelStep { open, model: self.name(), function: options.function, input }))
    }
}

/// The step of an answer that is being streamed.
pub(super) struct ModelStep {
    open: OpenStep,
    model: String,
    function: &'static str,
    input: Option<Value>,
}

impl ModelStep {
    /// Logs the step with the answer or the error.
    pub(super) fn end(self, answer: &Result<Completion>) -> Result<()> {
        let Self { open, model, function, input } = self;
        let new = || NewStep {
            kind: "model",
            name: Some(function),
            model: Some(&model),
            input,
            ..NewStep::default()
        };
        open.end(new, answer, outcome)
    }
}

fn outcome(completion: &Completion) -> StepResult {
    let mut output = json!({"finish_reason": completion.finish_reason});
    if settings::log_prompts() {
        output["content"] = Value::from(completion.content.as_str());
    }
    StepResult {
        output: Some(output),
        input_tokens: i64::try_from(completion.usage.input_tokens).ok(),
        output_tokens: i64::try_from(completion.usage.output_tokens).ok(),
        cost: Some(completion.usage.cost),
    }
}

fn messages(messages: &[Message]) -> Value {
    let messages: Vec<Value> =
        messages.iter().map(|it| json!({"role": it.role, "content": it.content})).collect();
    json!({ "messages": messages })
}
