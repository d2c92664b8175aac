//! What an engine counts.

use serde::{Deserialize, Serialize};

/// The engine's counters.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Stats {
    /// The engine's process id.
    pub pid: u32,
    /// Seconds since its start.
    pub uptime_s: f64,
    /// The library it uses, with its version, or why there is none.
    pub runtime: String,
    /// Times that the supervisor had to start it again.
    pub restarts: u32,
    /// What of its sandbox is in force.
    pub sandbox: String,
    /// Resident memory in bytes.
    pub resident_bytes: u64,
    /// Connected clients.
    pub clients: u32,
    /// Per model in use.
    pub models: Vec<ModelStats>,
}

/// The counters of one model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ModelStats {
    /// Name of the model.
    pub model: String,
    /// Requests answered.
    pub requests: u64,
    /// Texts embedded.
    pub texts: u64,
    /// Tokens run, padding left out.
    pub tokens: u64,
    /// Runs of the model.
    pub batches: u64,
    /// Texts waiting.
    pub waiting: u64,
    /// Time in the queue of a text, milliseconds.
    pub wait_ms: Quantiles,
    /// Time of one run of the model, milliseconds.
    pub run_ms: Quantiles,
    /// Tokens per second of run time.
    pub tokens_per_second: f64,
}

/// Three quantiles of a time.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Quantiles {
    /// Median.
    pub p50: f64,
    /// 95th percentile.
    pub p95: f64,
    /// 99th percentile.
    pub p99: f64,
}
