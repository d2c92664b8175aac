//! A question as a step of the session's current run, of which its search and its model's answer are parts.

use crate::agent_log;
use crate::agent_log::{NewStep, StepResult};
use crate::ask::{Answered, Question};
use ragstone_client::settings;
use ragstone_pg::error::Result;
use serde_json::{Value, json};

/// Has a question answered by `work`; `function` is the SQL function that was called. What a provider's model answered is in
/// the log only where `rag.log_prompts` has it in `rag.calls` as well.
pub fn ask_as_step(
    function: &'static str,
    question: &Question,
    work: impl FnOnce() -> Result<Answered>,
) -> Result<Answered> {
    let new = || NewStep {
        kind: "custom",
        name: Some(function),
        input: Some(json!({"collection": question.search.collection, "question": question.search.query})),
        ..NewStep::default()
    };
    agent_log::step(new, work, said)
}

fn said(answered: &Answered) -> StepResult {
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
