//! The threads that run a model while it is in memory. Each has a copy of the model and runs its own batches.
//!
//! The threads of one run wait for each other at each operator; on a busy machine they wait for the thread that the
//! kernel schedules last. Parallel copies do not wait for each other, so they have the highest throughput when many
//! texts wait. A single batch finishes sooner with all threads together: the sole copy, which is loaded first, runs
//! such batches.

use std::{
    collections::HashMap,
    sync::{Arc, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use super::{
    fair_queue::{Batch, Bill},
    job::{CompleteAnswer, EmbeddingJob, QueuedText},
    model_queue::{ModelDescription, ModelQueue, QueueState},
    runners::{Activity, ModelCopy},
};
use crate::{
    failure::Error,
    lock::lock,
    outbox::REPORT_INTERVAL,
    runtime::{embedder::Embedder, library::Resources},
    system,
};

/// How long a parallel copy without work stays in memory. Loading it again takes about a second, in which the others continue.
const MAX_IDLE_TIME: Duration = Duration::from_secs(60);

/// How long clients get signs of progress while a model is loaded or waits for another load.
const MAX_LOAD_TIME: Duration = Duration::from_secs(600);

/// Exit code of an engine whose memory limit stopped a run of a model (`EX_OSERR`).
const EXIT_OUT_OF_MEMORY: i32 = 71;

impl ModelQueue {
    /// Starts a thread that loads a copy of the model.
    pub(super) fn start_runner(self: &Arc<Self>, copy: ModelCopy, mut state: MutexGuard<'_, QueueState>) {
        state.runners.enter(copy, Activity::Loading);
        drop(state);
        // The error to report if the thread panics or cannot be started.
        let error = Some(Error::Internal(format!("a thread of model \"{}\" failed", self.name())));
        let runner = Runner { queue: self.clone(), copy, activity: Activity::Loading, error };
        let _ = std::thread::Builder::new().name("model".into()).spawn(move || runner.run());
    }

    /// Sends a sign of progress to the clients whose texts wait for the load of the model. It stops after
    /// [`MAX_LOAD_TIME`]: reading the file may be stuck.
    pub fn report_load(&self) {
        let since = lock(&self.state).loading_since;
        if since.is_some_and(|since| since.elapsed() < MAX_LOAD_TIME) {
            self.report_work();
        }
    }

    /// Sends a sign of progress to the clients whose texts wait.
    fn report_work(&self) {
        let waiting: HashMap<*const EmbeddingJob, Arc<EmbeddingJob>> = {
            let state = lock(&self.state);
            state.texts.iter().map(|text| (Arc::as_ptr(&text.job), text.job.clone())).collect()
        };
        waiting.values().for_each(|job| job.report_work());
    }

    /// Waits until something has changed. `None` if the copy has been idle for too long.
    fn wait_for_change<'s>(
        &'s self,
        copy: ModelCopy,
        state: MutexGuard<'s, QueueState>,
        idle_since: Instant,
    ) -> Option<MutexGuard<'s, QueueState>> {
        match copy {
            ModelCopy::Sole => Some(self.changed.wait(state).unwrap_or_else(PoisonError::into_inner)),
            ModelCopy::Parallel => {
                let rest = MAX_IDLE_TIME.checked_sub(idle_since.elapsed())?;
                Some(
                    self.parallel_changed.wait_timeout(state, rest).unwrap_or_else(PoisonError::into_inner).0,
                )
            }
        }
    }

    fn load(&self, copy: ModelCopy) -> Result<(Arc<ModelDescription>, Embedder), Error> {
        let _load = Load::begin(self);
        let _one_at_a_time = self.host.begin_loading();
        let description = self.describe()?;
        let manifest = &description.manifest;
        self.folder.verify(manifest)?;
        let stored = self.folder.size(manifest);
        let most_parallel = self.host.parallel_copies(stored);
        let parts = match copy {
            ModelCopy::Sole => 1,
            ModelCopy::Parallel => most_parallel.max(1),
        };
        let resources = Resources {
            threads: self.host.library().threads().div_ceil(parts),
            make_room: &|times| self.host.make_room(self.name(), stored * times),
        };
        let embedder = self.host.library().open(&self.folder, manifest, &description.encoder, resources)?;
        system::release_free_memory();
        let mut state = lock(&self.state);
        state.error = None;
        state.runners.most_parallel = most_parallel;
        drop(state);
        Ok((description, embedder))
    }
}

/// A load of a model that is in progress.
struct Load<'q>(&'q ModelQueue);

impl<'q> Load<'q> {
    fn begin(queue: &'q ModelQueue) -> Self {
        lock(&queue.state).loading_since = Some(Instant::now());
        Self(queue)
    }
}

impl Drop for Load<'_> {
    fn drop(&mut self) {
        lock(&self.0.state).loading_since = None;
    }
}

/// A thread that runs a model.
struct Runner {
    queue: Arc<ModelQueue>,
    copy: ModelCopy,
    activity: Activity,
    /// Why the thread ends, unless the model is unloaded.
    error: Option<Error>,
}

impl Runner {
    fn run(mut self) {
        let (mut description, mut embedder) = match self.queue.load(self.copy) {
            Ok(loaded) => loaded,
            Err(error) => return self.fail(&error),
        };
        let mut reported = Instant::now();
        while let Some(Batch { texts, bill }) = self.wait_for_batch(&embedder) {
            if texts.iter().any(|text| text.job.fingerprint() != description.fingerprint) {
                // The model was reinstalled: the old weights would give vectors under the new fingerprint.
                drop(embedder);
                (description, embedder) = match self.queue.load(self.copy) {
                    Ok(loaded) => loaded,
                    Err(error) => {
                        texts.iter().for_each(|text| text.job.fail(&error));
                        return self.fail(&error);
                    }
                };
            }
            self.run_batch(texts, bill, &description, &mut embedder);
            if reported.elapsed() >= REPORT_INTERVAL {
                self.queue.report_work();
                reported = Instant::now();
            }
        }
        drop(embedder);
        system::release_free_memory();
        self.end();
    }

    /// Waits for texts. `None` if the copy is to be unloaded.
    fn wait_for_batch(&mut self, embedder: &Embedder) -> Option<Batch<QueuedText>> {
        let queue = self.queue.clone();
        let runtime = embedder.runtime();
        let mut state = lock(&queue.state);
        state.runners.runtime = Some(runtime.name());
        self.become_in(&mut state, Activity::Idle);
        if !state.texts.is_empty() {
            // The change may have made this batch the work of another waiting thread.
            queue.wake_all();
        }
        let idle_since = Instant::now();
        loop {
            let limits = state.pace.limits(runtime.batch_limits());
            let may_run = state.runners.may_run(self.copy, state.texts.is_one_batch(limits));
            if let Some(batch) = may_run.then(|| state.texts.next_batch(limits)).flatten() {
                self.become_in(&mut state, Activity::Busy);
                if std::mem::take(&mut state.unload_requested) || !state.texts.is_empty() {
                    queue.wake_all();
                }
                if !state.texts.is_empty() && state.runners.want_another() {
                    queue.start_runner(ModelCopy::Parallel, state);
                }
                return Some(batch);
            }
            if state.unload_requested && state.texts.is_empty() {
                return None;
            }
            state = queue.wait_for_change(self.copy, state, idle_since)?;
        }
    }

    fn run_batch(
        &self,
        batch: Vec<QueuedText>,
        bill: Bill,
        description: &ModelDescription,
        embedder: &mut Embedder,
    ) {
        let (batch, stale): (Vec<QueuedText>, Vec<QueuedText>) =
            batch.into_iter().partition(|text| text.job.fingerprint() == description.fingerprint);
        for text in stale {
            let name = self.queue.name();
            text.job.fail(&Error::Argument(format!("model \"{name}\" was replaced during the call")));
        }
        if batch.is_empty() {
            return;
        }
        let begin = Instant::now();
        let tokens: Vec<_> = batch.iter().map(|text| &text.tokens).collect();
        let embedded = embedder.embed(&tokens);
        let time = begin.elapsed();
        let longest = tokens.iter().map(|text| text.ids.len()).max().unwrap_or(0);
        {
            let mut state = lock(&self.queue.state);
            state.texts.charge(bill, time);
            state.pace.record(longest * tokens.len(), time);
        }
        let token_count = tokens.iter().map(|text| text.ids.len()).sum();
        let mut answers = Vec::new();
        match &embedded {
            Ok(vectors) => {
                let dimensions = description.manifest.dimensions as usize;
                for (text, vector) in batch.iter().zip(vectors.chunks_exact(dimensions)) {
                    answers.extend(text.job.complete(text.index, &text.tokens, vector));
                }
            }
            // Only a new engine gets this memory back. Clients repeat their requests there.
            Err(error) if system::is_near_memory_limit() => {
                eprintln!("ragstone-engine: exits because its memory limit is reached: {error}");
                system::exit_now(EXIT_OUT_OF_MEMORY);
            }
            Err(error) => batch.iter().for_each(|text| text.job.fail(error)),
        }
        // Counted first, so that a client that has its answer finds it in the counters.
        let mut meter = lock(&self.queue.meter);
        meter.record_batch(batch.len(), token_count, time);
        batch.iter().for_each(|text| meter.record_wait(begin.saturating_duration_since(text.since)));
        answers.iter().for_each(|_| meter.record_answer());
        drop(meter);
        answers.into_iter().for_each(CompleteAnswer::send);
    }

    fn become_in(&mut self, state: &mut QueueState, activity: Activity) {
        state.runners.leave(self.copy, self.activity);
        state.runners.enter(self.copy, activity);
        self.activity = activity;
    }

    /// Ends the thread. If other threads have the model, they run the waiting texts; otherwise the waiting texts fail.
    fn fail(mut self, error: &Error) {
        self.error = Some(error.clone());
    }

    fn end(mut self) {
        self.error = None;
    }
}

impl Drop for Runner {
    /// Removes the thread from the counts, however it ends.
    fn drop(&mut self) {
        let mut state = lock(&self.queue.state);
        state.runners.leave(self.copy, self.activity);
        let others = state.runners.count();
        let waiting = match &self.error {
            Some(error) if others > 0 => {
                eprintln!(
                    "ragstone-engine: could not load one more copy of model \"{}\": {error}",
                    self.queue.name()
                );
                if self.copy == ModelCopy::Parallel {
                    state.runners.most_parallel = state.runners.parallel();
                }
                Vec::new()
            }
            Some(error) => {
                state.error = Some(error.to_string());
                state.texts.drain()
            }
            None => Vec::new(),
        };
        if others == 0 {
            state.unload_requested = false;
        }
        if others == 0 && !state.texts.is_empty() {
            // Texts arrived while the model was unloaded.
            self.queue.start_runner(ModelCopy::Sole, state);
        } else {
            drop(state);
        }
        self.queue.wake_all();
        if let Some(error) = &self.error {
            waiting.iter().for_each(|text| text.job.fail(error));
        }
    }
}
