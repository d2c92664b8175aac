//! What the supervisor decides when it starts an engine.

use std::path::PathBuf;

use crate::runtime::library::LibrarySettings;

/// The options of an engine that serves.
#[derive(Debug, Clone)]
pub struct ServeOptions {
    /// Folder of socket and lock.
    pub socket_directory: PathBuf,
    /// Folder that holds a folder for each model.
    pub models: PathBuf,
    /// Which library runs the models.
    pub library: LibrarySettings,
    /// Memory limit of this process, MB.
    pub memory_mb: u64,
    /// Maximum number of texts that may wait for one model.
    pub queue_limit: usize,
    /// How many times the supervisor has restarted the engine.
    pub restarts: u32,
}
