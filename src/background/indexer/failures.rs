//! Handles a batch that failed: its rows are tried again, recorded as failed, or wait with their collection.

use super::Indexer;
use crate::background::provider_pauses::store;
use crate::background::suspects::AFTER_OTHERS;
use crate::collections::catalog::keys::Key;
use crate::collections::queue::failure;
use ragstone_pg::blame::{Blame, blame, is_duplicate, is_unexplained};
use ragstone_pg::error::{Error, Result};
use ragstone_pg::limited_transaction::{Limits, in_limited_transaction};

impl Indexer {
    /// Records the failure for the batch's only row, or tries the rows again in smaller batches, or pauses
    /// the collection.
    ///
    /// # Errors
    /// Errors of the environment, and errors of storing the failure.
    pub(super) fn fail(
        &mut self,
        collection: i64,
        model: &str,
        items: &[(Key, Vec<i64>)],
        error: &Error,
    ) -> Result<()> {
        for (key, ids) in items {
            self.in_flight.release(collection, key, ids);
        }
        self.pauses.batch_ended(collection, Err(error))?;
        match (blame(error), items) {
            (Blame::Row, [(key, ids)]) => self.charge(collection, key, ids, error),
            // The row failed alone again, so no other transaction is the cause: the key is not unique.
            (Blame::Transient, [(key, ids)])
                if is_duplicate(error) && self.in_flight.is_alone(collection, key) =>
            {
                self.charge(collection, key, ids, error)
            }
            (Blame::Row | Blame::Transient, _) => {
                self.in_flight.divide(collection, items);
                Ok(())
            }
            (Blame::Provider(_), _) if is_unexplained(error) => {
                self.fail_at_provider(collection, model, items, error)
            }
            (Blame::Collection | Blame::Provider(_) | Blame::Blocked | Blame::Environment, _) => {
                self.pauses.pause(&mut self.in_flight, collection, error)
            }
        }
    }

    /// Records the failure for a row if the provider fails at this row alone while it processes others.
    /// Otherwise pauses the provider's collections and halves the next batches of these rows; a row that was
    /// alone is then tried after others.
    fn fail_at_provider(
        &mut self,
        collection: i64,
        model: &str,
        items: &[(Key, Vec<i64>)],
        error: &Error,
    ) -> Result<()> {
        let is_to_blame = self.suspects.failed(collection, model, items.iter().map(|(key, _)| key));
        if let [(key, ids)] = items
            && is_to_blame
        {
            self.pauses.batch_dropped(collection);
            return self.charge(collection, key, ids, error);
        }
        self.in_flight.divide(collection, items);
        self.pauses.pause(&mut self.in_flight, collection, error)?;
        let [(key, ids)] = items else { return Ok(()) };
        let until = self.pauses.until(collection) + AFTER_OTHERS;
        self.in_flight.postpone_until(ids.iter().copied(), until);
        store(|| failure::put_off(collection, key))
    }

    fn charge(&mut self, collection: i64, key: &Key, ids: &[i64], error: &Error) -> Result<()> {
        self.in_flight.lift_limits(collection, std::iter::once(key));
        let recorded =
            in_limited_transaction(Limits::LocksAndTime, || failure::record(collection, key, ids, error));
        recorded.or_else(|error| match blame(&error) {
            Blame::Blocked => self.pauses.pause(&mut self.in_flight, collection, &error),
            _ => Err(error),
        })
    }
}
