//! Logs a question as a step of the session's current run. The search and the model call are its child steps.

use crate::agent_log;
use crate::agent_log::{NewStep, StepResult};
use crate::ask::{CitedAnswer, Question};
use ragstone_client::settings;
use ragstone_pg::error::Result;
use serde_json::{Value, json};

/// Answers a question with `work`; `function` is the SQL function that was called. The log contains a model's
/// answer only if `rag.log_prompts` stores it in `rag.calls` as well.
pub fn ask_as_step(
    function: &'static str,
    question: &Question,
    work: impl FnOnce() -> Result<CitedAnswer>,
) -> Result<CitedAnswer> {
    let new = || NewStep {
        kind: "custom",
        name: Some(function),
        input: Some(json!({"collection": question.search.collection, "question": question.search.query})),
        ..NewStep::default()
    };
    agent_log::step(new, work, result)
}

fn result(answered: &CitedAnswer) -> StepResult {
    let mut output = json!({
        "answered": answered.answered,
        "model": answered.model,
        "similarity": answered.similarity,
        "finish_reason": answered.finish_reason,
    });
    if settings::log_prompts() {
        output["answer"] = Value::from(answered.answer.as_str());
    }
    StepResult { output: Some(output), ..StepResult::default() }
}
