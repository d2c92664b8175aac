//! Cutting documents, in the model's own tokens.

use ragstone_core::{
    chunk::{Cutter, Tokenize},
    protocol::{Chunk, ChunkOptions},
};

use super::engine::Engine;
use crate::{failure::Error, model::text::TextEncoder, scheduler::job::Gone};

/// The chunks of each document.
///
/// # Errors
/// The model or the options make no sense, or nobody waits for the answer any more.
pub fn chunk(
    engine: &Engine,
    model: &str,
    options: ChunkOptions,
    documents: &[String],
    gone: &Gone,
) -> Result<Vec<Vec<Chunk>>, Error> {
    let cutter = Cutter::new(&options).map_err(|error| Error::Argument(error.to_string()))?;
    let description = engine.registry().station(model)?.describe()?;
    let counter = Counter { encoder: &description.encoder, gone };
    documents.iter().map(|document| cutter.cut(document, &counter)).collect()
}

/// Tokens of each text.
///
/// # Errors
/// The model makes no sense, or nobody waits for the answer any more.
pub fn count(engine: &Engine, model: &str, texts: &[String], gone: &Gone) -> Result<Vec<u32>, Error> {
    let description = engine.registry().station(model)?.describe()?;
    let counter = Counter { encoder: &description.encoder, gone };
    texts.iter().map(|text| counter.count(text).map(|tokens| tokens as u32)).collect()
}

/// Counts until nobody waits for it.
struct Counter<'a> {
    encoder: &'a TextEncoder,
    gone: &'a Gone,
}

impl Counter<'_> {
    fn check(&self) -> Result<(), Error> {
        // The answer is never sent: the request is no longer open.
        if self.gone.is_cancelled() { Err(Error::Internal("cancelled".into())) } else { Ok(()) }
    }
}

impl Tokenize for Counter<'_> {
    type Error = Error;

    fn starts(&self, text: &str, starts: &mut Vec<usize>) -> Result<(), Error> {
        self.check()?;
        self.encoder.starts(text, starts).map_err(cannot_tokenise)
    }

    fn count(&self, text: &str) -> Result<usize, Error> {
        self.check()?;
        self.encoder.count(text).map_err(cannot_tokenise)
    }
}

fn cannot_tokenise(reason: String) -> Error {
    Error::Argument(format!("cannot tokenise a text: {reason}"))
}
