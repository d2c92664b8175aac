//! Pauses of collections after failures.

use crate::collections::queue::claim::InFlight;
use crate::collections::queue::failure;
use pgrx::log;
use ragstone_core::backoff::Backoff;
use ragstone_pg::attempt::in_transaction;
use ragstone_pg::blame::{Blame, blame};
use ragstone_pg::error::{Error, Result};
use ragstone_pg::extension::is_installed;
use ragstone_pg::own_tables::with_safe_search_path;
use ragstone_pg::spi::connect;
use std::collections::HashMap;
use std::time::{Duration, Instant};

/// Pauses after a failure that is not to be charged to a row.
pub const BACKOFF: Backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(10));

/// The backoff of each collection that has failed since it was last written.
#[derive(Default)]
pub struct Pauses(HashMap<i64, Pause>);

struct Pause {
    backoff: Backoff,
    /// SQLSTATE of the failure that users see the collection wait after.
    shown: Option<String>,
}

impl Pauses {
    /// Pauses a collection. Its row has the error if the collection or a row is the cause; if a provider or the environment is,
    /// `rag.stat_collection` says why the collection waits, and until when.
    ///
    /// # Errors
    /// The error itself if the environment caused it; an error of storing it.
    pub fn pause(&mut self, in_flight: &mut InFlight, collection: i64, error: &Error) -> Result<()> {
        let pause = self.0.entry(collection).or_insert(Pause { backoff: BACKOFF, shown: None });
        let is_first = pause.backoff.is_idle();
        let length = pause.backoff.next_pause();
        in_flight.paused.insert(collection, Instant::now() + length);
        match blame(error) {
            Blame::Transient => Ok(()),
            // A column may have been renamed since the collection was read. A lasting error occurs again the next time.
            Blame::Collection if is_first => Ok(()),
            Blame::Row | Blame::Collection => store(|| failure::set_error(collection, Some(error))),
            blame @ (Blame::Provider | Blame::Environment) => {
                let code = error.code();
                if blame == Blame::Provider && pause.shown.as_ref() != Some(&code) {
                    log!("ragstone worker: a collection waits for its provider: {code}: {}", error.message);
                }
                pause.shown = Some(code);
                store(|| failure::set_waiting(collection, length, error))?;
                if blame == Blame::Environment { Err(error.clone()) } else { Ok(()) }
            }
        }
    }

    /// Withdraws what former workers have said that collections wait for: this one finds out anew.
    pub fn forget_former() {
        let forget = || if is_installed()? { failure::clear_waiting(None) } else { Ok(()) };
        if let Err(error) = store(forget) {
            log!("ragstone worker: could not withdraw what collections waited for: {}", error.message);
        }
    }

    /// Forgets the failures of a collection after a success.
    ///
    /// # Errors
    /// That of withdrawing what users see.
    pub fn clear(&mut self, collection: i64) -> Result<()> {
        match self.0.remove(&collection) {
            Some(Pause { shown: Some(_), .. }) => store(|| failure::clear_waiting(Some(collection))),
            _ => Ok(()),
        }
    }
}

fn store(write: impl FnOnce() -> Result<()>) -> Result<()> {
    in_transaction(|| with_safe_search_path(|| connect(write)))
}
