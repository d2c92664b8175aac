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

/// While a graph is optimised, the library holds its weights about twice.
pub const LOADED_PER_STORED: u64 = 2;

/// Texts of 180 tokens, embedded per second of processor time: 35 alone, 34 in pairs, 33 by fours, 30 by eights, 27 by
/// thirty-twos. Batches pay only for short texts, where a run costs more than its tokens.
const BATCH_LIMITS: BatchLimits = BatchLimits { tokens: 512, texts: 32 };
