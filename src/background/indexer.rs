//! The indexing of queued rows: claims them, and has a few batches in progress so that the engine always has work.

use crate::background::pauses::Pauses;
use crate::background::settling::Settling;
use crate::collections::capture::reconcile;
use crate::collections::capture::reconcile::CompareDepth;
use crate::collections::catalog::collection::Collection;
use crate::collections::catalog::keys::Key;
use crate::collections::indexing::batch::{RowBatch, RowStatus};
use crate::collections::indexing::held::HeldEmbeddings;
use crate::collections::indexing::write::{WriteCounts, write};
use crate::collections::queue;
use crate::collections::queue::claim::{Claim, InFlight};
use crate::collections::queue::failure;
use ragstone_client::processes::slots;
use ragstone_pg::activity;
use ragstone_pg::attempt::{in_transaction, outside_transaction};
use ragstone_pg::blame::{Blame, blame, is_duplicate};
use ragstone_pg::error::{Error, Result};
use ragstone_pg::extension;
use ragstone_pg::own_lock::OwnLock;
use ragstone_pg::own_tables::with_safe_search_path;
use ragstone_pg::spi::connect;
use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

/// Maximum number of batches in progress.
const MAX_BATCHES: usize = 8;

/// Maximum number of batches of one collection in progress: one that the engine embeds, one that waits for the engine, one that is
/// written. The others are for collections that have their turn meanwhile.
const MAX_BATCHES_OF_COLLECTION: usize = 3;

/// How often the whole queue is read, also under load, to find changes that were committed after later ones.
const FULL_SCAN_INTERVAL: Duration = Duration::from_secs(1);

/// How often collections without work are settled while others are worked on.
const SETTLE_INTERVAL: Duration = Duration::from_secs(1);

/// With this many queued rows in a claim the first worker starts additional workers.
const HELP_THRESHOLD: usize = 128;

/// A batch that was sent to the engine, with the locks of its rows.
struct SentBatch {
    batch: RowBatch,
    locks: Vec<OwnLock>,
}

/// The indexing part of a worker.
pub struct Indexer {
    database: u32,
    is_first: bool,
    in_flight: InFlight,
    batches: VecDeque<SentBatch>,
    held: HeldEmbeddings,
    pauses: Pauses,
    settling: Settling,
    scanned_at: Instant,
    settled_at: Instant,
}

/// What a step of the indexer did.
pub enum Progress {
    /// There was nothing to do.
    Nothing,
    /// It did some work, but wrote no batch.
    Worked,
    /// It wrote a batch.
    Written,
    /// All that is in progress waits for the engine.
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
            batches: VecDeque::new(),
            held: HeldEmbeddings::default(),
            pauses: Pauses::default(),
            settling: Settling::new(),
            scanned_at: now.checked_sub(FULL_SCAN_INTERVAL).unwrap_or(now),
            settled_at: now,
        }
    }

    /// Does the next piece of work: begins a batch, finishes one, or settles collections.
    ///
    /// # Errors
    /// Errors that are not to be charged to a row or a collection, after which all work should pause.
    pub fn step(&mut self) -> Result<Progress> {
        if self.batches.len() < MAX_BATCHES {
            let progress = self.claim()?;
            if !matches!(progress, Progress::Nothing) {
                return Ok(progress);
            }
        }
        for place in 0..self.batches.len() {
            let arrived = self.batches[place].batch.poll();
            if !matches!(arrived, Ok(false))
                && let Some(sent) = self.batches.remove(place)
            {
                return self.finish(sent, arrived.map(|_| ()));
            }
        }
        if self.batches.is_empty() {
            self.in_flight.forget_failed_batches();
        } else if self.settled_at.elapsed() < SETTLE_INTERVAL {
            return Ok(Progress::Waiting);
        }
        self.settled_at = Instant::now();
        if self.is_first {
            self.settling.compare_due(&mut self.pauses, &mut self.in_flight)?;
        }
        let settled = self.settling.settle(&mut self.pauses, &mut self.in_flight)?;
        Ok(match settled {
            true => Progress::Worked,
            false if self.batches.is_empty() => Progress::Nothing,
            false => Progress::Waiting,
        })
    }

    /// Whether every collection is current, and none is paused.
    pub fn is_done(&self) -> bool {
        self.settling.is_done() && self.in_flight.paused.is_empty()
    }

    /// When a row or collection that waits is due.
    pub fn next_due(&self) -> Option<Instant> {
        self.in_flight.next_due()
    }

    /// Drops all batches, whose rows stay queued. Embeddings that have arrived are held.
    pub fn drop_batches(&mut self) {
        for SentBatch { batch, locks } in std::mem::take(&mut self.batches) {
            for item in &batch.items {
                self.in_flight.release(batch.collection.id, &item.key, &item.ids);
            }
            locks.into_iter().for_each(OwnLock::release);
            self.hold(batch);
        }
    }

    fn hold(&mut self, batch: RowBatch) {
        let fingerprint = batch.collection.fingerprint.clone();
        self.held.hold(&fingerprint, batch.into_embedded());
    }

    /// Collections that have as many batches in progress as one may have.
    fn busy_collections(&self) -> Vec<i64> {
        let mut counts: HashMap<i64, usize> = HashMap::new();
        self.batches.iter().for_each(|sent| *counts.entry(sent.batch.collection.id).or_default() += 1);
        counts.retain(|_, count| *count >= MAX_BATCHES_OF_COLLECTION);
        counts.into_keys().collect()
    }

    /// Claims work and begins with it.
    fn claim(&mut self) -> Result<Progress> {
        let all = self.batches.is_empty() || self.scanned_at.elapsed() >= FULL_SCAN_INTERVAL;
        if all {
            self.scanned_at = Instant::now();
        }
        let busy = self.busy_collections();
        let claim = in_transaction(|| {
            with_safe_search_path(|| {
                connect(|| {
                    if !extension::is_installed()? {
                        return Ok(None);
                    }
                    self.in_flight.claim(all, &busy).map(Some)
                })
            })
        })?;
        match claim {
            None => return Ok(Progress::NoExtension),
            Some(None) => return Ok(Progress::Nothing),
            Some(Some(Claim::Orphans(ids))) => {
                in_transaction(|| with_safe_search_path(|| connect(|| queue::delete(&ids))))?;
            }
            Some(Some(Claim::All(collection, ids))) => self.compare(collection, &ids)?,
            Some(Some(Claim::Rows(collection, items, locks))) => {
                if self.is_first && items.len() >= HELP_THRESHOLD {
                    slots::ensure_more(self.database);
                }
                self.settling.touch(collection.id);
                self.begin(collection, items, locks)?;
            }
        }
        Ok(Progress::Worked)
    }

    /// Compares all rows of a collection with their source, and queues those that differ.
    fn compare(&mut self, mut collection: Collection, ids: &[i64]) -> Result<()> {
        activity::report(&format!("ragstone: comparing collection {}", collection.name));
        self.settling.touch(collection.id);
        let compared = in_transaction(|| {
            with_safe_search_path(|| {
                let noted = reconcile::compare(&mut collection, CompareDepth::Content)?;
                connect(|| {
                    failure::set_error(collection.id, None)?;
                    queue::delete(ids)
                })?;
                Ok(noted)
            })
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

    /// Sends a batch of claimed rows to the engine.
    fn begin(
        &mut self,
        collection: Collection,
        items: Vec<(Key, Vec<i64>)>,
        locks: Vec<OwnLock>,
    ) -> Result<()> {
        let (rows, name) = (items.len(), &collection.name);
        activity::report(&format!("ragstone: embedding {rows} rows of collection {name}"));
        let (id, taken) = (collection.id, items.clone());
        match self.prepare(collection, items) {
            Ok(batch) => {
                self.batches.push_back(SentBatch { batch, locks });
                Ok(())
            }
            Err(error) => {
                locks.into_iter().for_each(OwnLock::release);
                self.fail(id, &taken, &error)
            }
        }
    }

    /// Reads, splits and sends. No transaction is open while the engine works.
    fn prepare(&mut self, collection: Collection, items: Vec<(Key, Vec<i64>)>) -> Result<RowBatch> {
        let (mut batch, later) = in_transaction(|| {
            with_safe_search_path(|| {
                connect(|| {
                    let mut batch = RowBatch::new(collection, items)?;
                    let later = batch.read()?;
                    Ok((batch, later))
                })
            })
        })?;
        for item in later {
            self.in_flight.release(batch.collection.id, &item.key, &item.ids);
        }
        outside_transaction(|| batch.cut())?;
        in_transaction(|| with_safe_search_path(|| batch.analyse()))?;
        batch.reuse(&self.held);
        outside_transaction(|| batch.send())?;
        Ok(batch)
    }

    /// Writes a batch whose embeddings have arrived.
    fn finish(&mut self, sent: SentBatch, arrived: Result<()>) -> Result<Progress> {
        let SentBatch { mut batch, locks } = sent;
        activity::report(&format!("ragstone: writing collection {}", batch.collection.name));
        let id = batch.collection.id;
        let written = arrived.and_then(|()| in_transaction(|| with_safe_search_path(|| write(&mut batch))));
        locks.into_iter().for_each(OwnLock::release);
        match written {
            Ok(written) => {
                self.count_written(&batch, &written)?;
                self.settling.merge_terms(id)?;
                Ok(Progress::Written)
            }
            Err(error) => {
                let taken: Vec<_> =
                    batch.items.iter().map(|item| (item.key.clone(), item.ids.clone())).collect();
                self.hold(batch);
                self.fail(id, &taken, &error)?;
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
        self.held
            .forget(&batch.collection.fingerprint, batch.passages.iter().map(|(passage, _)| &passage.hash));
        let unread = batch.items.iter().filter(|item| item.status == RowStatus::Unchanged).count();
        self.settling.rate(&batch.collection).add(written.rows - unread.min(written.rows));
        self.settling.add_terms(id, written.term_rows as i64);
        self.pauses.clear(id)
    }

    /// Charges the failure of a batch to its only row, or tries its rows again in halves of it, or pauses the collection.
    ///
    /// # Errors
    /// Errors of the environment, and of storing the failure.
    fn fail(&mut self, collection: i64, items: &[(Key, Vec<i64>)], error: &Error) -> Result<()> {
        for (key, ids) in items {
            self.in_flight.release(collection, key, ids);
        }
        match (blame(error), items) {
            (Blame::Row, [(key, ids)]) => self.charge(collection, key, ids, error),
            // Not the first time another transaction is to blame: the key is not unique.
            (Blame::Transient, [(key, ids)])
                if is_duplicate(error) && self.in_flight.is_alone(collection, key) =>
            {
                self.charge(collection, key, ids, error)
            }
            (Blame::Row | Blame::Transient, _) => {
                self.in_flight.divide(collection, items);
                Ok(())
            }
            (Blame::Collection | Blame::Provider | Blame::Environment, _) => {
                self.pauses.pause(&mut self.in_flight, collection, error)
            }
        }
    }

    fn charge(&mut self, collection: i64, key: &Key, ids: &[i64], error: &Error) -> Result<()> {
        self.in_flight.lift_limits(collection, std::iter::once(key));
        in_transaction(|| with_safe_search_path(|| failure::record(collection, key, ids, error)))
    }
}
