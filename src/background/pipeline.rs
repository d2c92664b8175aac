//! The batches in progress in a worker. The engine splits and embeds a batch while the worker goes on with
//! the others. For each model, only some seconds of work are sent ahead.

use crate::collections::indexing::batch::{MAX_BATCH_BYTES, RowBatch};
use crate::collections::indexing::cut::Take;
use crate::collections::indexing::held::HeldEmbeddings;
use crate::collections::indexing::stages::{Stage, timed};
use crate::collections::queue::Cause;
use ragstone_client::engine::client::Pending;
use ragstone_core::protocol::Lane;
use ragstone_core::window::Window;
use ragstone_pg::activity;
use ragstone_pg::attempt::outside_transaction;
use ragstone_pg::error::{Error, Result};
use ragstone_pg::limited_transaction::{Limits, in_limited_transaction};
use ragstone_pg::own_lock::OwnLock;
use std::collections::{HashMap, VecDeque};
use std::time::Instant;

/// Maximum number of batches in progress.
const MAX_BATCHES: usize = 64;

/// Size of the contents in progress, in bytes, at which no further batch is started.
const MAX_BYTES: usize = 32 << 20;

/// Maximum number of batches in progress of one collection: one that the engine embeds, one that waits for
/// the engine, and one that is being written. The remaining batches are for other collections.
const MAX_BATCHES_OF_COLLECTION: usize = 3;

/// If at least this many batches are in progress, a collection may have only one.
const MANY_BATCHES: usize = 16;

/// Size of one collection's contents in progress, in bytes, at which it starts no further batch.
const MAX_BYTES_OF_COLLECTION: usize = 1 << 20;

/// Number of slices that fit in a window, so that the engine has work while responses are taken.
const SLICES_PER_WINDOW: usize = 4;

/// Number of requests to an installed model that may be in flight whatever their cost: the current one and
/// the next one.
const MIN_REQUESTS: usize = 2;

/// As [`MIN_REQUESTS`], for a provider's model, which may need seconds for one text or for many.
const MIN_REMOTE_REQUESTS: usize = 4;

/// Maximum number of texts in a batch of changes that is embedded before bulk work.
const MAX_URGENT_TEXTS: usize = 8;

const TAKE_ARRIVED: Take = Pending::poll;

/// A batch in progress, with the locks of its rows.
pub struct ActiveBatch {
    /// The batch.
    pub batch: RowBatch,
    /// The locks of its rows.
    pub locks: Vec<OwnLock>,
    cause: Cause,
    /// Value of the pipeline's counter of slices when the batch last sent one.
    sent_at: u64,
    failure: Option<Error>,
}

impl ActiveBatch {
    /// True for a batch of a few changed texts: it should not wait until all earlier work is embedded.
    fn is_urgent(&self) -> bool {
        self.cause == Cause::Change && self.batch.texts_to_embed() <= MAX_URGENT_TEXTS
    }
}

/// The result of one step of the pipeline.
pub enum Step {
    /// All batches wait for the engine, or no batch is in progress.
    Waiting,
    /// It did some work.
    Worked,
    /// A batch has left the pipeline: it has all its embeddings, or it failed.
    Ended(Box<ActiveBatch>, Result<()>),
}

/// The batches in progress.
#[derive(Default)]
pub struct Pipeline {
    batches: VecDeque<ActiveBatch>,
    /// By model and fingerprint: the amount of work that may be sent ahead.
    windows: HashMap<(String, String), Window>,
    /// Embeddings of batches that failed.
    pub held: HeldEmbeddings,
    sent: u64,
}

impl Pipeline {
    /// True if no batch is in progress.
    pub fn is_empty(&self) -> bool {
        self.batches.is_empty()
    }

    /// True if another batch may be started.
    pub fn has_room(&self) -> bool {
        let bytes: usize = self.batches.iter().map(|active| active.batch.bytes).sum();
        self.batches.len() < MAX_BATCHES && bytes < MAX_BYTES
    }

    /// Collections that have reached their limit of work in progress.
    pub fn busy_collections(&self) -> Vec<i64> {
        let mut counts: HashMap<i64, (usize, usize)> = HashMap::new();
        for ActiveBatch { batch, .. } in &self.batches {
            let (batches, bytes) = counts.entry(batch.collection.id).or_default();
            (*batches, *bytes) = (*batches + 1, *bytes + batch.bytes);
        }
        let most = if self.batches.len() < MANY_BATCHES { MAX_BATCHES_OF_COLLECTION } else { 1 };
        counts.retain(|_, (batches, bytes)| *batches >= most || *bytes >= MAX_BYTES_OF_COLLECTION);
        counts.into_keys().collect()
    }

    /// Size of content, in bytes, at which a batch should take no more rows. For a slow model it is small, so
    /// that rows become searchable soon.
    pub fn max_batch_bytes(&self, batch: &RowBatch) -> usize {
        if batch.is_remote() {
            return MAX_BATCH_BYTES;
        }
        let window = self.windows.get(&model(batch)).cloned().unwrap_or_default();
        (window.size() / 2).min(MAX_BATCH_BYTES)
    }

    /// Adds a batch whose rows are being split.
    pub fn push(&mut self, batch: RowBatch, locks: Vec<OwnLock>, cause: Cause) {
        self.batches.push_back(ActiveBatch { batch, locks, cause, sent_at: 0, failure: None });
    }

    /// The collections that have batches in progress.
    pub fn collections(&self) -> Vec<i64> {
        self.batches.iter().map(|active| active.batch.collection.id).collect()
    }

    /// Removes and returns the batches of the collections for which `is_wanted` returns true.
    pub fn take(&mut self, is_wanted: impl Fn(i64) -> bool) -> Vec<ActiveBatch> {
        let (taken, left) = std::mem::take(&mut self.batches)
            .into_iter()
            .partition::<VecDeque<_>, _>(|active| is_wanted(active.batch.collection.id));
        self.batches = left;
        taken.into()
    }

    /// Keeps the embeddings that have arrived for a batch that failed.
    pub fn hold(&mut self, batch: RowBatch) {
        let fingerprint = batch.collection.fingerprint.clone();
        self.held.hold(&fingerprint, batch.into_embedded());
    }

    /// Takes the responses that have arrived, keeps the engine busy, and does the next piece of work of a
    /// batch. Must not be called in a transaction.
    pub fn advance(&mut self) -> Step {
        for place in 0..self.batches.len() {
            if self.batches[place].failure.is_none() {
                self.batches[place].failure = outside_transaction(|| self.take_answers(place)).err();
            }
        }
        self.send_slices();
        let ready = |active: &ActiveBatch| {
            active.failure.is_some() || active.batch.is_embedded() || active.batch.is_to_be_analysed()
        };
        let Some(mut active) =
            self.batches.iter().position(ready).and_then(|place| self.batches.remove(place))
        else {
            return Step::Waiting;
        };
        if active.failure.is_none() && active.batch.is_to_be_analysed() {
            let held = &self.held;
            let analysed = in_limited_transaction(Limits::LocksAndTime, || active.batch.analyse_next(held));
            active.failure = analysed.err();
            // The batch goes to the end of the queue, so that other batches have their turn first.
            self.batches.push_back(active);
            return Step::Worked;
        }
        active.batch.spread();
        let outcome = active.failure.take().map_or(Ok(()), Err);
        Step::Ended(Box::new(active), outcome)
    }

    fn take_answers(&mut self, place: usize) -> Result<()> {
        let batch = &mut self.batches[place].batch;
        let model = model(batch);
        let name = batch.collection.name.clone();
        let is_cut = timed(Stage::Cut, || batch.advance_cut(TAKE_ARRIVED))?;
        let mut any = false;
        while is_cut
            && let Some(answered) =
                timed(Stage::Embed, || self.batches[place].batch.take_embeddings(TAKE_ARRIVED))?
        {
            if answered.lane == Lane::Bulk {
                let unanswered = self.unanswered(&model).0;
                let window = self.windows.entry(model.clone()).or_default();
                window.learn(answered.cost, unanswered, answered.sent, Instant::now());
            }
            any = true;
        }
        let batch = &self.batches[place].batch;
        if any && !batch.slices.is_empty() {
            let (done, all) = (batch.embedded(), batch.passages.len());
            activity::report(&format!(
                "ragstone: embedding collection {name}: {done} of {all} chunks of a batch"
            ));
        }
        Ok(())
    }

    /// Total cost and number of a model's requests in flight.
    fn unanswered(&self, wanted: &(String, String)) -> (usize, usize) {
        let of_model = self.batches.iter().filter(|active| model(&active.batch) == *wanted);
        of_model.fold((0, 0), |(cost, requests), active| {
            let slices = &active.batch.slices;
            (cost + slices.unanswered_cost(), requests + slices.unanswered())
        })
    }

    /// Sends slices while there is room. The next slice comes from the batch that has waited longest since
    /// its last one.
    fn send_slices(&mut self) {
        while let Some(place) = self.next_sender() {
            let active = &mut self.batches[place];
            let window = self.windows.entry(model(&active.batch)).or_default();
            let max_cost =
                if active.batch.is_remote() { usize::MAX } else { window.size() / SLICES_PER_WINDOW };
            let lane = if active.is_urgent() { Lane::Query } else { Lane::Bulk };
            self.sent += 1;
            active.sent_at = self.sent;
            active.failure =
                timed(Stage::Embed, || outside_transaction(|| active.batch.send(lane, max_cost))).err();
        }
    }

    fn next_sender(&self) -> Option<usize> {
        let mut places: Vec<usize> = (0..self.batches.len())
            .filter(|place| {
                let active = &self.batches[*place];
                active.failure.is_none() && active.batch.slices.has_waiting()
            })
            .collect();
        places.sort_by_key(|place| self.batches[*place].sent_at);
        places.into_iter().find(|place| {
            let active = &self.batches[*place];
            active.is_urgent() || self.has_room_for(&active.batch)
        })
    }

    fn has_room_for(&self, batch: &RowBatch) -> bool {
        let model = model(batch);
        let (cost, requests) = self.unanswered(&model);
        let min_requests = if batch.is_remote() { MIN_REMOTE_REQUESTS } else { MIN_REQUESTS };
        requests < min_requests || cost < self.windows.get(&model).cloned().unwrap_or_default().size()
    }
}

fn model(batch: &RowBatch) -> (String, String) {
    (batch.collection.model.clone(), batch.collection.fingerprint.clone())
}
