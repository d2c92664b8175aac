//! What remains to be done for a collection after its rows have been indexed, and the comparison of keys at intervals.

use crate::background::pauses::Pauses;
use crate::collections::capture::reconcile;
use crate::collections::catalog::collection::Collection;
use crate::collections::catalog::statements::CompareDepth;
use crate::collections::indexing::progress::ProgressReport;
use crate::collections::lifecycle::settle;
use crate::collections::lifecycle::settle::Settled;
use crate::collections::queue::claim::InFlight;
use ragstone_client::settings;
use ragstone_pg::error::Result;
use ragstone_pg::extension;
use ragstone_pg::limited_transaction::{Limits, in_limited_transaction};
use ragstone_pg::spi::connect;
use std::collections::{HashMap, HashSet};
use std::time::Instant;

/// Number of new rows in a terms table after which they are merged before the queue is empty.
const MERGE_THRESHOLD: i64 = 1_000_000;

/// The collections that a worker has worked on, with what it has done for them.
pub struct Settling {
    /// Collections that are not known to be current.
    touched: HashSet<i64>,
    rates: HashMap<i64, ProgressReport>,
    /// Rows that were added to the terms table since it was last merged.
    appended: HashMap<i64, i64>,
    compared_at: Instant,
}

impl Settling {
    /// The state of a worker that starts. All followed collections count as touched, since the worker before may have left
    /// something unfinished.
    pub fn new() -> Self {
        let followed = in_limited_transaction(Limits::Locks, || {
            connect(|| if extension::is_installed()? { settle::followed() } else { Ok(Vec::new()) })
        });
        let touched = followed.unwrap_or_default().into_iter().map(|collection| collection.id).collect();
        Self { touched, rates: HashMap::new(), appended: HashMap::new(), compared_at: Instant::now() }
    }

    /// Whether every collection is known to be current.
    pub fn is_done(&self) -> bool {
        self.touched.is_empty()
    }

    /// Notes that there is work for a collection.
    pub fn touch(&mut self, collection: i64) {
        self.touched.insert(collection);
    }

    /// The rate at which a collection is indexed.
    pub fn rate(&mut self, collection: &Collection) -> &mut ProgressReport {
        self.rates.entry(collection.id).or_insert_with(|| ProgressReport::start(&collection.name))
    }

    /// Counts rows that were added to the terms table of a collection.
    pub fn add_terms(&mut self, collection: i64, rows: i64) {
        *self.appended.entry(collection).or_insert(0) += rows;
    }

    /// Merges the terms table of a collection if it has very many new rows.
    pub fn merge_terms(
        &mut self,
        collection: i64,
        pauses: &mut Pauses,
        in_flight: &mut InFlight,
    ) -> Result<()> {
        if self.appended.get(&collection).is_some_and(|appended| *appended >= MERGE_THRESHOLD) {
            self.appended.insert(collection, 0);
            if let Err(error) = settle::merge_terms_while_busy(collection) {
                return pauses.pause(in_flight, collection, &error);
            }
        }
        Ok(())
    }

    /// Settles the collections that have no work left. Returns whether it settled any.
    pub fn settle(&mut self, pauses: &mut Pauses, in_flight: &mut InFlight) -> Result<bool> {
        let mut any = false;
        for id in self.touched.iter().copied().collect::<Vec<_>>() {
            // The worker before may have left many.
            let appended = self.appended.get(&id).copied().unwrap_or(i64::MAX);
            match settle::settle(id, appended) {
                Ok(Settled::Later) => {}
                Ok(Settled::Done) => {
                    any = true;
                    pauses.clear(id)?;
                    self.touched.remove(&id);
                    self.rates.remove(&id);
                    if appended >= settle::MIN_APPENDED_TERMS {
                        self.appended.insert(id, 0);
                    }
                }
                Err(error) => pauses.pause(in_flight, id, &error)?,
            }
        }
        Ok(any)
    }

    /// Compares the keys of all followed collections with their sources, if `rag.sync_compare_interval` has passed.
    pub fn compare_due(&mut self, pauses: &mut Pauses, in_flight: &mut InFlight) -> Result<()> {
        if self.compared_at.elapsed() < settings::sync_compare_interval() {
            return Ok(());
        }
        self.compared_at = Instant::now();
        for mut collection in in_limited_transaction(Limits::Locks, || connect(settle::followed))? {
            let compared = in_limited_transaction(Limits::Locks, || {
                reconcile::compare(&mut collection, CompareDepth::Keys)
            });
            if let Err(error) = compared {
                pauses.pause(in_flight, collection.id, &error)?;
            }
        }
        Ok(())
    }
}
