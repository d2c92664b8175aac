//! One model's queue, and the thread that serves it while the model is in memory.

use std::{
    sync::{
        Arc, Condvar, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Instant,
};

use ragstone_core::protocol::{Lane, Model, ModelStats};

use super::{
    job::{Item, Places},
    lanes::Lanes,
    meter::Meter,
    registry::{Registry, lock},
};
use crate::{
    failure::Error,
    model::{
        embedder::Embedder,
        folder::{Folder, Stamp},
        manifest::Manifest,
        text::TextEncoder,
    },
    system,
};

/// Exit code of an engine whose memory limit stopped a run of a model (`EX_OSERR`).
const OUT_OF_MEMORY: i32 = 71;

/// What is known of a model without its weights.
pub struct Description {
    /// Its manifest.
    pub manifest: Manifest,
    /// Its tokenizer.
    pub encoder: TextEncoder,
    /// [`Manifest::fingerprint`].
    pub fingerprint: String,
    stamp: Stamp,
}

/// A model's queue.
pub struct Station {
    folder: Folder,
    registry: Arc<Registry>,
    taken: Arc<AtomicUsize>,
    description: Mutex<Option<Arc<Description>>>,
    meter: Mutex<Meter>,
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    lanes: Lanes<Item>,
    thread: Thread,
    unload: bool,
    last_used: Instant,
    error: Option<String>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Thread {
    Stopped,
    Loading,
    Idle(&'static str),
    Busy(&'static str),
}

impl Station {
    /// A queue without a thread; the first text starts one.
    pub fn new(folder: Folder, registry: Arc<Registry>) -> Arc<Self> {
        Arc::new(Self {
            folder,
            registry,
            taken: Arc::default(),
            description: Mutex::default(),
            meter: Mutex::default(),
            state: Mutex::new(State {
                lanes: Lanes::default(),
                thread: Thread::Stopped,
                unload: false,
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

    /// When it was last asked for an embedding.
    pub fn last_used(&self) -> Instant {
        lock(&self.state).last_used
    }

    /// The description if it is in memory and still true: a moment's work.
    pub fn known(&self) -> Option<Arc<Description>> {
        // Somebody who reads the tokenizer holds the lock for up to a second: then it is not known yet.
        let known = self.description.try_lock().ok()?.clone()?;
        (self.folder.stamp().ok()? == known.stamp).then_some(known)
    }

    /// The description, read from the folder if need be.
    ///
    /// # Errors
    /// A file is missing, broken or another one than the manifest says.
    pub fn describe(&self) -> Result<Arc<Description>, Error> {
        let mut slot = lock(&self.description);
        let stamp = self.folder.stamp()?;
        if let Some(known) = slot.as_ref().filter(|known| known.stamp == stamp) {
            return Ok(known.clone());
        }
        let manifest = self.folder.manifest()?;
        let encoder = TextEncoder::new(&self.folder.tokenizer(&manifest)?, manifest.max_tokens)
            .map_err(|reason| self.folder.broken(crate::model::manifest::TOKENIZER, reason))?;
        let fingerprint = manifest.fingerprint();
        let description = Arc::new(Description { manifest, encoder, fingerprint, stamp });
        *slot = Some(description.clone());
        Ok(description)
    }

    /// The model as clients see it, with its error if it has one.
    pub fn report(&self) -> Model {
        let (thread, last_error) = {
            let state = lock(&self.state);
            (state.thread, state.error.clone())
        };
        let runtime = match thread {
            Thread::Idle(runtime) | Thread::Busy(runtime) => Some(runtime.to_owned()),
            _ => None,
        };
        let mut model = match self.describe() {
            Ok(known) => describe_model(&known),
            Err(error) => Model { error: Some(error.to_string()), ..nameless() },
        };
        model.name = self.name().into();
        model.loaded = runtime.is_some();
        model.runtime = runtime;
        model.error = model.error.or(last_error);
        model
    }

    /// The model's counters.
    pub fn stats(&self) -> ModelStats {
        lock(&self.meter).report(self.name(), self.taken.load(Ordering::Relaxed))
    }

    /// Takes places in the queue.
    ///
    /// # Errors
    /// [`Error::QueueFull`]
    pub fn reserve(&self, texts: usize) -> Result<Places, Error> {
        let limit = self.registry.queue_limit();
        Places::take(&self.taken, texts, limit).map_err(|waiting| Error::QueueFull {
            model: self.name().into(),
            texts,
            waiting,
            limit,
        })
    }

    /// Puts texts into a lane, and starts the model's thread if it has none.
    pub fn push(self: &Arc<Self>, lane: Lane, items: impl IntoIterator<Item = Item>) {
        let mut state = lock(&self.state);
        items.into_iter().for_each(|item| state.lanes.push(lane, item));
        state.last_used = Instant::now();
        if state.thread != Thread::Stopped {
            drop(state);
            self.changed.notify_all();
            return;
        }
        state.thread = Thread::Loading;
        state.unload = false;
        drop(state);
        let station = self.clone();
        let spawned = std::thread::Builder::new().name("model".into()).spawn(move || station.serve());
        if let Err(error) = spawned {
            self.stop(&Error::Internal(format!("cannot start a thread: {error}")));
        }
    }

    /// Drops what nobody waits for any more, so that it holds no places.
    pub fn sweep(&self) {
        lock(&self.state).lanes.sweep();
    }

    /// Drops the weights if nothing waits for them, and returns when they are gone.
    pub fn unload_if_idle(&self) {
        let mut state = lock(&self.state);
        if !matches!(state.thread, Thread::Idle(_)) || !state.lanes.is_empty() {
            return;
        }
        state.unload = true;
        self.changed.notify_all();
        while state.unload && state.thread != Thread::Stopped {
            state = self.changed.wait(state).unwrap_or_else(std::sync::PoisonError::into_inner);
        }
    }

    fn serve(self: Arc<Self>) {
        // If the thread panics, whoever waits is told, and the next request starts another.
        let end = EndOfThread(&self);
        let (mut description, mut embedder) = match self.load() {
            Ok(loaded) => loaded,
            Err(error) => return end.with(&error),
        };
        while let Some(batch) = self.next_batch(&embedder) {
            if batch.iter().any(|item| item.job.fingerprint() != description.fingerprint) {
                // The model's folder was written anew: old weights would give vectors under the new fingerprint.
                drop(embedder);
                (description, embedder) = match self.load() {
                    Ok(loaded) => loaded,
                    Err(error) => {
                        batch.iter().for_each(|item| item.job.fail(&error));
                        return end.with(&error);
                    }
                };
            }
            self.run(batch, &description, &mut embedder);
        }
        drop(embedder);
        system::give_memory_back();
        end.quietly();
    }

    /// Waits for work; nothing if the model is to be unloaded.
    fn next_batch(&self, embedder: &Embedder) -> Option<Vec<Item>> {
        let runtime = embedder.runtime();
        let mut state = lock(&self.state);
        state.thread = Thread::Idle(runtime.name());
        loop {
            let batch = state.lanes.take(runtime.budget());
            if !batch.is_empty() {
                state.thread = Thread::Busy(runtime.name());
                if std::mem::take(&mut state.unload) {
                    self.changed.notify_all();
                }
                return Some(batch);
            }
            if state.unload {
                return None;
            }
            state = self.changed.wait(state).unwrap_or_else(std::sync::PoisonError::into_inner);
        }
    }

    fn run(&self, batch: Vec<Item>, description: &Description, embedder: &mut Embedder) {
        let (batch, stale): (Vec<Item>, Vec<Item>) =
            batch.into_iter().partition(|item| item.job.fingerprint() == description.fingerprint);
        for item in stale {
            item.job
                .fail(&Error::Argument(format!("model \"{}\" was replaced during the call", self.name())));
        }
        if batch.is_empty() {
            return;
        }
        let begin = Instant::now();
        let texts: Vec<_> = batch.iter().map(|item| &item.tokens).collect();
        let embedded = embedder.embed(&texts);
        let time = begin.elapsed();
        let tokens = texts.iter().map(|text| text.ids.len()).sum();
        let mut answered = 0;
        match &embedded {
            Ok(vectors) => {
                let dimensions = description.manifest.dimensions as usize;
                for (item, vector) in batch.iter().zip(vectors.chunks_exact(dimensions)) {
                    answered += u64::from(item.job.complete(item.index, item.tokens.whole, vector));
                }
            }
            // Clients ask again, and the next engine begins with the memory that this one has lost.
            Err(error) if system::is_near_memory_limit() => {
                eprintln!("ragstone-engine: ends since its memory limit is reached: {error}");
                system::exit_now(OUT_OF_MEMORY);
            }
            Err(error) => batch.iter().for_each(|item| item.job.fail(error)),
        }
        let mut meter = lock(&self.meter);
        meter.ran(batch.len(), tokens, time);
        batch.iter().for_each(|item| meter.waited(begin.saturating_duration_since(item.since)));
        (0..answered).for_each(|_| meter.answered());
    }

    fn load(&self) -> Result<(Arc<Description>, Embedder), Error> {
        let _one_at_a_time = self.registry.begin_loading();
        let description = self.describe()?;
        let manifest = &description.manifest;
        self.folder.verify(manifest)?;
        let stored = self.folder.size(manifest);
        let make_room = |times| self.registry.make_room(self.name(), stored * times);
        let embedder =
            self.registry.library().open(&self.folder, manifest, &description.encoder, &make_room)?;
        system::give_memory_back();
        lock(&self.state).error = None;
        Ok((description, embedder))
    }

    fn stop(&self, error: &Error) {
        let waiting = {
            let mut state = lock(&self.state);
            state.thread = Thread::Stopped;
            state.unload = false;
            state.error = Some(error.to_string());
            state.lanes.drain()
        };
        self.changed.notify_all();
        waiting.iter().for_each(|item| item.job.fail(error));
    }
}

/// Leaves the station without a thread, however the thread ends.
struct EndOfThread<'a>(&'a Arc<Station>);

impl EndOfThread<'_> {
    fn with(self, error: &Error) {
        self.0.stop(error);
        std::mem::forget(self);
    }

    fn quietly(self) {
        let mut state = lock(&self.0.state);
        state.thread = Thread::Stopped;
        state.unload = false;
        let late = state.lanes.drain();
        drop(state);
        self.0.changed.notify_all();
        // Texts that came in while the weights were dropped start a new thread.
        for item in late {
            self.0.push(Lane::Bulk, [item]);
        }
        std::mem::forget(self);
    }
}

impl Drop for EndOfThread<'_> {
    fn drop(&mut self) {
        self.0.stop(&Error::Internal(format!("the thread of model \"{}\" panicked", self.0.name())));
    }
}

fn describe_model(known: &Description) -> Model {
    let manifest = &known.manifest;
    Model {
        dimensions: manifest.dimensions,
        max_tokens: manifest.max_tokens,
        special_tokens: u32::try_from(known.encoder.special_tokens()).unwrap_or(u32::MAX),
        pooling: manifest.pooling.as_str().into(),
        normalized: manifest.normalize,
        query_prefix: manifest.query_prefix.clone(),
        document_prefix: manifest.document_prefix.clone(),
        licence: manifest.licence.clone(),
        fingerprint: known.fingerprint.clone(),
        ..nameless()
    }
}

fn nameless() -> Model {
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
