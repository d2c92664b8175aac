//! The result of a run.

use ragstone_core::agent::RunUsage;
use ragstone_pg::bytes::Jsonb;
use ragstone_pg::error::{Error, Result};
use serde_json::json;

/// The result of a run that has ended or waits.
#[derive(Debug, Clone)]
pub struct RunResult {
    /// Number of the run.
    pub run: i64,
    /// The answer, if there is one.
    pub answer: Option<String>,
    /// `done`, `failed` or `waiting`.
    pub status: &'static str,
    /// Steps, tokens and cost.
    pub spent: RunUsage,
    /// The reason why there is no answer.
    pub error: Option<Error>,
}

impl RunResult {
    /// The result of a job: the row that the function would return. `waiting` has the steps that wait for a
    /// decision.
    pub fn to_json(&self, waiting: &[i64]) -> Result<Jsonb> {
        let mut row = json!({
            "run_id": self.run,
            "answer": self.answer,
            "status": self.status,
            "steps": self.spent.steps,
            "input_tokens": self.spent.input_tokens,
            "output_tokens": self.spent.output_tokens,
            "cost": self.spent.cost,
            "error": self.error.as_ref().map(|error| error.message.as_str()),
        });
        if let Some(error) = &self.error {
            row["sqlstate"] = error.code().into();
        }
        if !waiting.is_empty() {
            row["waiting"] = waiting.into();
        }
        Jsonb::from_json(&row.to_string())
    }
}
