//! The batches of a worker that are in progress. Each is cut and embedded by the engine while the worker goes on with the others, and
//! of each model only as much is sent ahead as it does in a few seconds.

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

/// Size of the contents in progress at which no batch is begun.
const MAX_BYTES: usize = 32 << 20;

/// Maximum number of batches of one collection in progress: one that the engine embeds, one that waits for the engine, one that is
/// written. The others are for collections that have their turn meanwhile.
const MAX_BATCHES_OF_COLLECTION: usize = 3;

/// With this many batches in progress a collection may have only one.
const MANY_BATCHES: usize = 16;

/// Size of the contents of one collection in progress at which it begins no other batch.
const MAX_BYTES_OF_COLLECTION: usize = 1 << 20;

/// How many slices a window has room for, so that the engine has work while answers are taken.
const SLICES_PER_WINDOW: usize = 4;

/// Number of requests to an installed model that may be on their way whatever they cost: one that it works on, and the next one.
const MIN_REQUESTS: usize = 2;

/// The same for a provider's model, which may need seconds for a single text as for many.
const MIN_REMOTE_REQUESTS: usize = 4;

/// Number of texts of a batch of changes up to which they go before bulk work.
const MAX_URGENT_TEXTS: usize = 8;

const TAKE_ARRIVED: Take = Pending::poll;

/// A batch in progress, with the locks of its rows.
pub struct ActiveBatch {
    /// The batch.
    pub batch: RowBatch,
    /// The locks of its rows.
    pub locks: Vec<OwnLock>,
    cause: Cause,
    /// When it last sent a slice, in slices of the pipeline.
    sent_at: u64,
    failure: Option<Error>,
}

impl ActiveBatch {
    /// Whether somebody changed a few texts, who should not wait until what was sent before is embedded.
    fn is_urgent(&self) -> bool {
        self.cause == Cause::Change && self.batch.texts_to_embed() <= MAX_URGENT_TEXTS
    }
}

/// What the pipeline did.
pub enum Step {
    /// All batches wait for the engine, or there is none.
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
    /// By model and fingerprint: how much may be sent ahead.
    windows: HashMap<(String, String), Window>,
    /// Embeddings of batches that failed.
    pub held: HeldEmbeddings,
    sent: u64,
}

impl Pipeline {
    /// Whether no batch is in progress.
    pub fn is_empty(&self) -> bool {
        self.batches.is_empty()
    }

    /// Whether another batch may begin.
    pub fn has_room(&self) -> bool {
        let bytes: usize = self.batches.iter().map(|active| active.batch.bytes).sum();
        self.batches.len() < MAX_BATCHES && bytes < MAX_BYTES
    }

    /// Collections that have as much in progress as one may have.
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

    /// Size of content at which a batch should take no more rows: of a slow model a few, so that they are soon there to be found.
    pub fn max_batch_bytes(&self, batch: &RowBatch) -> usize {
        if batch.is_remote() {
            return MAX_BATCH_BYTES;
        }
        let window = self.windows.get(&model(batch)).cloned().unwrap_or_default();
        (window.size() / 2).min(MAX_BATCH_BYTES)
    }

    /// Adds a batch whose rows are being cut.
    pub fn push(&mut self, batch: RowBatch, locks: Vec<OwnLock>, cause: Cause) {
        self.batches.push_back(ActiveBatch { batch, locks, cause, sent_at: 0, failure: None });
    }

    /// The collections that have batches in progress.
    pub fn collections(&self) -> Vec<i64> {
        self.batches.iter().map(|active| active.batch.collection.id).collect()
    }

    /// Takes out the batches of the collections for which `is_wanted` is true.
    pub fn take(&mut self, is_wanted: impl Fn(i64) -> bool) -> Vec<ActiveBatch> {
        let (taken, left) = std::mem::take(&mut self.batches)
            .into_iter()
            .partition::<VecDeque<_>, _>(|active| is_wanted(active.batch.collection.id));
        self.batches = left;
        taken.into()
    }

    /// Holds the embeddings that have arrived for a batch that failed.
    pub fn hold(&mut self, batch: RowBatch) {
        let fingerprint = batch.collection.fingerprint.clone();
        self.held.hold(&fingerprint, batch.into_embedded());
    }

    /// Takes what has arrived, keeps the engine busy, and does the next piece of work of a batch. Must not be called in a transaction.
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
            // Other batches have their turn before it is this one's again.
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

    /// Cost and number of a model's requests that are on their way.
    fn unanswered(&self, wanted: &(String, String)) -> (usize, usize) {
        let of_model = self.batches.iter().filter(|active| model(&active.batch) == *wanted);
        of_model.fold((0, 0), |(cost, requests), active| {
            let slices = &active.batch.slices;
            (cost + slices.unanswered_cost(), requests + slices.unanswered())
        })
    }

    /// Sends slices as long as there is room. The batch that has sent none for the longest time is the next.
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
