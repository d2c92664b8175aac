//! OpenVINO's execution provider in bf16, on processors that have it in hardware.

use std::path::Path;

use ort::{
    environment::Environment,
    ep::{ArbitrarilyConfigurableExecutionProvider, OpenVINO},
};

use super::{
    Budget, Runtime,
    session::{GraphSession, Options},
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
        "CPU_RUNTIME_CACHE_CAPACITY": SHAPES_IN_CACHE.to_string(),
    }})
    .to_string();
    let provider = OpenVINO::default()
        .with_device_type("CPU")
        .with_arbitrary_config("load_config", config)
        .build()
        .error_on_failure();
    let options = Options { name: "openvino", budget: BUDGET, threads, provider: Some(provider) };
    Ok(Box::new(GraphSession::open(library, graph, options)?))
}

/// While a graph is read and compiled, weights of 90 MB take 430 MB.
pub const LOADED_PER_STORED: u64 = 5;

/// Kernels that are kept for another batch of the same shape. The library's own 5,000 grow the process by 3 MB with each
/// new shape until the memory limit is reached; with 16 it stays at 1 GB of address space, and is not slower.
const SHAPES_IN_CACHE: u32 = 16;

/// Texts of 180 tokens, embedded per second of processor time on AVX-512 BF16: 47 alone, 54 in pairs, 58 by fours, 61
/// by eights, 63 by sixteens, 58 by thirty-twos. Eight long ones keep a query that comes in between waiting for 0.1 s.
const BUDGET: Budget = Budget { tokens: 2048, texts: 32 };
