//! What defines an agent: instructions, tools, the schema of its answer and the limits of a run.

/// The definition of an agent, as far as the state machine needs it.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct AgentSpec {
    /// The system message: the model's role and task.
    pub instructions: String,
    /// The tools that it may call.
    pub tools: Vec<ToolSpec>,
    /// JSON Schema that its answer must meet.
    pub schema: Option<String>,
    /// Limits of a run.
    pub limits: RunLimits,
}

/// A tool, as far as the state machine needs it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ToolSpec {
    /// Its name.
    pub name: String,
    /// Whether a person has to approve each call.
    pub needs_approval: bool,
}

/// Limits of a run.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct RunLimits {
    /// Most replies of the model.
    pub max_steps: u32,
    /// Most tokens, in and out.
    pub token_budget: Option<u64>,
    /// Longest time in milliseconds, without the time that calls wait for approval.
    pub timeout_ms: Option<u64>,
}
