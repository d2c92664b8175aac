//! Who may tokenise: turns by the size of what is tokenised.

use std::sync::Arc;

use super::{
    fair_queue::Client,
    turns::{Turn, Turns},
};

/// The turns of requests that are tokenised: those with little text do not wait for those with much.
pub struct TokenizerTurns {
    short: Arc<Turns>,
    long: Arc<Turns>,
}

impl TokenizerTurns {
    /// The turns on a machine with so many processors: all of these for one role, and as many again for others.
    pub fn new(processors: usize) -> Self {
        Self { short: Turns::new(2 * processors), long: Turns::new(2 * processors) }
    }

    /// How many threads work on requests that have turns.
    pub fn threads(processors: usize) -> usize {
        4 * processors
    }

    /// Waits for a turn. Dropping the future gives up waiting.
    pub async fn take(&self, order: WorkOrder) -> Turn {
        let turns = if order.bytes <= MAX_SHORT_BYTES { &self.short } else { &self.long };
        turns.take(order.client).await
    }
}

/// Texts up to this size are short; it takes some 50 ms.
const MAX_SHORT_BYTES: usize = 64 << 10;

/// Who has texts tokenised, and how many bytes of them.
#[derive(Debug, Clone, Copy)]
pub struct WorkOrder {
    client: Client,
    bytes: usize,
}

impl WorkOrder {
    /// Texts to embed, of which the tokenizer reads no more than the model does: they do not wait for documents that are cut.
    pub fn to_embed(client: Client) -> Self {
        Self { client, bytes: 0 }
    }

    /// These texts as a whole.
    pub fn of(client: Client, texts: &[String]) -> Self {
        Self { client, bytes: texts.iter().map(String::len).sum() }
    }
}
