//! What a run of an agent is asked to do.

/// What is to be run.
#[derive(Debug)]
pub struct Order {
    /// Name of the agent.
    pub agent: String,
    /// What it is asked.
    pub input: String,
    /// The conversation that it is a part of.
    pub session: Option<i64>,
}
