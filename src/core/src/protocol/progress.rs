//! Progress reports of long work.

use serde::{Deserialize, Serialize};

/// The progress of long work, such as the first fill of a collection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// OID of the database.
    pub database: u32,
    /// Process id of the process that does the work.
    pub pid: i32,
    /// Subject of the work: the name of a collection.
    pub subject: String,
    /// Rows done.
    pub done: u64,
    /// Number of all rows; zero ends the report.
    pub total: u64,
    /// Time since the work began, milliseconds.
    pub elapsed_ms: u64,
}
