//! Splits documents into chunks, and counts tokens, with a model's tokenizer.

use ragstone_core::{
    chunk::{self, Cutter, Tokenize},
    protocol::{Chunk, ChunkOptions},
};
use tokio_util::sync::CancellationToken;

use super::engine::Engine;
use crate::{failure::Error, model::text::TextEncoder};

/// The chunks of each document.
///
/// # Errors
/// The model or the options are not valid, or the request was cancelled.
pub fn chunk(
    engine: &Engine,
    model: &str,
    options: ChunkOptions,
    documents: &[String],
    cancellation: &CancellationToken,
) -> Result<Vec<Vec<Chunk>>, Error> {
    let cutter = Cutter::new(&options).map_err(|error| Error::Argument(error.to_string()))?;
    let description = engine.registry().queue(model)?.describe()?;
    let tokenizer = CancellableTokenizer { engine, encoder: &description.encoder, cancellation };
    documents.iter().map(|document| cutter.cut(document, &tokenizer)).collect()
}

/// Number of tokens of each text.
///
/// # Errors
/// The model is not usable, or the request was cancelled.
pub fn count(
    engine: &Engine,
    model: &str,
    texts: &[String],
    cancellation: &CancellationToken,
) -> Result<Vec<u32>, Error> {
    let description = engine.registry().queue(model)?.describe()?;
    let tokenizer = CancellableTokenizer { engine, encoder: &description.encoder, cancellation };
    texts.iter().map(|text| chunk::count(text, &tokenizer).map(|tokens| tokens as u32)).collect()
}

/// A tokenizer that counts its steps, and stops once the request is cancelled.
struct CancellableTokenizer<'a> {
    engine: &'a Engine,
    encoder: &'a TextEncoder,
    cancellation: &'a CancellationToken,
}

impl Tokenize for CancellableTokenizer<'_> {
    type Error = Error;

    fn starts(&self, text: &str, starts: &mut Vec<usize>) -> Result<(), Error> {
        self.encoder.starts(text, starts).map_err(cannot_tokenise)
    }

    fn count(&self, text: &str) -> Result<usize, Error> {
        self.encoder.count(text).map_err(cannot_tokenise)
    }

    fn check(&self) -> Result<(), Error> {
        self.engine.count_tokenizer_step();
        // This error is not sent, since the request is no longer open.
        if self.cancellation.is_cancelled() { Err(Error::Internal("cancelled".into())) } else { Ok(()) }
    }
}

fn cannot_tokenise(reason: String) -> Error {
    Error::Argument(format!("cannot tokenise a text: {reason}"))
}
