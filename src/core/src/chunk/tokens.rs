//! Where the tokens of a document begin.

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

    /// Called at every step of a cut, which ends with its error.
    ///
    /// # Errors
    /// The cut is to end.
    fn check(&self) -> Result<(), Self::Error> {
        Ok(())
    }
}

/// Number of tokens of a text, which is tokenised in blocks, so that a long one takes little memory and can be given up.
///
/// # Errors
/// The tokenizer's own.
pub fn count<T: Tokenize>(text: &str, tokens: &T) -> Result<usize, T::Error> {
    let (mut read, mut counted) = (0, 0);
    while read < text.len() {
        tokens.check()?;
        let block = block_at(text, read);
        counted += tokens.count(block)?;
        read += block.len();
    }
    Ok(counted)
}

/// Knows where the tokens of one document begin, as far as it has been read.
pub struct TokenStarts<'a, T> {
    document: &'a str,
    tokens: &'a T,
    /// Ascending.
    starts: Vec<usize>,
    /// How many of `starts` are no longer needed.
    passed: usize,
    /// Bytes of the document that have been tokenised.
    read: usize,
}

impl<'a, T: Tokenize> TokenStarts<'a, T> {
    /// Nothing has been read yet.
    pub fn new(document: &'a str, tokens: &'a T) -> Self {
        Self { document, tokens, starts: Vec::new(), passed: 0, read: 0 }
    }

    /// How far a slice from `from` on can reach with at most `tokens` tokens, none of them longer than tokens of text are.
    ///
    /// # Errors
    /// The tokenizer's own.
    pub fn reach(&mut self, from: usize, tokens: usize) -> Result<usize, T::Error> {
        while self.read <= from && self.read < self.document.len() {
            self.read_block()?;
        }
        let first = self.number_at(from);
        let after = (first + tokens).saturating_sub(self.token_inside(first, from));
        let farthest = from.saturating_add(tokens.saturating_mul(MAX_TOKEN_BYTES)).min(self.document.len());
        while self.starts.len() <= after && self.read < farthest {
            self.read_block()?;
        }
        let end = self.starts.get(after).map_or(farthest, |start| farthest.min(*start));
        Ok(self.document.floor_char_boundary(end))
    }

    /// Number of tokens from `from` to `to`, which has been reached.
    pub fn count(&self, from: usize, to: usize) -> usize {
        let first = self.number_at(from);
        self.number_at(to) - first + self.token_inside(first, from)
    }

    /// Forgets the tokens before `offset`, of which no one asks again.
    pub fn forget(&mut self, offset: usize) {
        self.passed = self.number_at(offset);
        if self.passed > self.starts.len() / 2 {
            self.starts.drain(..self.passed);
            self.passed = 0;
        }
    }

    /// The number of the first token that begins at `offset` or after it.
    fn number_at(&self, offset: usize) -> usize {
        self.passed + self.starts[self.passed..].partition_point(|&start| start < offset)
    }

    /// 1 if a slice from `from` on begins inside a word, where it has a token all the same.
    fn token_inside(&self, first: usize, from: usize) -> usize {
        let begins_at_token = self.starts.get(first) == Some(&from);
        usize::from(!begins_at_token && begins_inside_word(self.document, from))
    }

    fn read_block(&mut self) -> Result<(), T::Error> {
        self.tokens.check()?;
        let block = block_at(self.document, self.read);
        let first = self.starts.len();
        self.tokens.starts(block, &mut self.starts)?;
        self.starts[first..].iter_mut().for_each(|start| *start += self.read);
        self.read += block.len();
        Ok(())
    }
}

/// More bytes than the tokens of a chunk have on average in any language, so that a stretch of words that a model does not
/// know, which may be one token, is not one chunk.
const MAX_TOKEN_BYTES: usize = 64;

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
