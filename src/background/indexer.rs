//! Indexes queued rows: claims them, advances batches of them, and writes the batches.

mod failures;

use crate::background::pauses::Pauses;
use crate::background::pipeline::{ActiveBatch, Pipeline, Step};
use crate::background::settling::Settling;
use crate::background::suspects::Suspects;
use crate::collections::capture::reconcile;
use crate::collections::catalog::collection::{Collection, TableUse};
use crate::collections::catalog::keys::{Key, PartialKey};
use crate::collections::catalog::statements::CompareDepth;
use crate::collections::indexing::batch::{RowBatch, RowStatus};
use crate::collections::indexing::stages;
use crate::collections::indexing::stages::{Stage, timed};
use crate::collections::indexing::write::{WriteCounts, write};
use crate::collections::queue;
use crate::collections::queue::Cause;
use crate::collections::queue::claim::{Claim, InFlight};
use crate::collections::queue::{failure, keyless};
use pgrx::debug1;
use ragstone_client::processes::slots;
use ragstone_pg::activity;
use ragstone_pg::attempt::outside_transaction;
use ragstone_pg::blame::is_held_up;
use ragstone_pg::error::Result;
use ragstone_pg::extension;
use ragstone_pg::limited_transaction::{Limits, in_limited_transaction};
use ragstone_pg::own_lock::OwnLock;
use ragstone_pg::spi::connect;
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

/// Interval at which the whole queue is read, even under load, to find entries that were committed after
/// entries with higher numbers.
const FULL_SCAN_INTERVAL: Duration = Duration::from_secs(1);

/// The whole queue is read again only after this many times the duration of the last read. Reading takes long
/// while a transaction is open that began before many entries were deleted.
const FULL_SCAN_REST: u32 = 20;

/// Interval at which collections without queued rows are settled while others are indexed.
const SETTLE_INTERVAL: Duration = Duration::from_secs(1);

/// With this many queued rows in a claim the first worker starts additional workers.
const HELP_THRESHOLD: usize = 128;

/// Time limit per chunk for writing a batch, including the chunk's entry in the vector index. A large
/// document has tens of thousands of chunks.
const TIME_TO_WRITE: Duration = Duration::from_millis(20);

/// Maximum of the time limit for a whole batch.
const MAX_TIME_TO_WRITE: Duration = Duration::from_secs(300);

/// The part of a worker that indexes rows.
pub struct Indexer {
    database: u32,
    is_first: bool,
    in_flight: InFlight,
    pipeline: Pipeline,
    pauses: Pauses,
    settling: Settling,
    suspects: Suspects,
    scanned_at: Instant,
    /// Duration of the last read of the whole queue.
    scan_time: Duration,
    settled_at: Instant,
}

/// The result of one step of the indexer.
pub enum Progress {
    /// There was nothing to do.
    Nothing,
    /// It did some work, but wrote no batch.
    Worked,
    /// It wrote a batch.
    Written,
    /// All batches in progress wait for the engine.
    Waiting,
    /// The extension has been dropped.
    NoExtension,
}

impl Indexer {
    /// The indexer of a worker that starts.
    pub fn new(database: u32, is_first: bool) -> Self {
        let now = Instant::now();
        if is_first {
            Pauses::forget_former();
        }
        Self {
            database,
            is_first,
            in_flight: InFlight::default(),
            pipeline: Pipeline::default(),
            pauses: Pauses::default(),
            settling: Settling::new(),
            suspects: Suspects::default(),
            scanned_at: now.checked_sub(FULL_SCAN_INTERVAL).unwrap_or(now),
            scan_time: Duration::ZERO,
            settled_at: now,
        }
    }

    /// Does the next piece of work: starts a batch, writes one, or settles collections.
    ///
    /// # Errors
    /// Errors that no row or collection has caused. All work should pause after them.
    pub fn step(&mut self) -> Result<Progress> {
        if self.pipeline.has_room() {
            let progress = self.claim()?;
            if !matches!(progress, Progress::Nothing) {
                return Ok(progress);
            }
        }
        match self.pipeline.advance() {
            Step::Worked => return Ok(Progress::Worked),
            Step::Ended(batch, arrived) => return self.finish(*batch, arrived),
            Step::Waiting => {}
        }
        if self.pipeline.is_empty() {
            self.in_flight.forget_failed_batches();
        } else if self.settled_at.elapsed() < SETTLE_INTERVAL {
            return Ok(Progress::Waiting);
        }
        self.settled_at = Instant::now();
        if self.is_first {
            self.settling.compare_due(&mut self.pauses, &mut self.in_flight)?;
            self.settling.merge_due(&mut self.pauses, &mut self.in_flight)?;
        }
        let settled = self.settling.settle(&mut self.pauses, &mut self.in_flight)?;
        if (settled || self.pipeline.is_empty())
            && let Some(report) = stages::take_report()
        {
            debug1!("ragstone worker: milliseconds of work: {report}");
        }
        Ok(match settled {
            true => Progress::Worked,
            false if self.pipeline.is_empty() => Progress::Nothing,
            false => Progress::Waiting,
        })
    }

    /// True if every collection is current, and none is paused.
    pub fn is_done(&self) -> bool {
        self.settling.is_done() && self.in_flight.paused.is_empty()
    }

    /// The time at which a waiting row or collection is due next.
    pub fn next_due(&self) -> Option<Instant> {
        self.in_flight.next_due().into_iter().chain(self.pauses.next_due()).min()
    }

    /// Drops the batches of some collections. Their rows stay queued, and embeddings that have arrived are
    /// kept.
    pub fn drop_batches(&mut self, is_dropped: impl Fn(i64) -> bool) {
        for ActiveBatch { batch, locks, .. } in self.pipeline.take(is_dropped) {
            for item in &batch.items {
                self.in_flight.release(batch.collection.id, &item.key, &item.ids);
            }
            locks.into_iter().for_each(OwnLock::release);
            self.pauses.batch_dropped(batch.collection.id);
            self.pipeline.hold(batch);
        }
    }

    /// Claims work and starts it.
    fn claim(&mut self) -> Result<Progress> {
        self.pauses.hold_back(&mut self.in_flight)?;
        let is_rested = self.scanned_at.elapsed() >= self.scan_time * FULL_SCAN_REST;
        let is_due = is_rested && self.scanned_at.elapsed() >= FULL_SCAN_INTERVAL;
        let mut claim = self.look(is_due)?;
        if matches!(claim, Some(None)) && is_rested && !is_due && self.pipeline.is_empty() {
            claim = self.look(true)?;
        }
        self.pauses.show_left_alone(&mut self.in_flight)?;
        match claim {
            None => return Ok(Progress::NoExtension),
            Some(None) => return Ok(Progress::Nothing),
            Some(Some(Claim::Orphans(collection, ids))) => {
                let delete = || connect(|| queue::delete(collection, &ids));
                let deleted = in_limited_transaction(Limits::LocksAndTime, delete);
                match deleted {
                    // A session that drops the collection deletes the entries as well.
                    Err(error) if is_held_up(&error) => self.in_flight.postpone(ids),
                    deleted => deleted?,
                }
            }
            Some(Some(Claim::Keyless(collection, keys, ids))) => {
                self.list_keyless(collection, &keys, &ids)?
            }
            Some(Some(Claim::All(collection, ids))) => self.compare(collection, &ids)?,
            Some(Some(Claim::Rows(collection, items, locks, cause))) => {
                if self.is_first && items.len() >= HELP_THRESHOLD {
                    slots::ensure_more(self.database);
                }
                self.settling.touch(collection.id);
                self.pauses.batch_begins(collection.id);
                self.begin(collection, items, locks, cause)?;
            }
        }
        Ok(Progress::Worked)
    }

    /// Claims work; with `all`, from the whole queue. None if the extension is not installed.
    fn look(&mut self, all: bool) -> Result<Option<Option<Claim>>> {
        let begin = Instant::now();
        let busy = self.pipeline.busy_collections();
        let in_progress = if all { self.pipeline.collections() } else { Vec::new() };
        let mut dropped = in_progress.clone();
        let claim = timed(Stage::Claim, || {
            in_limited_transaction(Limits::LocksAndTime, || {
                connect(|| {
                    if !extension::is_installed()? {
                        return Ok(None);
                    }
                    if !in_progress.is_empty() {
                        let unpaused = Collection::unpaused(&in_progress)?;
                        dropped.retain(|id| !unpaused.contains(id));
                    }
                    self.in_flight.claim(all, &busy).map(Some)
                })
            })
        })?;
        if all {
            (self.scanned_at, self.scan_time) = (Instant::now(), begin.elapsed());
        }
        // The engine would otherwise go on splitting for a collection that no longer exists, or that is paused.
        self.drop_batches(|id| dropped.contains(&id));
        Ok(claim)
    }

    /// Compares all rows of a collection with their source, and queues the rows that differ.
    fn compare(&mut self, mut collection: Collection, ids: &[i64]) -> Result<()> {
        activity::report(&format!("ragstone: comparing collection {}", collection.name));
        self.settling.touch(collection.id);
        self.pauses.hand_over_providers();
        let compared = in_limited_transaction(Limits::Locks, || {
            connect(|| collection.lock_tables(TableUse::Writing))?;
            let noted = reconcile::compare(&mut collection, CompareDepth::Content)?;
            connect(|| {
                failure::set_error(collection.id, None)?;
                queue::delete(collection.id, ids)
            })?;
            Ok(noted)
        });
        match compared {
            Ok(noted) => {
                self.pauses.clear(collection.id)?;
                self.settling.rate(&collection).expect(noted);
                Ok(())
            }
            Err(error) => self.pauses.pause(&mut self.in_flight, collection.id, &error),
        }
    }

    /// Lists rows without a usable key as failed, or removes them from the list.
    fn list_keyless(
        &mut self,
        mut collection: Collection,
        keys: &BTreeSet<PartialKey>,
        ids: &[i64],
    ) -> Result<()> {
        self.settling.touch(collection.id);
        let listed = in_limited_transaction(Limits::LocksAndTime, || {
            connect(|| {
                collection.lock_tables(TableUse::Reading)?;
                keyless::check(&collection, keys, ids)
            })
        });
        listed.or_else(|error| self.pauses.pause(&mut self.in_flight, collection.id, &error))
    }

    /// Reads claimed rows, and asks the engine to split them.
    fn begin(
        &mut self,
        collection: Collection,
        items: Vec<(Key, Vec<i64>)>,
        locks: Vec<OwnLock>,
        cause: Cause,
    ) -> Result<()> {
        let (rows, name) = (items.len(), &collection.name);
        activity::report(&format!("ragstone: reading {rows} rows of collection {name}"));
        let (id, model, taken) = (collection.id, collection.model.clone(), items.clone());
        match self.prepare(collection, items) {
            Ok(batch) => {
                self.pipeline.push(batch, locks, cause);
                Ok(())
            }
            Err(error) => {
                locks.into_iter().for_each(OwnLock::release);
                self.fail(id, &model, &taken, &error)
            }
        }
    }

    /// Reads rows and requests their chunks. No transaction is open while the engine works.
    fn prepare(&mut self, collection: Collection, items: Vec<(Key, Vec<i64>)>) -> Result<RowBatch> {
        let (mut batch, later) = timed(Stage::Read, || {
            in_limited_transaction(Limits::LocksAndTime, || {
                connect(|| {
                    let mut batch = RowBatch::new(collection, items)?;
                    let later = batch.read(self.pipeline.max_batch_bytes(&batch))?;
                    Ok((batch, later))
                })
            })
        })?;
        for item in later {
            self.in_flight.release(batch.collection.id, &item.key, &item.ids);
        }
        timed(Stage::Cut, || outside_transaction(|| batch.begin_cut()))?;
        Ok(batch)
    }

    /// Writes a batch whose embeddings have arrived.
    fn finish(&mut self, ended: ActiveBatch, arrived: Result<()>) -> Result<Progress> {
        let ActiveBatch { mut batch, locks, .. } = ended;
        activity::report(&format!("ragstone: writing collection {}", batch.collection.name));
        let id = batch.collection.id;
        let mut done_at = Instant::now();
        let written = arrived.and_then(|()| {
            let time = TIME_TO_WRITE.saturating_mul(batch.passages.len().try_into().unwrap_or(u32::MAX));
            let time = time.min(MAX_TIME_TO_WRITE);
            in_limited_transaction(Limits::LocksAndLongTime(time), || {
                let written = write(&mut batch);
                done_at = Instant::now();
                written
            })
        });
        stages::add(Stage::Commit, done_at.elapsed());
        locks.into_iter().for_each(OwnLock::release);
        match written {
            Ok(written) => {
                self.count_written(&batch, &written)?;
                self.settling.merge_segments(id, &mut self.pauses, &mut self.in_flight)?;
                Ok(Progress::Written)
            }
            Err(error) => {
                let taken: Vec<_> =
                    batch.items.iter().map(|item| (item.key.clone(), item.ids.clone())).collect();
                let model = batch.collection.model.clone();
                self.pipeline.hold(batch);
                self.fail(id, &model, &taken, &error)?;
                Ok(Progress::Worked)
            }
        }
    }

    fn count_written(&mut self, batch: &RowBatch, written: &WriteCounts) -> Result<()> {
        let id = batch.collection.id;
        for item in &batch.items {
            self.in_flight.release(id, &item.key, &item.ids);
        }
        for item in &written.postponed {
            self.in_flight.postpone(item.ids.iter().copied());
        }
        if written.postponed.is_empty() {
            self.in_flight.lift_limits(id, batch.items.iter().map(|item| &item.key));
        }
        self.pipeline
            .held
            .forget(&batch.collection.fingerprint, batch.passages.iter().map(|(passage, _)| &passage.hash));
        let unread = batch.items.iter().filter(|item| item.status == RowStatus::Unchanged).count();
        self.settling.rate(&batch.collection).add(written.rows - unread.min(written.rows));
        self.settling.add_segments(id, written.segments);
        let has_asked = batch.has_asked();
        if has_asked {
            self.suspects.answered(&batch.collection.model);
        }
        self.suspects.forget(id, batch.items.iter().map(|item| &item.key));
        self.pauses.batch_ended(id, Ok(has_asked))?;
        self.pauses.clear_environment()?;
        if written.rows == 0 && !written.postponed.is_empty() {
            return self.pauses.rows_in_use(id);
        }
        self.pauses.clear(id)
    }
}
