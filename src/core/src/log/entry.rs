//! The entries of the agent log, which a process sends to a worker, and which the worker writes to tables.

use serde::{Deserialize, Serialize};

/// An entry of the agent log.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Entry {
    /// A run has begun.
    Start(RunStart),
    /// A step was taken.
    Step(Step),
    /// A run has ended or is paused.
    End(RunEnd),
}

/// The beginning of a run.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct RunStart {
    /// Number from the sequence `rag._run_id`.
    pub id: i64,
    /// Name of the role that owns the run.
    pub owner: String,
    /// Name of the agent.
    pub agent: String,
    /// The conversation that the run is a part of.
    pub session: Option<i64>,
    /// The job that executes the run.
    pub job: Option<i64>,
    /// The input of the run, JSON.
    pub input: Option<String>,
    /// Trace id of the application: 32 hexadecimal digits.
    pub trace_id: Option<String>,
    /// Id of the application's span that the run is a part of: 16 hexadecimal digits.
    pub parent_span_id: Option<String>,
    /// Attributes, a JSON object.
    pub attributes: Option<String>,
    /// Start, microseconds since 1970.
    pub started_us: i64,
    /// The caller's transaction, for a record that outlives it.
    pub caller_xid: Option<u64>,
}

/// One step of a run.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Step {
    /// Number from the sequence `rag._step_id`.
    pub id: i64,
    /// The run that it belongs to.
    pub run_id: i64,
    /// Position in the run, from 1, as the writer of the run counts.
    pub number: i32,
    /// The step that this step is a part of.
    pub parent_id: Option<i64>,
    /// Name of the role that owns the run.
    pub owner: String,
    /// Name of the agent, as in its run.
    pub agent: String,
    /// `message`, `model`, `tool`, `retrieval`, `error` or `custom`.
    pub kind: String,
    /// Name of the tool, the collection or the function.
    pub name: Option<String>,
    /// Input, JSON.
    pub input: Option<String>,
    /// Output, JSON.
    pub output: Option<String>,
    /// The model, `server/model`.
    pub model: Option<String>,
    /// Tokens of the prompt.
    pub input_tokens: Option<i64>,
    /// Tokens of the answer.
    pub output_tokens: Option<i64>,
    /// Cost, in the currency of the prices.
    pub cost: Option<f64>,
    /// Start, microseconds since 1970.
    pub started_us: i64,
    /// Duration, milliseconds.
    pub duration_ms: Option<f64>,
    /// `ok`, `error`, `running`, `waiting`, `approved`, `rejected` or `cancelled`.
    pub status: String,
    /// Error message.
    pub error: Option<String>,
    /// SQLSTATE of the error, if it has one.
    pub sqlstate: Option<String>,
    /// Attributes, a JSON object.
    pub attributes: Option<String>,
    /// The caller's transaction, for a record that outlives it.
    pub caller_xid: Option<u64>,
}

/// The end of a run, or its pause.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct RunEnd {
    /// The run.
    pub id: i64,
    /// `running`, `waiting`, `done`, `failed` or `cancelled`.
    pub status: String,
    /// Output, JSON.
    pub output: Option<String>,
    /// Error message.
    pub error: Option<String>,
    /// SQLSTATE of the error, if it has one.
    pub sqlstate: Option<String>,
    /// Time of the end or the pause, microseconds since 1970.
    pub finished_us: i64,
}
