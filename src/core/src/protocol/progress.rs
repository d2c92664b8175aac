//! Progress reports of long work.

use serde::{Deserialize, Serialize};

/// The progress of long work, such as the first fill of a collection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// OID of the database.
    pub database: u32,
    /// Process that does the work.
    pub pid: i32,
    /// What is worked on: a collection's name.
    pub subject: String,
    /// Rows done.
    pub done: u64,
    /// Rows in all; zero ends the report.
    pub total: u64,
    /// Milliseconds since the work began.
    pub elapsed_ms: u64,
}
