//! Splits documents into chunks whose size is counted in tokens of the model.
//!
//! A document is read once, its tokens in blocks of 64 kB and its structure in blocks of up to 1 MB, and only as far as the
//! next chunk needs. The time per byte therefore depends on the size of a chunk and not on the length of the document. The
//! offsets of the document's tokens tell how far a chunk can reach. Each chunk is then counted exactly, and shortened in
//! the rare case that it is too large: a slice may have more tokens by itself than in its document (a word that was cut in two).

mod headings;
mod pieces;
mod structure;
pub mod title;
mod tokens;
mod words;

pub use tokens::{Tokenize, count};

use thiserror::Error;

use crate::protocol::{Chunk, ChunkOptions, Splitter};
use pieces::{Piece, PieceReader};

/// Sizes that are not valid.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ChunkError {
    /// No text fits.
    #[error("chunk size: expected at least 1 token, actual 0")]
    Size,
    /// A chunk would repeat the whole chunk before it.
    #[error("chunk overlap: expected less than the chunk size of {size} tokens, actual {overlap}")]
    Overlap {
        /// Tokens of a chunk.
        size: u32,
        /// Tokens that a chunk repeats.
        overlap: u32,
    },
}

/// Splits documents by fixed options.
#[derive(Debug, Clone, Copy)]
pub struct Cutter {
    splitter: Splitter,
    size: usize,
    overlap: usize,
}

impl Cutter {
    /// Checks the sizes.
    ///
    /// # Errors
    /// The size is zero, or the overlap is not less than the size.
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

    /// The chunks of a document, in its order, without those of only white space.
    ///
    /// # Errors
    /// Errors of the tokenizer.
    pub fn cut<T: Tokenize>(&self, document: &str, tokens: &T) -> Result<Vec<Chunk>, T::Error> {
        let mut reader = PieceReader::new(document, self.splitter, self.size, self.overlap, tokens);
        let mut pieces = Vec::new();
        while let Some(piece) = reader.next()? {
            pieces.push(piece);
        }
        let outline = reader.into_outline()?;
        // Texts that are kept between the many short-lived ones of a tokenizer would scatter these over a growing heap, so they are made last.
        let mut position = Position { document, byte: 0, character: 0 };
        let chunk = |piece: Piece<'_>| {
            let start = position.move_to(piece.offset);
            Chunk {
                content: piece.text.to_owned(),
                tokens: saturate(piece.tokens),
                start: saturate(start),
                end: saturate(start + piece.text.chars().count()),
                headings: outline.path_at(piece.offset),
            }
        };
        Ok(pieces.into_iter().map(chunk).collect())
    }
}

/// A place in a document, in bytes and in characters.
struct Position<'a> {
    document: &'a str,
    byte: usize,
    character: usize,
}

impl Position<'_> {
    /// Moves to a byte offset and returns its character offset. Only the characters in between are counted.
    fn move_to(&mut self, byte: usize) -> usize {
        let count = |from: usize, to: usize| self.document[from..to].chars().count();
        if byte >= self.byte {
            self.character += count(self.byte, byte);
        } else {
            self.character -= count(byte, self.byte);
        }
        self.byte = byte;
        self.character
    }
}

fn saturate(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests;
