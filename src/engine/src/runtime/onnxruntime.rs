//! ONNX Runtime's own CPU kernels, in fp32.

use std::path::Path;

use ort::environment::Environment;

use super::{
    BatchLimits, Runtime,
    session::{GraphSession, SessionOptions},
};

/// Opens a graph.
///
/// # Errors
/// The library's message.
pub fn open(library: &Environment, graph: &Path, threads: usize) -> Result<Box<dyn Runtime>, String> {
    let options = SessionOptions { name: "onnxruntime", batch_limits: BATCH_LIMITS, threads, provider: None };
    Ok(Box::new(GraphSession::open(library, graph, options)?))
}

/// While a graph is optimised, its weights are in memory about twice.
pub const LOADED_PER_STORED: u64 = 2;

/// Texts of 180 tokens that are embedded per second of processor time: 35 alone, 34 in batches of two, 33 of four, 30
/// of eight, 27 of thirty-two. Batches help only short texts, for which the fixed cost of a run exceeds that of the tokens.
const BATCH_LIMITS: BatchLimits = BatchLimits { tokens: 512, texts: 32 };
