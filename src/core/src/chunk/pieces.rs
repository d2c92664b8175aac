//! Takes one piece after the other from the beginning of a document.

use super::{
    structure::Structure,
    tokens::{self, TokenStarts, Tokenize},
    words::Segmenter,
};
use crate::protocol::Splitter;

/// A slice of a document, without white space around it.
pub struct Piece<'a> {
    /// In bytes.
    pub offset: usize,
    /// Not empty.
    pub text: &'a str,
    /// Tokens of `text` alone.
    pub tokens: usize,
}

/// The pieces of a document in its order. What is read of the document, and the time that a piece takes, depend on the size
/// of a piece and not on what follows it.
pub struct PieceReader<'a, T> {
    document: &'a str,
    splitter: Splitter,
    size: usize,
    overlap: usize,
    tokens: &'a T,
    starts: TokenStarts<'a, T>,
    structure: Structure<'a>,
    segmenter: Segmenter,
    /// Where the next piece begins.
    cursor: usize,
    /// Where the last piece ended.
    end: usize,
    /// Where the sections end of which the last piece was made.
    boundaries: Vec<usize>,
    /// Bytes among which boundaries were looked for.
    #[cfg(test)]
    pub searched_bytes: usize,
}

impl<'a, T: Tokenize> PieceReader<'a, T> {
    /// PieceReader of at most `size` tokens, which repeat up to `overlap` tokens of the one before.
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
            cursor: 0,
            end: 0,
            boundaries: Vec::new(),
            #[cfg(test)]
            searched_bytes: 0,
        }
    }

    /// The next piece.
    ///
    /// # Errors
    /// The tokenizer's own.
    pub fn next(&mut self) -> Result<Option<Piece<'a>>, T::Error> {
        while self.cursor < self.document.len() {
            let (end, piece) = self.longest()?;
            self.cursor = self.next_cursor(end);
            self.starts.forget(self.cursor);
            self.structure.forget(self.cursor);
            let piece_end = piece.offset + piece.text.len();
            // What repeats the last piece and adds nothing is no piece of its own.
            if !piece.text.trim().is_empty() && piece_end > self.end {
                self.end = piece_end;
                return Ok(Some(piece));
            }
        }
        Ok(None)
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
            // Alone it has more tokens than in the document.
            allowed = if tries == 0 { allowed.saturating_sub(tokens - self.size) } else { allowed / 2 };
            tries += 1;
        }
    }

    /// Where a piece ends that may reach `limit`.
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

    /// The first boundary after the cursor from which `end` is not farther than the overlap, if there is one.
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

    /// A slice without white space around it. In Markdown lines keep their indentation.
    fn trim(&self, from: usize, to: usize) -> (usize, &'a str) {
        let text = self.document[from..to].trim_end();
        let keeps_indentation =
            self.splitter == Splitter::Markdown && text.trim_start().contains(['\n', '\r']);
        let trimmed =
            if keeps_indentation { text.trim_start_matches(['\n', '\r']) } else { text.trim_start() };
        (from + text.len() - trimmed.len(), trimmed)
    }
}
