//! Finds where the tokens of a document begin.

/// Counts the tokens of a text, without special tokens.
pub trait Tokenize {
    /// The error of the tokenizer.
    type Error;

    /// Appends the byte offset in `text` at which each of its tokens begins, in ascending order.
    ///
    /// # Errors
    /// Errors of the tokenizer.
    fn starts(&self, text: &str, starts: &mut Vec<usize>) -> Result<(), Self::Error>;

    /// Number of tokens of `text`.
    ///
    /// # Errors
    /// Errors of the tokenizer.
    fn count(&self, text: &str) -> Result<usize, Self::Error>;

    /// Called at every step of a split; its error ends the split.
    ///
    /// # Errors
    /// The split is to end, for example because it was cancelled.
    fn check(&self) -> Result<(), Self::Error> {
        Ok(())
    }
}

/// Number of tokens of a text. It is tokenised in blocks, so that a long text takes little memory and can be cancelled.
///
/// # Errors
/// Errors of the tokenizer.
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

/// The offsets of the tokens of one document, as far as it has been read.
pub struct TokenStarts<'a, T> {
    document: &'a str,
    tokens: &'a T,
    /// Offsets of tokens, ascending.
    starts: Vec<usize>,
    /// Number of leading `starts` that are no longer needed.
    passed: usize,
    /// Bytes of the document that have been tokenised.
    read: usize,
}

impl<'a, T: Tokenize> TokenStarts<'a, T> {
    /// Begins with nothing read.
    pub fn new(document: &'a str, tokens: &'a T) -> Self {
        Self { document, tokens, starts: Vec::new(), passed: 0, read: 0 }
    }

    /// The end of the longest slice from `from` with at most `tokens` tokens. [`MAX_TOKEN_BYTES`] bounds its length.
    ///
    /// # Errors
    /// Errors of the tokenizer.
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

    /// Number of tokens from `from` to `to`, which must have been reached.
    pub fn count(&self, from: usize, to: usize) -> usize {
        let first = self.number_at(from);
        self.number_at(to) - first + self.token_inside(first, from)
    }

    /// Forgets the tokens before `offset`; the caller does not need them again.
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

    /// 1 if a slice from `from` begins inside a word, whose rest is then a token of the slice.
    fn token_inside(&self, first: usize, from: usize) -> usize {
        let begins_at_token = self.starts.get(first) == Some(&from);
        usize::from(!begins_at_token && begins_inside_word(self.document, from))
    }

    fn read_block(&mut self) -> Result<(), T::Error> {
        self.tokens.check()?;
        let block = block_at(self.document, self.read);
        let first = self.starts.len();
        self.tokens.starts(block, &mut self.starts)?;
        divide_unknown(block, &mut self.starts, first);
        self.starts[first..].iter_mut().for_each(|start| *start += self.read);
        self.read += block.len();
        Ok(())
    }
}

/// Lets a stretch that is one token, since the model does not know it, begin as many tokens as it would have otherwise. `starts` are
/// those of the tokens of the block from the number `first` on.
fn divide_unknown(block: &str, starts: &mut Vec<usize>, first: usize) {
    let mut more = Vec::new();
    let ends = starts[first..].iter().copied().chain([block.len()]);
    for (from, to) in [0].into_iter().chain(starts[first..].iter().copied()).zip(ends) {
        if to.saturating_sub(from) <= MAX_KNOWN_CHARACTERS {
            continue;
        }
        let visible = || block[from..to].char_indices().filter(|(_, character)| !character.is_whitespace());
        if visible().nth(MAX_KNOWN_CHARACTERS).is_some() {
            let places = visible().step_by(USUAL_CHARACTERS).map(|(place, _)| from + place);
            more.extend(places.filter(|place| *place != from));
        }
    }
    if !more.is_empty() {
        starts.extend(more);
        starts[first..].sort_unstable();
    }
}

/// Characters that no token of a word has that a model knows.
const MAX_KNOWN_CHARACTERS: usize = 32;

/// Characters of a token on average, in words that a model knows.
const USUAL_CHARACTERS: usize = 4;

/// More bytes than the tokens of a chunk have on average in any language, so that white space, of which there may be any
/// amount between two tokens, makes no chunk long.
const MAX_TOKEN_BYTES: usize = 64;

/// Number of bytes that are tokenised together.
const BLOCK_BYTES: usize = 64 << 10;

/// About one block of text from `start`, up to white space if there is any.
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
