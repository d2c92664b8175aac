//! What is drawn: a run, its steps, and the style.

/// A run, as the tree shows it.
#[derive(Debug, Clone, Default)]
pub struct TraceRun {
    /// Number.
    pub id: i64,
    /// What runs.
    pub agent: String,
    /// As the log has it.
    pub status: String,
    /// Microseconds since 1970.
    pub started_us: i64,
    /// Microseconds since 1970; none while it runs.
    pub finished_us: Option<i64>,
    /// What went wrong.
    pub error: Option<String>,
    /// Whether it was undone, and only its record is left.
    pub rolled_back: bool,
}

/// A step of a run, as the tree shows it.
#[derive(Debug, Clone, Default)]
pub struct TraceStep {
    /// Number.
    pub id: i64,
    /// The step that it is a part of.
    pub parent: Option<i64>,
    /// As the log has it.
    pub kind: String,
    /// Of the tool, the collection, the function.
    pub name: Option<String>,
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
    /// As the log has it.
    pub status: String,
    /// What went wrong.
    pub error: Option<String>,
    /// JSON, or its beginning.
    pub input: Option<String>,
    /// JSON, or its beginning.
    pub output: Option<String>,
}

/// How the tree is drawn.
#[derive(Debug, Clone, Copy)]
pub struct TraceStyle {
    /// Columns of a line; at least 40.
    pub width: usize,
    /// With nothing but ASCII.
    pub ascii: bool,
}

impl TraceStep {
    /// When the step ended, microseconds since 1970.
    pub fn end_us(&self) -> i64 {
        self.started_us.saturating_add((self.duration_ms.unwrap_or(0.0).max(0.0) * 1000.0) as i64)
    }
}
