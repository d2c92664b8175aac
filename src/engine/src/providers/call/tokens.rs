//! Tokens of requests and answers: estimated, and as a provider reports them.

/// Tokens of a request and its answer.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct TokenCounts {
    /// Tokens of the prompt, or of the texts to embed.
    pub input: u64,
    /// Tokens of the answer.
    pub output: u64,
}

impl TokenCounts {
    /// Counts that a provider reports of a call of which these are estimated. A provider may report any number, and budgets over
    /// several providers go by it, so they are bounded by what the call can have taken.
    pub fn reported(self, input: u64, output: u64) -> Self {
        let max_input = self.input.saturating_mul(BYTES_PER_TOKEN).saturating_add(MAX_UNSEEN_TOKENS);
        Self { input: input.min(max_input), output: output.min(self.output.max(MAX_UNSEEN_TOKENS)) }
    }

    /// Input and output together.
    pub fn sum(self) -> u64 {
        self.input + self.output
    }
}

/// Estimated length of a token. No token is shorter than a byte.
const BYTES_PER_TOKEN: u64 = 4;

/// More tokens than a call takes for what is not seen here: instructions and search results that a provider adds to the prompt,
/// thoughts of the model, and an answer without a maximum.
const MAX_UNSEEN_TOKENS: u64 = 1_000_000;

/// Estimated tokens of a text of this many bytes.
pub fn estimate_tokens(bytes: usize) -> u64 {
    (bytes as u64).div_ceil(BYTES_PER_TOKEN)
}
