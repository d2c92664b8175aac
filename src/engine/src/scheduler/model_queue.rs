//! One model's queue, and the thread that runs the model while it is in memory.

use std::{
    collections::HashMap,
    sync::{
        Arc, Condvar, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Instant,
};

use ragstone_core::protocol::{Lane, Model, ModelStats};

use super::{
    host::Host,
    job::{EmbeddingJob, QueueSlots, QueuedText},
    meter::Meter,
    priority_queue::PriorityQueue,
};
use crate::{
    failure::Error,
    lock::lock,
    model::{
        folder::{ManifestStamp, ModelFolder},
        manifest::{Manifest, TOKENIZER},
        text::TextEncoder,
    },
    outbox::REPORT_INTERVAL,
    runtime::embedder::Embedder,
    system,
};

/// Exit code of an engine whose memory limit stopped a run of a model (`EX_OSERR`).
const EXIT_OUT_OF_MEMORY: i32 = 71;

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
    folder: ModelFolder,
    host: Arc<dyn Host>,
    slots_taken: Arc<AtomicUsize>,
    description: Mutex<Option<Arc<ModelDescription>>>,
    meter: Mutex<Meter>,
    state: Mutex<QueueState>,
    changed: Condvar,
}

struct QueueState {
    texts: PriorityQueue<QueuedText>,
    thread: ThreadState,
    unload_requested: bool,
    last_used: Instant,
    error: Option<String>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum ThreadState {
    Stopped,
    Loading,
    Idle(&'static str),
    Busy(&'static str),
}

impl ModelQueue {
    /// A queue without a thread; the first text starts one.
    pub fn new(folder: ModelFolder, host: Arc<dyn Host>) -> Arc<Self> {
        Arc::new(Self {
            folder,
            host,
            slots_taken: Arc::default(),
            description: Mutex::default(),
            meter: Mutex::default(),
            state: Mutex::new(QueueState {
                texts: PriorityQueue::default(),
                thread: ThreadState::Stopped,
                unload_requested: false,
                last_used: Instant::now(),
                error: None,
            }),
            changed: Condvar::new(),
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
    /// A file is missing or broken, or has another checksum than the manifest says.
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
        let (thread, last_error) = {
            let state = lock(&self.state);
            (state.thread, state.error.clone())
        };
        let runtime = match thread {
            ThreadState::Idle(runtime) | ThreadState::Busy(runtime) => Some(runtime.to_owned()),
            _ => None,
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
        lock(&self.meter).report(self.name(), self.slots_taken.load(Ordering::Relaxed))
    }

    /// Takes slots in the queue.
    ///
    /// # Errors
    /// [`Error::QueueFull`]
    pub fn reserve(&self, texts: usize) -> Result<QueueSlots, Error> {
        let limit = self.host.queue_limit();
        QueueSlots::take(&self.slots_taken, texts, limit).map_err(|waiting| Error::QueueFull {
            model: self.name().into(),
            texts,
            waiting,
            limit,
        })
    }

    /// Puts texts into a lane, and starts the model's thread if it has none.
    pub fn push(self: &Arc<Self>, lane: Lane, texts: impl IntoIterator<Item = QueuedText>) {
        let mut state = lock(&self.state);
        texts.into_iter().for_each(|text| state.texts.push(lane, text));
        state.last_used = Instant::now();
        if state.thread != ThreadState::Stopped {
            drop(state);
            self.changed.notify_all();
            return;
        }
        state.thread = ThreadState::Loading;
        state.unload_requested = false;
        drop(state);
        let queue = self.clone();
        let spawned = std::thread::Builder::new().name("model".into()).spawn(move || queue.run_thread());
        if let Err(error) = spawned {
            self.stop(&Error::Internal(format!("cannot start a thread: {error}")));
        }
    }

    /// Drops cancelled texts, which releases their slots.
    pub fn remove_cancelled(&self) {
        lock(&self.state).texts.remove_cancelled();
    }

    /// Unloads the model if no text waits for it, and returns when its memory is free.
    pub fn unload_if_idle(&self) {
        let mut state = lock(&self.state);
        if !matches!(state.thread, ThreadState::Idle(_)) || !state.texts.is_empty() {
            return;
        }
        state.unload_requested = true;
        self.changed.notify_all();
        while state.unload_requested && state.thread != ThreadState::Stopped {
            state = self.changed.wait(state).unwrap_or_else(std::sync::PoisonError::into_inner);
        }
    }

    fn run_thread(self: Arc<Self>) {
        // If the thread panics, the requests that wait are answered, and the next one starts another thread.
        let guard = ThreadGuard(&self);
        let (mut description, mut embedder) = match self.load() {
            Ok(loaded) => loaded,
            Err(error) => return guard.fail(&error),
        };
        let mut reported = Instant::now();
        while let Some(batch) = self.wait_for_batch(&embedder) {
            if batch.iter().any(|text| text.job.fingerprint() != description.fingerprint) {
                // The model was installed anew: the old weights would give vectors under the new fingerprint.
                drop(embedder);
                (description, embedder) = match self.load() {
                    Ok(loaded) => loaded,
                    Err(error) => {
                        batch.iter().for_each(|text| text.job.fail(&error));
                        return guard.fail(&error);
                    }
                };
            }
            self.run_batch(batch, &description, &mut embedder);
            if reported.elapsed() >= REPORT_INTERVAL {
                self.report_work();
                reported = Instant::now();
            }
        }
        drop(embedder);
        system::release_free_memory();
        guard.finish();
    }

    /// Waits for texts. `None` if the model is to be unloaded.
    fn wait_for_batch(&self, embedder: &Embedder) -> Option<Vec<QueuedText>> {
        let runtime = embedder.runtime();
        let mut state = lock(&self.state);
        state.thread = ThreadState::Idle(runtime.name());
        loop {
            let batch = state.texts.next_batch(runtime.batch_limits());
            if !batch.is_empty() {
                state.thread = ThreadState::Busy(runtime.name());
                if std::mem::take(&mut state.unload_requested) {
                    self.changed.notify_all();
                }
                return Some(batch);
            }
            if state.unload_requested {
                return None;
            }
            state = self.changed.wait(state).unwrap_or_else(std::sync::PoisonError::into_inner);
        }
    }

    fn run_batch(&self, batch: Vec<QueuedText>, description: &ModelDescription, embedder: &mut Embedder) {
        let (batch, stale): (Vec<QueuedText>, Vec<QueuedText>) =
            batch.into_iter().partition(|text| text.job.fingerprint() == description.fingerprint);
        for text in stale {
            text.job
                .fail(&Error::Argument(format!("model \"{}\" was replaced during the call", self.name())));
        }
        if batch.is_empty() {
            return;
        }
        let begin = Instant::now();
        let tokens: Vec<_> = batch.iter().map(|text| &text.tokens).collect();
        let embedded = embedder.embed(&tokens);
        let time = begin.elapsed();
        let token_count = tokens.iter().map(|text| text.ids.len()).sum();
        let mut answered = 0;
        match &embedded {
            Ok(vectors) => {
                let dimensions = description.manifest.dimensions as usize;
                for (text, vector) in batch.iter().zip(vectors.chunks_exact(dimensions)) {
                    answered +=
                        u64::from(text.job.complete(text.index, text.tokens.tokens_before_cut, vector));
                }
            }
            // The memory that was lost is only free again in a new engine, of which the clients ask the same.
            Err(error) if system::is_near_memory_limit() => {
                eprintln!("ragstone-engine: ends since its memory limit is reached: {error}");
                system::exit_now(EXIT_OUT_OF_MEMORY);
            }
            Err(error) => batch.iter().for_each(|text| text.job.fail(error)),
        }
        let mut meter = lock(&self.meter);
        meter.record_batch(batch.len(), token_count, time);
        batch.iter().for_each(|text| meter.record_wait(begin.saturating_duration_since(text.since)));
        (0..answered).for_each(|_| meter.record_answer());
    }

    /// Tells the clients whose texts wait that the model works.
    fn report_work(&self) {
        let waiting: HashMap<*const EmbeddingJob, Arc<EmbeddingJob>> = {
            let state = lock(&self.state);
            state.texts.iter().map(|text| (Arc::as_ptr(&text.job), text.job.clone())).collect()
        };
        waiting.values().for_each(|job| job.report_work());
    }

    fn load(&self) -> Result<(Arc<ModelDescription>, Embedder), Error> {
        let _one_at_a_time = self.host.begin_loading();
        let description = self.describe()?;
        let manifest = &description.manifest;
        self.folder.verify(manifest)?;
        let stored = self.folder.size(manifest);
        let make_room = |times| self.host.make_room(self.name(), stored * times);
        let embedder = self.host.library().open(&self.folder, manifest, &description.encoder, &make_room)?;
        system::release_free_memory();
        lock(&self.state).error = None;
        Ok((description, embedder))
    }

    fn stop(&self, error: &Error) {
        let waiting = {
            let mut state = lock(&self.state);
            state.thread = ThreadState::Stopped;
            state.unload_requested = false;
            state.error = Some(error.to_string());
            state.texts.drain()
        };
        self.changed.notify_all();
        waiting.iter().for_each(|text| text.job.fail(error));
    }
}

/// Marks the thread as stopped, however it ends.
struct ThreadGuard<'a>(&'a Arc<ModelQueue>);

impl ThreadGuard<'_> {
    fn fail(self, error: &Error) {
        self.0.stop(error);
        std::mem::forget(self);
    }

    fn finish(self) {
        let mut state = lock(&self.0.state);
        state.thread = ThreadState::Stopped;
        state.unload_requested = false;
        let late = state.texts.drain();
        drop(state);
        self.0.changed.notify_all();
        // Texts that arrived while the model was unloaded start a new thread.
        for text in late {
            self.0.push(Lane::Bulk, [text]);
        }
        std::mem::forget(self);
    }
}

impl Drop for ThreadGuard<'_> {
    fn drop(&mut self) {
        self.0.stop(&Error::Internal(format!("the thread of model \"{}\" panicked", self.0.name())));
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
