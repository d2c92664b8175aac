//! The stations of all models, and what they share.

use std::{
    collections::HashMap,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use super::station::Station;
use crate::{failure::Error, model::folder::Folder, runtime::library::Library, system};

/// All models that were asked for.
pub struct Registry {
    models: PathBuf,
    library: Library,
    memory_mb: u64,
    queue_limit: usize,
    stations: Mutex<HashMap<String, Arc<Station>>>,
    /// Held while weights are read, so that two loads cannot both take the same free memory.
    loading: Mutex<()>,
}

impl Registry {
    /// No model is loaded yet.
    pub fn new(models: PathBuf, library: Library, memory_mb: u64, queue_limit: usize) -> Arc<Self> {
        Arc::new(Self {
            models,
            library,
            memory_mb,
            queue_limit,
            stations: Mutex::default(),
            loading: Mutex::default(),
        })
    }

    /// Where models are installed.
    pub fn models(&self) -> &PathBuf {
        &self.models
    }

    /// The library that runs them.
    pub fn library(&self) -> &Library {
        &self.library
    }

    /// Most texts that may wait for one model.
    pub fn queue_limit(&self) -> usize {
        self.queue_limit
    }

    /// The station of an installed model.
    ///
    /// # Errors
    /// The name is not valid or not installed.
    pub fn station(self: &Arc<Self>, name: &str) -> Result<Arc<Station>, Error> {
        if let Some(station) = lock(&self.stations).get(name) {
            return Ok(station.clone());
        }
        let folder = Folder::find(&self.models, name)?;
        let mut stations = lock(&self.stations);
        Ok(stations.entry(name.into()).or_insert_with(|| Station::new(folder, self.clone())).clone())
    }

    /// All stations by name.
    pub fn stations(&self) -> Vec<Arc<Station>> {
        let mut stations: Vec<_> = lock(&self.stations).values().cloned().collect();
        stations.sort_by(|a, b| a.name().cmp(b.name()));
        stations
    }

    /// Waits for other loads to end, and keeps further ones waiting while the guard lives.
    pub fn begin_loading(&self) -> MutexGuard<'_, ()> {
        lock(&self.loading)
    }

    /// Makes room for a model that takes `bytes` while it is loaded by unloading idle ones, the longest unused first.
    ///
    /// # Errors
    /// [`Error::Memory`]
    pub fn make_room(&self, model: &str, bytes: u64) -> Result<(), Error> {
        let mut idle = self.stations();
        idle.retain(|station| station.name() != model);
        idle.sort_by_key(|station| std::cmp::Reverse(station.last_used()));
        loop {
            let (needed, used) = (bytes >> 20, system::resident_bytes() >> 20);
            if used + needed <= self.memory_mb {
                return Ok(());
            }
            let may_fit = needed <= self.memory_mb;
            match idle.pop().filter(|_| may_fit) {
                Some(station) => station.unload_if_idle(),
                None => {
                    return Err(Error::Memory { model: model.into(), needed, used, limit: self.memory_mb });
                }
            }
        }
    }
}

/// Locks; what a thread left when it panicked is still whole, since nothing here is changed in two steps.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
