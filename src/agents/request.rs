//! The arguments of an agent's run.

/// The arguments of a run.
#[derive(Debug)]
pub struct RunRequest {
    /// Name of the agent.
    pub agent: String,
    /// The user's input.
    pub input: String,
    /// The session that the run belongs to, if any.
    pub session: Option<i64>,
}
