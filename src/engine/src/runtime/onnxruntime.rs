//! ONNX Runtime's own CPU kernels, in fp32.

use std::path::Path;

use ort::environment::Environment;

use super::{
    Budget, Runtime,
    session::{GraphSession, Options},
};

/// Opens a graph.
///
/// # Errors
/// The library's message.
pub fn open(library: &Environment, graph: &Path, threads: usize) -> Result<Box<dyn Runtime>, String> {
    let options = Options { name: "onnxruntime", budget: BUDGET, threads, provider: None };
    Ok(Box::new(GraphSession::open(library, graph, options)?))
}

const BUDGET: Budget = Budget { tokens: 512, texts: 32 };
