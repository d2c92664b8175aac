//! How large a slice of a document is.

use std::cell::RefCell;

use text_splitter::ChunkSizer;

/// Counts a text's tokens, special tokens left out.
pub trait Tokenize {
    /// Why it cannot.
    type Error;

    /// Appends the byte offset in `text` at which each of its tokens begins, in ascending order.
    ///
    /// # Errors
    /// The tokenizer's own.
    fn starts(&self, text: &str, starts: &mut Vec<usize>) -> Result<(), Self::Error>;

    /// Number of tokens of `text`.
    ///
    /// # Errors
    /// The tokenizer's own.
    fn count(&self, text: &str) -> Result<usize, Self::Error>;
}

/// Knows where the tokens of one document begin.
pub struct DocumentSizer<'a, T> {
    document: &'a str,
    /// Ascending.
    starts: Vec<usize>,
    tokens: &'a T,
}

impl<'a, T: Tokenize> DocumentSizer<'a, T> {
    /// Tokenises a document, in blocks, so that memory is needed for one block's tokens and not for all.
    pub fn new(document: &'a str, tokens: &'a T) -> Result<Self, T::Error> {
        let mut starts = Vec::new();
        let mut block_start = 0;
        while block_start < document.len() {
            let block = block_at(document, block_start);
            let first = starts.len();
            tokens.starts(block, &mut starts)?;
            starts[first..].iter_mut().for_each(|start| *start += block_start);
            block_start += block.len();
        }
        Ok(Self { document, starts, tokens })
    }
}

impl<T: Tokenize> ChunkSizer for DocumentSizer<'_, T> {
    fn size(&self, slice: &str) -> usize {
        // The splitter only asks about slices of the document; where one lies says which tokens it has.
        let Some(from) = (slice.as_ptr() as usize).checked_sub(self.document.as_ptr() as usize) else {
            return self.tokens.count(slice).unwrap_or(usize::MAX);
        };
        let to = from + slice.len();
        if to > self.document.len() {
            return self.tokens.count(slice).unwrap_or(usize::MAX);
        }
        let first = self.starts.partition_point(|&start| start < from);
        let after = self.starts.partition_point(|&start| start < to);
        // A slice that begins inside a word has a token there all the same.
        let inside_word = self.starts.get(first) != Some(&from) && begins_inside_word(self.document, from);
        after - first + usize::from(inside_word && !slice.is_empty())
    }
}

/// Tokenises each slice anew.
pub struct ExactSizer<'a, T: Tokenize> {
    tokens: &'a T,
    error: RefCell<Option<T::Error>>,
}

impl<'a, T: Tokenize> ExactSizer<'a, T> {
    /// A sizer that counts with `tokens`.
    pub fn new(tokens: &'a T) -> Self {
        Self { tokens, error: RefCell::new(None) }
    }

    /// The first error, which the splitter had no way to report.
    pub fn finish(self) -> Result<(), T::Error> {
        self.error.into_inner().map_or(Ok(()), Err)
    }
}

impl<T: Tokenize> ChunkSizer for ExactSizer<'_, T> {
    fn size(&self, slice: &str) -> usize {
        match self.tokens.count(slice) {
            Ok(count) => count,
            Err(error) => {
                self.error.borrow_mut().get_or_insert(error);
                0
            }
        }
    }
}

/// Bytes that are tokenised together.
const BLOCK_BYTES: usize = 64 << 10;

/// The text from `start`, about a block long, up to white space if there is some.
fn block_at(document: &str, start: usize) -> &str {
    let rest = &document[start..];
    if rest.len() <= BLOCK_BYTES {
        return rest;
    }
    let block = &rest[..rest.floor_char_boundary(BLOCK_BYTES)];
    match block.rfind('\n').or_else(|| block.rfind(char::is_whitespace)) {
        Some(space) if space > 0 => &block[..space],
        _ => block,
    }
}

fn begins_inside_word(document: &str, offset: usize) -> bool {
    let is_word = |character: Option<char>| character.is_some_and(char::is_alphanumeric);
    is_word(document[..offset].chars().next_back()) && is_word(document[offset..].chars().next())
}
