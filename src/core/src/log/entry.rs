//! An entry of the log, on its way from the process that writes it into the tables.

use serde::{Deserialize, Serialize};

/// What is written down.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Entry {
    /// A run has begun.
    Start(RunStart),
    /// A step was taken.
    Step(Step),
    /// A run has ended, or waits.
    End(RunEnd),
}

/// The beginning of a run.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct RunStart {
    /// From the sequence `rag._run_id`.
    pub id: i64,
    /// Name of the role that it belongs to.
    pub owner: String,
    /// What runs.
    pub agent: String,
    /// The conversation that it is a part of.
    pub session: Option<i64>,
    /// The job that does it.
    pub job: Option<i64>,
    /// What it was asked, JSON.
    pub input: Option<String>,
    /// Of the application's trace: 32 hexadecimal digits.
    pub trace_id: Option<String>,
    /// The application's span that it is a part of: 16 hexadecimal digits.
    pub parent_span_id: Option<String>,
    /// JSON object.
    pub attributes: Option<String>,
    /// Microseconds since 1970.
    pub started_us: i64,
    /// The caller's transaction, of a record that outlives it.
    pub caller_xid: Option<u64>,
}

/// One step of a run.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Step {
    /// From the sequence `rag._step_id`.
    pub id: i64,
    /// The run that it belongs to.
    pub run_id: i64,
    /// Its place in the run, from 1, as its writer counts.
    pub number: i32,
    /// The step that it is a part of.
    pub parent_id: Option<i64>,
    /// Name of the role that the run belongs to.
    pub owner: String,
    /// What the run calls itself.
    pub agent: String,
    /// `message`, `model`, `tool`, `retrieval`, `error` or `custom`.
    pub kind: String,
    /// Of the tool, the collection, the function.
    pub name: Option<String>,
    /// JSON.
    pub input: Option<String>,
    /// JSON.
    pub output: Option<String>,
    /// `server/model`.
    pub model: Option<String>,
    /// Tokens of the prompt.
    pub input_tokens: Option<i64>,
    /// Tokens of the answer.
    pub output_tokens: Option<i64>,
    /// In the currency of the prices.
    pub cost: Option<f64>,
    /// Microseconds since 1970.
    pub started_us: i64,
    /// Milliseconds.
    pub duration_ms: Option<f64>,
    /// `ok`, `error`, `running`, `waiting`, `approved`, `rejected` or `cancelled`.
    pub status: String,
    /// What went wrong.
    pub error: Option<String>,
    /// Its SQLSTATE, where it has one.
    pub sqlstate: Option<String>,
    /// JSON object.
    pub attributes: Option<String>,
    /// The caller's transaction, of a record that outlives it.
    pub caller_xid: Option<u64>,
}

/// The end of a run, or its pause.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct RunEnd {
    /// The run.
    pub id: i64,
    /// `running`, `waiting`, `done`, `failed` or `cancelled`.
    pub status: String,
    /// JSON.
    pub output: Option<String>,
    /// What went wrong.
    pub error: Option<String>,
    /// Its SQLSTATE, where it has one.
    pub sqlstate: Option<String>,
    /// Microseconds since 1970.
    pub finished_us: i64,
}
