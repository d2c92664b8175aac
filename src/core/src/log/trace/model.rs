//! The data of a tree: a run, its steps, and the style.

/// A run, as the tree shows it.
#[derive(Debug, Clone, Default)]
pub struct TraceRun {
    /// Number of the run.
    pub id: i64,
    /// Name of the agent.
    pub agent: String,
    /// The status in the log.
    pub status: String,
    /// Start, microseconds since 1970.
    pub started_us: i64,
    /// End, microseconds since 1970; `None` while the run is in progress.
    pub finished_us: Option<i64>,
    /// Error message.
    pub error: Option<String>,
    /// True if the run was rolled back, so that only its record is left.
    pub rolled_back: bool,
}

/// A step of a run, as the tree shows it.
#[derive(Debug, Clone, Default)]
pub struct TraceStep {
    /// Number of the step.
    pub id: i64,
    /// The step that it is a part of.
    pub parent: Option<i64>,
    /// The kind in the log.
    pub kind: String,
    /// Name of the tool, the collection or the function.
    pub name: Option<String>,
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
    /// The status in the log.
    pub status: String,
    /// Error message.
    pub error: Option<String>,
    /// Input: JSON, or its beginning.
    pub input: Option<String>,
    /// Output: JSON, or its beginning.
    pub output: Option<String>,
}

/// The style of the tree.
#[derive(Debug, Clone, Copy)]
pub struct TraceStyle {
    /// Width of a line, characters; at least 40.
    pub width: usize,
    /// True to use only ASCII characters.
    pub ascii: bool,
}

impl TraceStep {
    /// End of the step, microseconds since 1970.
    pub fn end_us(&self) -> i64 {
        self.started_us.saturating_add((self.duration_ms.unwrap_or(0.0).max(0.0) * 1000.0) as i64)
    }
}
