//! Pauses of collections after failures.

use crate::collections::queue::claim::InFlight;
use crate::collections::queue::failure;
use ragstone_core::backoff::Backoff;
use ragstone_pg::attempt::in_transaction;
use ragstone_pg::blame::{Blame, blame};
use ragstone_pg::error::{Error, Result};
use ragstone_pg::own_tables::with_safe_search_path;
use ragstone_pg::spi::connect;
use std::collections::HashMap;
use std::time::{Duration, Instant};

/// Pauses after a failure that is not to be charged to a row.
pub const BACKOFF: Backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(10));

/// The backoff of each collection that has failed since it was last written.
#[derive(Default)]
pub struct Pauses(HashMap<i64, Backoff>);

impl Pauses {
    /// Pauses a collection, and stores the error in its row if the cause is the collection or the row.
    ///
    /// # Errors
    /// The error itself if the environment caused it; an error of storing it.
    pub fn pause(&mut self, in_flight: &mut InFlight, collection: i64, error: &Error) -> Result<()> {
        let backoff = self.0.entry(collection).or_insert(BACKOFF);
        let is_first = backoff.is_idle();
        in_flight.paused.insert(collection, Instant::now() + backoff.next_pause());
        match blame(error) {
            Blame::Transient => Ok(()),
            // A column may have been renamed since the collection was read. A lasting error occurs again the next time.
            Blame::Collection if is_first => Ok(()),
            Blame::Environment => Err(error.clone()),
            Blame::Row | Blame::Collection => in_transaction(|| {
                with_safe_search_path(|| connect(|| failure::set_error(collection, Some(error))))
            }),
        }
    }

    /// Forgets the failures of a collection after a success.
    pub fn clear(&mut self, collection: i64) {
        self.0.remove(&collection);
    }
}
