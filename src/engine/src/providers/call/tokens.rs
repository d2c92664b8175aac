//! Token counts of requests and answers: estimates, and what a provider reports.

/// Tokens of a request and its answer.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct TokenCounts {
    /// Tokens of the prompt, or of the texts to embed.
    pub input: u64,
    /// Tokens of the answer.
    pub output: u64,
}

impl TokenCounts {
    /// The counts that a provider reports for a call with this estimate, bounded by what the call can have used: a
    /// provider may report any number, and budgets that cover several providers rely on it.
    pub fn reported(self, input: u64, output: u64) -> Self {
        let max_input = self.input.saturating_mul(BYTES_PER_TOKEN).saturating_add(MAX_UNSEEN_TOKENS);
        Self { input: input.min(max_input), output: output.min(self.output.max(MAX_UNSEEN_TOKENS)) }
    }

    /// Input and output together.
    pub fn sum(self) -> u64 {
        self.input + self.output
    }
}

/// Estimated bytes of a token. A token has at least one byte, so a call uses at most this many times its estimate.
const BYTES_PER_TOKEN: u64 = 4;

/// Upper limit of the tokens that an estimate does not see: instructions and search results that a provider adds to the
/// prompt, thoughts of the model, and an answer without a maximum.
const MAX_UNSEEN_TOKENS: u64 = 1_000_000;

/// Estimated tokens of a text of this many bytes.
pub fn estimate_tokens(bytes: usize) -> u64 {
    (bytes as u64).div_ceil(BYTES_PER_TOKEN)
}
