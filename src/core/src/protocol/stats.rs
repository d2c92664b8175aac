//! The counters of an engine.

use serde::{Deserialize, Serialize};

/// The engine's counters.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Stats {
    /// The engine's process id.
    pub pid: u32,
    /// Time since its start, seconds.
    pub uptime_s: f64,
    /// The library that runs models, with its version, or the reason why there is none.
    pub runtime: String,
    /// Number of times that the supervisor has restarted the engine.
    pub restarts: u32,
    /// The parts of the sandbox that are in force.
    pub sandbox: String,
    /// Resident memory, bytes.
    pub resident_bytes: u64,
    /// Number of connected clients.
    pub clients: u32,
    /// Counters of each model in use.
    pub models: Vec<ModelStats>,
}

/// The counters of one model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ModelStats {
    /// Name of the model.
    pub model: String,
    /// Number of requests answered.
    pub requests: u64,
    /// Number of texts embedded.
    pub texts: u64,
    /// Number of tokens run, without padding.
    pub tokens: u64,
    /// Number of runs of the model.
    pub batches: u64,
    /// Number of texts that wait.
    pub waiting: u64,
    /// Time of a text in the queue, milliseconds.
    pub wait_ms: Quantiles,
    /// Time of a run of the model, milliseconds.
    pub run_ms: Quantiles,
    /// Tokens per second of run time.
    pub tokens_per_second: f64,
}

/// Three quantiles of a duration.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Quantiles {
    /// Median.
    pub p50: f64,
    /// 95th percentile.
    pub p95: f64,
    /// 99th percentile.
    pub p99: f64,
}
