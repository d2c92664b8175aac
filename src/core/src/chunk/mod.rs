//! Cutting documents into chunks whose size is counted in a model's own tokens.
//!
//! A document is tokenised once, not once per guess of the splitter: the size of a slice is then the number of tokens
//! that begin in it. Each chunk is counted exactly afterwards, and cut again by exact counts in the rare case that it
//! is too large, because a slice may have more tokens alone than in its document (a word that was cut in two).

mod headings;
mod sizer;
pub mod title;

pub use sizer::Tokenize;

use text_splitter::{ChunkConfig, ChunkSizer, MarkdownSplitter, TextSplitter};
use thiserror::Error;

use crate::protocol::{Chunk, ChunkOptions, Splitter};
use headings::Outline;
use sizer::{DocumentSizer, ExactSizer};

/// Sizes that cannot be.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ChunkError {
    /// No text fits.
    #[error("chunk size: expected at least 1 token, actual 0")]
    Size,
    /// A chunk would repeat all of the one before it.
    #[error("chunk overlap: expected less than the chunk size of {size} tokens, actual {overlap}")]
    Overlap {
        /// Tokens of a chunk.
        size: u32,
        /// Tokens repeated.
        overlap: u32,
    },
}

/// Cuts documents in one way.
#[derive(Debug, Clone, Copy)]
pub struct Cutter {
    splitter: Splitter,
    size: usize,
    overlap: usize,
}

impl Cutter {
    /// A cutter of valid sizes.
    ///
    /// # Errors
    /// The size is zero, or the overlap not less than it.
    pub fn new(options: &ChunkOptions) -> Result<Self, ChunkError> {
        let ChunkOptions { splitter, size, overlap } = *options;
        if size == 0 {
            return Err(ChunkError::Size);
        }
        if overlap >= size {
            return Err(ChunkError::Overlap { size, overlap });
        }
        Ok(Self { splitter, size: size as usize, overlap: overlap as usize })
    }

    /// The chunks of a document in its order, without those that are only white space.
    ///
    /// # Errors
    /// The tokenizer's own.
    pub fn cut<T: Tokenize>(&self, document: &str, tokens: &T) -> Result<Vec<Chunk>, T::Error> {
        let sizer = DocumentSizer::new(document, tokens)?;
        let mut pieces = Vec::new();
        for piece in self.split(document, &sizer) {
            let count = tokens.count(piece.1)?;
            if count <= self.size {
                pieces.push((piece.0, piece.1, count));
                continue;
            }
            let exact = ExactSizer::new(tokens);
            let smaller = self.split(piece.1, &exact);
            exact.finish()?;
            for (offset, text) in smaller {
                pieces.push((piece.0 + offset, text, tokens.count(text)?));
            }
        }
        Ok(self.place(document, &pieces))
    }

    fn split<'a>(&self, text: &'a str, sizer: impl ChunkSizer) -> Vec<(usize, &'a str)> {
        let config = ChunkConfig::new(self.size).with_sizer(sizer);
        // Only an overlap that is not less than the size is refused, and `new` has refused it.
        let Ok(config) = config.with_overlap(self.overlap) else { return Vec::new() };
        let mut pieces: Vec<(usize, &str)> = match self.splitter {
            Splitter::Text => TextSplitter::new(config).chunk_indices(text).collect(),
            Splitter::Markdown => MarkdownSplitter::new(config).chunk_indices(text).collect(),
        };
        pieces.retain(|(_, piece)| !piece.trim().is_empty());
        pieces
    }

    /// Turns byte offsets into character offsets, and finds the headings.
    fn place(&self, document: &str, pieces: &[(usize, &str, usize)]) -> Vec<Chunk> {
        let outline = match self.splitter {
            Splitter::Text => Outline::default(),
            Splitter::Markdown => Outline::of(document),
        };
        let (mut byte, mut start) = (0, 0);
        let mut chunks = Vec::with_capacity(pieces.len());
        for &(offset, content, tokens) in pieces {
            // Chunks begin in ascending order, so each character is counted once, and once more in its chunk.
            start += document.get(byte..offset).map_or(0, |between| between.chars().count());
            byte = offset;
            chunks.push(Chunk {
                content: content.to_owned(),
                tokens: saturate(tokens),
                start: saturate(start),
                end: saturate(start + content.chars().count()),
                headings: outline.path_at(offset),
            });
        }
        chunks
    }
}

fn saturate(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests;
