//! The state that the calls of all sessions share.

use std::sync::Arc;

use super::{client::HttpClients, known_models::KnownModels, rate_limit::RateLimiters};
use crate::{ledger::Ledger, scheduler::turns::Turns};

/// How many schemas are read or checked at a time.
pub const MAX_SCHEMAS_AT_ONCE: usize = 2;

/// HTTP connections, rate limits, what is known about models and the ledger of all calls to providers, and the turns of what takes a processor for a while.
pub struct Calls {
    pub(super) clients: HttpClients,
    pub(super) rate_limiters: RateLimiters,
    pub(super) schema_turns: Arc<Turns>,
    pub(super) known_models: KnownModels,
    ledger: Arc<Ledger>,
}

impl Default for Calls {
    fn default() -> Self {
        Self {
            clients: HttpClients::default(),
            rate_limiters: RateLimiters::default(),
            schema_turns: Turns::new(MAX_SCHEMAS_AT_ONCE),
            known_models: KnownModels::default(),
            ledger: Arc::default(),
        }
    }
}

impl Calls {
    /// Budgets, and the records of calls that are not written yet.
    pub fn ledger(&self) -> &Arc<Ledger> {
        &self.ledger
    }
}
