//! Reads a document piece by piece from its beginning.

use super::{
    headings::Outline,
    structure::{Structure, beginning},
    tokens::{self, TokenStarts, Tokenize},
    words::Segmenter,
};
use crate::protocol::Splitter;

/// A slice of a document, without white space around it.
pub struct Piece<'a> {
    /// Offset in the document, bytes.
    pub offset: usize,
    /// The text; never empty.
    pub text: &'a str,
    /// Number of tokens of `text` by itself.
    pub tokens: usize,
}

/// The pieces of a document, in its order. The part of the document that is read, and the time that a piece takes, depend
/// on the size of a piece and not on what follows it.
pub struct PieceReader<'a, T> {
    document: &'a str,
    splitter: Splitter,
    size: usize,
    overlap: usize,
    tokens: &'a T,
    starts: TokenStarts<'a, T>,
    structure: Structure<'a>,
    segmenter: Segmenter,
    /// Offset at which the next piece begins.
    cursor: usize,
    /// Offset at which the last piece ended.
    end: usize,
    /// The ends of the sections that make up the last piece.
    boundaries: Vec<usize>,
    /// Number of bytes that were searched for boundaries.
    #[cfg(test)]
    pub searched_bytes: usize,
}

impl<'a, T: Tokenize> PieceReader<'a, T> {
    /// Reads pieces of at most `size` tokens, each of which repeats up to `overlap` tokens of the one before.
    pub fn new(document: &'a str, splitter: Splitter, size: usize, overlap: usize, tokens: &'a T) -> Self {
        Self {
            document,
            splitter,
            size,
            overlap,
            tokens,
            starts: TokenStarts::new(document, tokens),
            structure: Structure::new(document, splitter),
            segmenter: Segmenter::new(),
            cursor: beginning(document),
            end: 0,
            boundaries: Vec::new(),
            #[cfg(test)]
            searched_bytes: 0,
        }
    }

    /// The next piece.
    ///
    /// # Errors
    /// Errors of the tokenizer.
    pub fn next(&mut self) -> Result<Option<Piece<'a>>, T::Error> {
        while self.cursor < self.document.len() {
            let (end, piece) = self.longest()?;
            self.cursor = self.next_cursor(end);
            self.starts.forget(self.cursor);
            self.structure.forget(self.cursor);
            let piece_end = piece.offset + piece.text.len();
            // A piece that only repeats the end of the last one is skipped.
            if !piece.text.trim().is_empty() && piece_end > self.end {
                self.end = piece_end;
                return Ok(Some(piece));
            }
        }
        Ok(None)
    }

    /// The headings of the whole document.
    ///
    /// # Errors
    /// The tokenizer's own.
    pub fn into_outline(mut self) -> Result<Outline, T::Error> {
        while self.splitter == Splitter::Markdown && self.structure.read_more() {
            self.tokens.check()?;
        }
        Ok(self.structure.into_outline())
    }

    /// The longest piece that begins at the cursor, and the end of its sections.
    fn longest(&mut self) -> Result<(usize, Piece<'a>), T::Error> {
        let mut allowed = self.size;
        let mut tries = 0;
        loop {
            let limit = self.starts.reach(self.cursor, allowed)?;
            let end = self.last_boundary(limit);
            let (offset, text) = self.trim(self.cursor, end);
            let tokens = tokens::count(text, self.tokens)?;
            if tokens <= self.size || allowed == 0 {
                return Ok((end, Piece { offset, text, tokens }));
            }
            // By itself it has more tokens than in the document.
            allowed = if tries == 0 { allowed.saturating_sub(tokens - self.size) } else { allowed / 2 };
            tries += 1;
        }
    }

    /// The end of the piece, which may reach `limit`.
    fn last_boundary(&mut self, limit: usize) -> usize {
        self.boundaries.clear();
        let rest = &self.document[limit..];
        let limit = limit + rest.len() - rest.trim_start().len();
        if limit == self.document.len() {
            return limit;
        }
        #[cfg(test)]
        {
            self.searched_bytes += limit - self.cursor;
        }
        self.structure.boundaries(self.cursor, limit, &mut self.boundaries);
        if self.boundaries.is_empty() {
            self.segmenter.boundaries(self.document, self.cursor, limit, &mut self.boundaries);
        }
        let first_character = || self.document[self.cursor..].chars().next().map_or(0, char::len_utf8);
        self.boundaries.last().copied().unwrap_or_else(|| self.cursor + first_character())
    }

    /// The first boundary after the cursor from which the distance to `end` is at most the overlap; `end` if there is none.
    fn next_cursor(&self, end: usize) -> usize {
        if self.overlap == 0 || end == self.document.len() {
            return end;
        }
        let is_too_far = |boundary: &usize| {
            let (from, text) = self.trim(*boundary, end);
            self.starts.count(from, from + text.len()) > self.overlap
        };
        let first = self.boundaries.partition_point(is_too_far);
        self.boundaries.get(first).copied().unwrap_or(end)
    }

    /// A slice without surrounding white space. In Markdown, lines keep their indentation.
    fn trim(&self, from: usize, to: usize) -> (usize, &'a str) {
        let text = self.document[from..to].trim_end();
        let keeps_indentation =
            self.splitter == Splitter::Markdown && text.trim_start().contains(['\n', '\r']);
        let trimmed =
            if keeps_indentation { text.trim_start_matches(['\n', '\r']) } else { text.trim_start() };
        (from + text.len() - trimmed.len(), trimmed)
    }
}
