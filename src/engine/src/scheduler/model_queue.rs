//! One model's queue.

use std::{
    sync::{Arc, Condvar, Mutex},
    time::Instant,
};

use ragstone_core::protocol::{Lane, Model, ModelStats};

use super::{
    fair_queue::{Client, FairQueue},
    host::Host,
    job::QueuedText,
    meter::Meter,
    pace::Pace,
    runners::{ModelCopy, Runners},
    slots::{QueueSlots, SlotHolder, Slots},
};
use crate::{
    failure::Error,
    lock::lock,
    model::{
        folder::{ManifestStamp, ModelFolder},
        manifest::{Manifest, TOKENIZER},
        text::TextEncoder,
    },
};

/// A model without its weights.
pub struct ModelDescription {
    /// The manifest.
    pub manifest: Manifest,
    /// The tokenizer.
    pub encoder: TextEncoder,
    /// [`Manifest::fingerprint`].
    pub fingerprint: String,
    stamp: ManifestStamp,
}

/// A model's queue.
pub struct ModelQueue {
    pub(super) folder: ModelFolder,
    pub(super) host: Arc<dyn Host>,
    slots: Arc<Slots>,
    description: Mutex<Option<Arc<ModelDescription>>>,
    pub(super) meter: Mutex<Meter>,
    pub(super) state: Mutex<QueueState>,
    /// Notifies the thread with the sole copy, and threads that wait for the model to be unloaded, of changes.
    pub(super) changed: Condvar,
    /// Notifies the threads with parallel copies of changes.
    pub(super) parallel_changed: Condvar,
}

/// The texts that wait, and the threads that run them.
pub(super) struct QueueState {
    pub(super) texts: FairQueue<QueuedText>,
    pub(super) pace: Pace,
    pub(super) runners: Runners,
    pub(super) unload_requested: bool,
    /// When a thread began to load the model, or to wait for its turn to load it.
    pub(super) loading_since: Option<Instant>,
    last_used: Instant,
    pub(super) error: Option<String>,
}

impl ModelQueue {
    /// A queue without a thread; the first text starts one.
    pub fn new(folder: ModelFolder, host: Arc<dyn Host>) -> Arc<Self> {
        Arc::new(Self {
            folder,
            host,
            slots: Arc::default(),
            description: Mutex::default(),
            meter: Mutex::default(),
            state: Mutex::new(QueueState {
                texts: FairQueue::default(),
                pace: Pace::default(),
                runners: Runners::default(),
                unload_requested: false,
                loading_since: None,
                last_used: Instant::now(),
                error: None,
            }),
            changed: Condvar::new(),
            parallel_changed: Condvar::new(),
        })
    }

    /// The model's name.
    pub fn name(&self) -> &str {
        self.folder.name()
    }

    /// When texts were last put into the queue.
    pub fn last_used(&self) -> Instant {
        lock(&self.state).last_used
    }

    /// The description if it is in memory and up to date. Does not block.
    pub fn cached_description(&self) -> Option<Arc<ModelDescription>> {
        // A thread that reads the tokenizer holds the lock for up to a second.
        let cached = self.description.try_lock().ok()?.clone()?;
        (self.folder.stamp().ok()? == cached.stamp).then_some(cached)
    }

    /// The description, read from the folder if it is not in memory or out of date.
    ///
    /// # Errors
    /// A file is missing or broken, or its checksum differs from the manifest.
    pub fn describe(&self) -> Result<Arc<ModelDescription>, Error> {
        let mut slot = lock(&self.description);
        let stamp = self.folder.stamp()?;
        if let Some(cached) = slot.as_ref().filter(|cached| cached.stamp == stamp) {
            return Ok(cached.clone());
        }
        let manifest = self.folder.manifest()?;
        let encoder = TextEncoder::new(&self.folder.tokenizer(&manifest)?, manifest.max_tokens)
            .map_err(|reason| self.folder.content_error(TOKENIZER, reason))?;
        let fingerprint = manifest.fingerprint();
        let description = Arc::new(ModelDescription { manifest, encoder, fingerprint, stamp });
        *slot = Some(description.clone());
        Ok(description)
    }

    /// The model as `rag.models()` shows it, with its error if it has one.
    pub fn report(&self) -> Model {
        let (runtime, last_error) = {
            let state = lock(&self.state);
            (state.runners.runtime().map(str::to_owned), state.error.clone())
        };
        let mut model = match self.describe() {
            Ok(description) => describe_model(&description),
            Err(error) => Model { error: Some(error.to_string()), ..empty_model() },
        };
        model.name = self.name().into();
        model.loaded = runtime.is_some();
        model.runtime = runtime;
        model.error = model.error.or(last_error);
        model
    }

    /// The model's counters.
    pub fn stats(&self) -> ModelStats {
        lock(&self.meter).report(self.name(), self.slots.taken())
    }

    /// Takes slots in the queue.
    ///
    /// # Errors
    /// [`Error::QueueFull`]
    pub fn reserve(&self, holder: SlotHolder, texts: usize) -> Result<QueueSlots, Error> {
        let limit = self.host.queue_limit();
        self.slots.take(holder, texts, limit).map_err(|none| Error::QueueFull {
            model: self.name().into(),
            texts,
            waiting: none.taken,
            own: none.own,
            limit,
        })
    }

    /// Puts texts into a lane, and starts the model's thread if it has none.
    pub fn push(self: &Arc<Self>, client: Client, lane: Lane, texts: impl IntoIterator<Item = QueuedText>) {
        let mut state = lock(&self.state);
        texts.into_iter().for_each(|text| state.texts.push(client, lane, text));
        state.last_used = Instant::now();
        if state.runners.is_empty() {
            state.unload_requested = false;
            self.start_runner(ModelCopy::Sole, state);
        } else {
            // A single query wakes one thread: others would only take the processor from it.
            let is_alone = state.texts.iter().nth(1).is_none();
            let is_for_sole = !state.runners.may_run(ModelCopy::Parallel, is_alone);
            drop(state);
            self.changed.notify_all();
            if !is_for_sole {
                self.parallel_changed.notify_all();
            }
        }
    }

    /// Wakes all threads that wait for a change.
    pub(super) fn wake_all(&self) {
        self.changed.notify_all();
        self.parallel_changed.notify_all();
    }

    /// Drops cancelled texts, which releases their slots.
    pub fn remove_cancelled(&self) {
        lock(&self.state).texts.remove_cancelled();
    }

    /// Unloads the model if no text waits for it. Returns when its memory is free.
    pub fn unload_if_idle(&self) {
        let mut state = lock(&self.state);
        if !state.runners.are_idle() || !state.texts.is_empty() {
            return;
        }
        state.unload_requested = true;
        self.wake_all();
        while state.unload_requested && !state.runners.is_empty() {
            state = self.changed.wait(state).unwrap_or_else(std::sync::PoisonError::into_inner);
        }
    }
}

fn describe_model(description: &ModelDescription) -> Model {
    let manifest = &description.manifest;
    Model {
        dimensions: manifest.dimensions,
        max_tokens: manifest.max_tokens,
        special_tokens: u32::try_from(description.encoder.special_tokens()).unwrap_or(u32::MAX),
        pooling: manifest.pooling.as_str().into(),
        normalized: manifest.normalize,
        query_prefix: manifest.query_prefix.clone(),
        document_prefix: manifest.document_prefix.clone(),
        licence: manifest.licence.clone(),
        fingerprint: description.fingerprint.clone(),
        ..empty_model()
    }
}

fn empty_model() -> Model {
    Model {
        name: String::new(),
        dimensions: 0,
        max_tokens: 0,
        special_tokens: 0,
        pooling: String::new(),
        normalized: false,
        query_prefix: String::new(),
        document_prefix: String::new(),
        licence: String::new(),
        fingerprint: String::new(),
        loaded: false,
        runtime: None,
        error: None,
    }
}
