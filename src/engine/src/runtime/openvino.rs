//! OpenVINO's execution provider in bf16, on processors that have it in hardware.

use std::path::Path;

use ort::{
    environment::Environment,
    ep::{ArbitrarilyConfigurableExecutionProvider, OpenVINO},
};

use super::{
    BatchLimits, Runtime,
    session::{GraphSession, SessionOptions},
};

/// Opens a graph.
///
/// # Errors
/// The library's message.
pub fn open(library: &Environment, graph: &Path, threads: usize) -> Result<Box<dyn Runtime>, String> {
    let config = serde_json::json!({"CPU": {
        "INFERENCE_PRECISION_HINT": "bf16",
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_NUM_THREADS": threads.to_string(),
        // Pinned threads of two copies of a model would share a processor.
        "ENABLE_CPU_PINNING": "NO",
        "CPU_RUNTIME_CACHE_CAPACITY": MAX_CACHED_SHAPES.to_string(),
    }})
    .to_string();
    let provider = OpenVINO::default()
        .with_device_type("CPU")
        .with_arbitrary_config("load_config", config)
        .build()
        .error_on_failure();
    let options =
        SessionOptions { name: "openvino", batch_limits: BATCH_LIMITS, threads, provider: Some(provider) };
    Ok(Box::new(GraphSession::open(library, graph, options)?))
}

/// Weights of 90 MB take 430 MB while the graph is read and compiled.
pub const LOADED_PER_STORED: u64 = 5;

/// Number of batch shapes whose compiled kernels are kept. With the library's default of 5,000 the process grows by 3
/// MB with each new shape until the memory limit is reached; with 16 it stays at 1 GB of address space, and is not slower.
const MAX_CACHED_SHAPES: u32 = 16;

/// Texts of 180 tokens that are embedded per second of processor time on AVX-512 BF16: 47 alone, 54 in batches of two,
/// 58 of four, 61 of eight, 63 of sixteen, 58 of thirty-two. A query that arrives while eight long texts run waits for
/// 0.1 s.
const BATCH_LIMITS: BatchLimits = BatchLimits { tokens: 2048, texts: 32 };
