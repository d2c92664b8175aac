//! The pieces of a job's answer, as they are posted and read while the job runs.

use serde::{Deserialize, Serialize};

/// One attempt at a job. Two of them never have the same pieces.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct JobRun {
    /// OID of the database.
    pub database: u32,
    /// OID of the table of jobs: another one after the extension was dropped and created again.
    pub table: u32,
    /// Number of the job.
    pub job: u64,
    /// Which attempt, from 1.
    pub attempt: u32,
}

/// What is known of a job's pieces.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Pieces {
    /// The pieces after the one that was named, in order and without a gap.
    pub pieces: Vec<String>,
    /// All pieces that were ever posted.
    pub posted: u32,
    /// Whether there are no more to come.
    pub ended: bool,
    /// Whether some are not here any more, or never were: only the job's result is whole.
    pub lost: bool,
}
