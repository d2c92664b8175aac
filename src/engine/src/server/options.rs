//! The options that the supervisor passes when it starts an engine.

use std::path::{Path, PathBuf};

use crate::{runtime::library::LibrarySettings, sandbox::existing_folder};

/// The options of an engine that serves.
#[derive(Debug, Clone)]
pub struct ServeOptions {
    /// Folder of socket and lock.
    pub socket_directory: PathBuf,
    /// Folder that holds a folder for each model.
    pub models: PathBuf,
    /// The library that runs the models.
    pub library: LibrarySettings,
    /// Memory limit of this process, MB.
    pub memory_mb: u64,
    /// Maximum number of texts that may wait for one model.
    pub queue_limit: usize,
    /// How many times the supervisor has restarted the engine.
    pub restarts: u32,
}

impl ServeOptions {
    /// The paths that an engine with these options reads: models and the libraries that run them. Symbolic links to
    /// models are resolved once, now.
    pub fn readable_paths(&self) -> Vec<PathBuf> {
        let models = self.models.read_dir().into_iter().flatten().flatten();
        let linked_models = models.filter_map(|entry| entry.path().canonicalize().ok());
        let library = &self.library.onnxruntime;
        // The library may be a link into another folder, which also has the libraries that it needs.
        let linked_library = library.canonicalize().unwrap_or_default();
        let libraries =
            [library, &linked_library].into_iter().filter_map(|file| file.parent().map(Path::to_owned));
        [existing_folder(&self.models), self.library.openvino.clone()]
            .into_iter()
            .chain(linked_models)
            .chain(libraries)
            .collect()
    }
}
