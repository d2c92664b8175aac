//! The interface that a model's queue needs from the registry that owns it.

use std::sync::MutexGuard;

use crate::{failure::Error, runtime::library::Library};

/// The limits and resources that all models of the process share.
pub trait Host: Send + Sync {
    /// The library that runs the models.
    fn library(&self) -> &Library;

    /// How many parallel copies of a model with `stored` bytes of files may be in memory beside its sole copy. It is
    /// never one: a single parallel copy would only have fewer threads than the sole copy.
    fn parallel_copies(&self, stored: u64) -> usize;

    /// Maximum number of texts that may wait for one model.
    fn queue_limit(&self) -> usize;

    /// Waits until no other model is being loaded, and blocks further loads while the guard is held.
    fn begin_loading(&self) -> MutexGuard<'_, ()>;

    /// Unloads idle models, the least recently used first, until `model` fits, which needs `bytes` while it is loaded.
    ///
    /// # Errors
    /// [`Error::Memory`]
    fn make_room(&self, model: &str, bytes: u64) -> Result<(), Error>;
}
