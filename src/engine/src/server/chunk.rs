//! Cutting documents, in the model's own tokens.

use std::sync::atomic::Ordering;

use ragstone_core::protocol::{Chunk, ChunkOptions};

use super::engine::Engine;
use crate::{failure::Error, scheduler::job::Gone};

/// The chunks of each document.
///
/// # Errors
/// The model or the options make no sense.
pub fn chunk(
    engine: &Engine,
    model: &str,
    options: ChunkOptions,
    documents: &[String],
    gone: &Gone,
) -> Result<Vec<Vec<Chunk>>, Error> {
    let _description = engine.registry().station(model)?.describe()?;
    let _ = (options, documents, gone.load(Ordering::Relaxed));
    Err(Error::Internal("chunking is not there yet".into()))
}
