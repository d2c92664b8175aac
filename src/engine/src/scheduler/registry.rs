//! The queues of all models, and the resources that they share.

use std::{
    collections::HashMap,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard},
};

use super::{host::Host, model_queue::ModelQueue};
use crate::{
    failure::Error,
    lock::lock,
    model::folder::ModelFolder,
    runtime::{library::Library, openvino},
    system,
};

/// Maximum number of parallel copies of a model. Each runs its own batch, so with more copies a single batch has fewer threads.
const MAX_PARALLEL_COPIES: usize = 4;

/// The copies of a model may take this fraction, one half, of the engine's memory while they are loaded.
const MEMORY_PART: u64 = 2;

/// The queues of all models that were requested.
pub struct Registry {
    models: PathBuf,
    library: Library,
    memory_mb: u64,
    queue_limit: usize,
    queues: Mutex<HashMap<String, Arc<ModelQueue>>>,
    /// Held while a model is loaded, so that two loads cannot both count on the same free memory.
    loading: Mutex<()>,
}

impl Registry {
    /// A registry without loaded models.
    pub fn new(models: PathBuf, library: Library, memory_mb: u64, queue_limit: usize) -> Arc<Self> {
        Arc::new(Self {
            models,
            library,
            memory_mb,
            queue_limit,
            queues: Mutex::default(),
            loading: Mutex::default(),
        })
    }

    /// The folder where models are installed.
    pub fn models_folder(&self) -> &PathBuf {
        &self.models
    }

    /// The queue of an installed model.
    ///
    /// # Errors
    /// The name is not valid or not installed.
    pub fn queue(self: &Arc<Self>, name: &str) -> Result<Arc<ModelQueue>, Error> {
        if let Some(queue) = lock(&self.queues).get(name) {
            return Ok(queue.clone());
        }
        let folder = ModelFolder::find(&self.models, name)?;
        let mut queues = lock(&self.queues);
        Ok(queues.entry(name.into()).or_insert_with(|| ModelQueue::new(folder, self.clone())).clone())
    }

    /// All queues, sorted by the names of their models.
    pub fn queues(&self) -> Vec<Arc<ModelQueue>> {
        let mut queues: Vec<_> = lock(&self.queues).values().cloned().collect();
        queues.sort_by(|a, b| a.name().cmp(b.name()));
        queues
    }
}

impl Host for Registry {
    fn library(&self) -> &Library {
        &self.library
    }

    fn parallel_copies(&self, stored: u64) -> usize {
        let fitting = (self.memory_mb << 20) / MEMORY_PART / (stored * openvino::LOADED_PER_STORED).max(1);
        let beside_sole = (fitting as usize).saturating_sub(1);
        let copies = self.library.threads().min(MAX_PARALLEL_COPIES).min(beside_sole);
        if copies > 1 { copies } else { 0 }
    }

    fn queue_limit(&self) -> usize {
        self.queue_limit
    }

    fn begin_loading(&self) -> MutexGuard<'_, ()> {
        lock(&self.loading)
    }

    fn make_room(&self, model: &str, bytes: u64) -> Result<(), Error> {
        let mut idle = self.queues();
        idle.retain(|queue| queue.name() != model);
        idle.sort_by_key(|queue| std::cmp::Reverse(queue.last_used()));
        loop {
            let (needed, used) = (bytes >> 20, system::resident_bytes() >> 20);
            if used + needed <= self.memory_mb {
                return Ok(());
            }
            let may_fit = needed <= self.memory_mb;
            match idle.pop().filter(|_| may_fit) {
                Some(queue) => queue.unload_if_idle(),
                None => {
                    return Err(Error::Memory { model: model.into(), needed, used, limit: self.memory_mb });
                }
            }
        }
    }
}
