//! What calls of providers may take, take, and have taken: budgets are reserved here before a call, and a record of each
//! call waits here until its database's worker has written it down.

use std::sync::Arc;

use ragstone_core::{
    protocol::FailureKind,
    provider::{Account, Call, Spent, Target, Usage},
};

use crate::failure::Error;

/// The records of all databases, and what budgets have left.
#[derive(Default)]
pub struct Ledger {}

/// A call under way. Dropped before its end, it is recorded as cancelled.
pub struct Entry {}

impl Ledger {
    /// Opens the record of a call, and takes its estimated cost from all budgets of the account.
    ///
    /// # Errors
    /// [`FailureKind::BudgetSpent`], and the call is recorded as failed.
    pub fn open(
        self: &Arc<Self>,
        _target: &Target,
        _model: &str,
        _account: &Account,
        _estimate: Spent,
        _prompt: impl FnOnce() -> String,
    ) -> Result<Entry, Error> {
        Ok(Entry {})
    }

    /// Gives the calls of a database that have ended, as soon as there are some, and forgets those written down.
    pub fn take(&self, _database: u32, _written: u64, _answer: impl FnOnce(Vec<Call>, u64) + Send + 'static) {
    }
}

impl Entry {
    /// The call is tried once more.
    pub fn retry(&mut self) {}

    /// The call was answered.
    pub fn answered(self, _usage: Usage, _reply: &str) {}

    /// The call failed; what its tries took all the same is in `usage`.
    pub fn failed(self, _kind: FailureKind, _usage: Usage) {}
}
