//! What the calls of all sessions share.

use std::sync::Arc;

use super::{client::HttpClients, rate_limit::RateLimiters};
use crate::ledger::Ledger;

/// HTTP connections, rate limits and the ledger of all calls to providers.
#[derive(Default)]
pub struct Calls {
    pub(super) clients: HttpClients,
    pub(super) rate_limiters: RateLimiters,
    ledger: Arc<Ledger>,
}

impl Calls {
    /// Budgets, and the records of calls that are not written yet.
    pub fn ledger(&self) -> &Arc<Ledger> {
        &self.ledger
    }
}
