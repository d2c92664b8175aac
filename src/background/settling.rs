//! The work that remains for a collection after its rows were indexed, and the comparison of keys at
//! intervals.

use crate::background::pauses::Pauses;
use crate::collections::capture::reconcile;
use crate::collections::catalog::collection::{Collection, TableUse};
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
use std::time::{Duration, Instant};

/// Number of new segments at which some are merged although the queue is not empty.
const MERGE_THRESHOLD: usize = 32;

/// Interval of the check for segments that writers have added.
const SEGMENTS_INTERVAL: Duration = Duration::from_secs(2);

/// The collections that a worker has worked on, and the state of that work.
pub struct Settling {
    /// Collections that may not be current.
    touched: HashSet<i64>,
    rates: HashMap<i64, ProgressReport>,
    /// Number of segments added to each text index since its last merge.
    segments: HashMap<i64, usize>,
    compared_at: Instant,
    looked_for_segments_at: Instant,
}

impl Settling {
    /// The state of a worker that starts. All followed collections count as touched, because the previous
    /// worker may have left work unfinished.
    pub fn new() -> Self {
        let followed = in_limited_transaction(Limits::Locks, || {
            connect(|| if extension::is_installed()? { settle::followed() } else { Ok(Vec::new()) })
        });
        let touched = followed.unwrap_or_default().into_iter().map(|collection| collection.id).collect();
        let now = Instant::now();
        Self {
            touched,
            rates: HashMap::new(),
            segments: HashMap::new(),
            compared_at: now,
            looked_for_segments_at: now,
        }
    }

    /// True if every collection is known to be current.
    pub fn is_done(&self) -> bool {
        self.touched.is_empty()
    }

    /// Records that there is work for a collection.
    pub fn touch(&mut self, collection: i64) {
        self.touched.insert(collection);
    }

    /// The progress report of a collection.
    pub fn rate(&mut self, collection: &Collection) -> &mut ProgressReport {
        if self.rates.get(&collection.id).is_some_and(|report| !report.is_of(&collection.name)) {
            self.rates.remove(&collection.id);
        }
        self.rates.entry(collection.id).or_insert_with(|| ProgressReport::start(&collection.name))
    }

    /// Counts segments that were added to the text index of a collection.
    pub fn add_segments(&mut self, collection: i64, segments: usize) {
        *self.segments.entry(collection).or_insert(0) += segments;
    }

    /// Merges segments of a collection if it has many new ones.
    pub fn merge_segments(
        &mut self,
        collection: i64,
        pauses: &mut Pauses,
        in_flight: &mut InFlight,
    ) -> Result<()> {
        if self.segments.get(&collection).is_some_and(|segments| *segments >= MERGE_THRESHOLD) {
            self.segments.insert(collection, 0);
            pauses.hand_over_providers();
            if let Err(error) = settle::merge_while_busy(collection) {
                return pauses.pause(in_flight, collection, &error);
            }
        }
        Ok(())
    }

    /// Settles the collections that have no work left. Returns true if it settled any.
    pub fn settle(&mut self, pauses: &mut Pauses, in_flight: &mut InFlight) -> Result<bool> {
        let mut any = false;
        let touched = self.touched.iter().copied().filter(|id| !in_flight.rests_now(*id));
        for id in touched.collect::<Vec<_>>() {
            match settle::settle(id, || pauses.hand_over_providers()) {
                Ok(Settled::Later) => {}
                Ok(Settled::Done) => {
                    any = true;
                    pauses.clear(id)?;
                    self.touched.remove(&id);
                    self.rates.remove(&id);
                    self.segments.remove(&id);
                }
                Err(error) => pauses.pause(in_flight, id, &error)?,
            }
        }
        Ok(any)
    }

    /// Merges segments that writers have added, if there are many or if many chunks were deleted.
    pub fn merge_due(&mut self, pauses: &mut Pauses, in_flight: &mut InFlight) -> Result<()> {
        if self.looked_for_segments_at.elapsed() < SEGMENTS_INTERVAL {
            return Ok(());
        }
        self.looked_for_segments_at = Instant::now();
        let extension = || if extension::is_installed()? { settle::filled() } else { Ok(Vec::new()) };
        let mut filled = in_limited_transaction(Limits::Locks, || connect(extension))?;
        filled.retain(|id| !in_flight.rests_now(*id));
        for id in filled {
            let merged = settle::may_merge(id).and_then(|may_merge| {
                if !may_merge {
                    return Ok(());
                }
                pauses.hand_over_providers();
                settle::merge_while_busy(id)
            });
            if let Err(error) = merged {
                pauses.pause(in_flight, id, &error)?;
            }
        }
        Ok(())
    }

    /// Compares the keys of all followed collections with their sources, if `rag.sync_compare_interval` has passed.
    pub fn compare_due(&mut self, pauses: &mut Pauses, in_flight: &mut InFlight) -> Result<()> {
        if self.compared_at.elapsed() < settings::sync_compare_interval() {
            return Ok(());
        }
        self.compared_at = Instant::now();
        for mut collection in in_limited_transaction(Limits::Locks, || connect(settle::followed))? {
            pauses.hand_over_providers();
            let compared = in_limited_transaction(Limits::Locks, || {
                connect(|| collection.lock_tables(TableUse::Writing))?;
                reconcile::compare(&mut collection, CompareDepth::Keys)
            });
            if let Err(error) = compared {
                pauses.pause(in_flight, collection.id, &error)?;
            }
        }
        Ok(())
    }
}
