//! The definition of an agent: instructions, tools, the schema of its answer and the limits of a run.

/// The part of an agent's definition that the state machine needs.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct AgentSpec {
    /// The system message: the model's role and task.
    pub instructions: String,
    /// The tools that it may call.
    pub tools: Vec<ToolSpec>,
    /// JSON Schema that the agent's answer must meet.
    pub schema: Option<String>,
    /// Limits of a run.
    pub limits: RunLimits,
}

/// The part of a tool's definition that the state machine needs.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ToolSpec {
    /// Its name.
    pub name: String,
    /// True if a user has to approve each call.
    pub needs_approval: bool,
}

/// Limits of a run.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct RunLimits {
    /// Maximum number of replies of the model.
    pub max_steps: u32,
    /// Maximum number of tokens, input and output.
    pub token_budget: Option<u64>,
    /// Time limit in milliseconds. Time in which calls wait for approval does not count.
    pub timeout_ms: Option<u64>,
}
