//! The pieces of a job's answer, which are posted and read while the job runs.

use serde::{Deserialize, Serialize};

/// One attempt at a job. Different attempts never share pieces.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct JobRun {
    /// OID of the database.
    pub database: u32,
    /// OID of the table of jobs; it changes if the extension is dropped and created again.
    pub table: u32,
    /// Number of the job.
    pub job: u64,
    /// Number of the attempt, from 1.
    pub attempt: u32,
}

/// The state of a job's pieces.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Pieces {
    /// The pieces after the requested number, in order and without a gap.
    pub pieces: Vec<String>,
    /// Number of pieces posted so far.
    pub posted: u32,
    /// True if no more pieces will follow.
    pub ended: bool,
    /// True if pieces were dropped or never arrived: only the job's result is complete.
    pub lost: bool,
}
