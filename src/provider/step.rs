//! Calls to a provider's language model as steps of the session's current run. What was said is in the log only where
//! `rag.log_prompts` has it in `rag.calls` as well.

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

    /// As [`Remote::complete_aloud`].
    ///
    /// # Errors
    /// As [`Remote::complete_aloud`].
    pub fn complete_aloud_as_step(&self, prompt: Prompt, options: CallOptions) -> Result<Completion> {
        self.as_step(prompt, options, |prompt| self.complete_aloud(prompt, options))
    }

    /// Logs a call that was made among others, with what has come of it.
    ///
    /// # Errors
    /// What keeps it from being logged.
    pub fn log_answer(&self, options: CallOptions, answer: &Result<Completion>) -> Result<()> {
        let took = answer.as_ref().map_or(0.0, |completion| completion.usage.latency_ms);
        let model = self.full_name();
        let new = || NewStep {
            kind: "model",
            name: Some(options.function),
            model: Some(&model),
            started_us: Some(clock::now() - (took * 1000.0) as i64),
            duration_ms: Some(took),
            ..NewStep::default()
        };
        agent_log::step_done(new, answer, said)
    }

    fn as_step(
        &self,
        prompt: Prompt,
        options: CallOptions,
        ask: impl FnOnce(Prompt) -> Result<Completion>,
    ) -> Result<Completion> {
        let model = self.full_name();
        let input =
            (settings::log_prompts() && agent_log::current().is_some()).then(|| messages(&prompt.messages));
        let new = || NewStep {
            kind: "model",
            name: Some(options.function),
            model: Some(&model),
            input,
            ..NewStep::default()
        };
        agent_log::step(new, || ask(prompt), said)
    }

    /// An answer that comes piece by piece, as a step that is logged when the last piece has come.
    pub(super) fn begin_step(&self, prompt: &Prompt, options: CallOptions) -> Result<Option<ModelStep>> {
        let Some(open) = OpenStep::begin()? else { return Ok(None) };
        let input = settings::log_prompts().then(|| messages(&prompt.messages));
        Ok(Some(ModelStep { open, model: self.full_name(), function: options.function, input }))
    }

    fn full_name(&self) -> String {
        format!("{}/{}", self.target.name, self.model)
    }
}

/// A model's answer that has not come as a whole.
pub(super) struct ModelStep {
    open: OpenStep,
    model: String,
    function: &'static str,
    input: Option<Value>,
}

impl ModelStep {
    /// Logs it.
    pub(super) fn end(self, answer: &Result<Completion>) -> Result<()> {
        let Self { open, model, function, input } = self;
        let new = || NewStep {
            kind: "model",
            name: Some(function),
            model: Some(&model),
            input,
            ..NewStep::default()
        };
        open.end(new, answer, said)
    }
}

fn said(completion: &Completion) -> StepResult {
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
    let said: Vec<Value> =
        messages.iter().map(|it| json!({"role": it.role, "content": it.content})).collect();
    json!({ "messages": said })
}
