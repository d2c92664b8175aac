//! Installing models: from a folder on the web that holds a manifest, or from a hub of the Hugging Face layout.
//!
//! Files come into a hidden folder beside the models, where an interrupted download goes on the next time; the
//! finished folder gets its name by a rename, so that no engine ever sees half a model.

mod download;

pub mod hub;

mod install;

use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::{
    failure,
    model::{
        folder::{Folder, is_model_name},
        manifest::{Golden, MANIFEST, Manifest},
        text::TextEncoder,
    },
    runtime::library::{Library, unlimited},
};
use download::Downloader;
use install::Staging;

/// Why a model cannot be installed.
#[derive(Debug, Error)]
pub enum PullError {
    /// The server cannot be reached or broke off.
    #[error("cannot download {url}: {reason}")]
    Download {
        /// What was asked for.
        url: String,
        /// What happened.
        reason: String,
    },
    /// The server has no such file.
    #[error("{url}: no such file on the server (status 404)")]
    Missing {
        /// What was asked for.
        url: String,
    },
    /// The file is another one than promised.
    #[error("sha256 of {url}: expected {expected}, actual {actual}")]
    Checksum {
        /// What was asked for.
        url: String,
        /// Promised.
        expected: String,
        /// Of the file.
        actual: String,
    },
    /// What the server sent describes no model that can be used.
    #[error("{url}: {reason}")]
    Content {
        /// What was read.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The models' folder cannot be written.
    #[error("cannot write {}: {reason}", path.display())]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// What the system says.
        reason: String,
    },
    /// The model cannot be run.
    #[error(transparent)]
    Model(#[from] failure::Error),
}

/// Installs a model and returns its name. `source` is the address of a folder with a manifest, or `owner/repository`
/// on the hub at `hub` (without an owner: sentence-transformers).
///
/// # Errors
/// Nothing is installed then; what was downloaded is kept for the next time.
pub fn pull(source: &str, models: &Path, hub: &str, library: &Library) -> Result<String, PullError> {
    let downloader = Downloader::new();
    if source.starts_with("http://") || source.starts_with("https://") {
        pull_folder(&downloader, source.trim_end_matches('/'), models, library)
    } else {
        pull_from_hub(&downloader, source, models, hub.trim_end_matches('/'), library)
    }
}

fn pull_folder(
    downloader: &Downloader,
    url: &str,
    models: &Path,
    library: &Library,
) -> Result<String, PullError> {
    let address = format!("{url}/{MANIFEST}");
    let json = downloader.read(&address)?;
    let content = |reason: String| PullError::Content { url: address.clone(), reason };
    let manifest = Manifest::parse(&json).map_err(content)?;
    if !is_model_name(&manifest.name) {
        return Err(content(format!("name \"{}\" is not valid", manifest.name)));
    }
    let staging = Staging::open(models, &manifest.name)?;
    for (file, sum) in &manifest.files {
        downloader.fetch(&format!("{url}/{file}"), &staging.file(file), Some(sum))?;
    }
    staging.write(MANIFEST, &json)?;
    open(&staging, &manifest, library)?;
    staging.install()?;
    Ok(manifest.name)
}

fn pull_from_hub(
    downloader: &Downloader,
    source: &str,
    models: &Path,
    hub: &str,
    library: &Library,
) -> Result<String, PullError> {
    let repository =
        hub::Repository::parse(source).map_err(|reason| PullError::Content { url: source.into(), reason })?;
    let staging = Staging::open(models, repository.name())?;
    let mut manifest = repository.fetch(downloader, hub, &staging)?;
    let mut embedder = open(&staging, &manifest, library)?;
    let encoder = encoder(&staging, &manifest)?;
    for text in GOLDEN {
        let tokens = encoder.encode(text).map_err(failure::Error::Internal)?;
        let values = embedder.embed(&[&tokens])?.into_iter().take(GOLDEN_VALUES).collect();
        manifest.golden.push(Golden { text: text.into(), values });
    }
    let json =
        serde_json::to_vec_pretty(&manifest).map_err(|error| failure::Error::Internal(error.to_string()))?;
    staging.write(MANIFEST, &json)?;
    staging.install()?;
    Ok(manifest.name)
}

/// Runs the model once before it is installed.
fn open(
    staging: &Staging,
    manifest: &Manifest,
    library: &Library,
) -> Result<crate::model::embedder::Embedder, PullError> {
    let folder = Folder::staged(&manifest.name, staging.path());
    folder.verify(manifest)?;
    Ok(library.open(&folder, manifest, &encoder(staging, manifest)?, &unlimited)?)
}

fn encoder(staging: &Staging, manifest: &Manifest) -> Result<TextEncoder, PullError> {
    let folder = Folder::staged(&manifest.name, staging.path());
    let encoder = TextEncoder::new(&folder.tokenizer(manifest)?, manifest.max_tokens);
    Ok(encoder.map_err(|reason| folder.broken(crate::model::manifest::TOKENIZER, reason))?)
}

/// Checks an installed model as the engine does when it loads it, and says what it is.
///
/// # Errors
/// What the engine would say.
pub fn check(path: &Path, library: &Library) -> Result<String, failure::Error> {
    let path = std::path::absolute(path).map_err(|error| failure::Error::Internal(error.to_string()))?;
    let folder = Folder::at(&path)?;
    let manifest = folder.manifest()?;
    folder.verify(&manifest)?;
    let encoder = TextEncoder::new(&folder.tokenizer(&manifest)?, manifest.max_tokens)
        .map_err(|reason| folder.broken(crate::model::manifest::TOKENIZER, reason))?;
    let embedder = library.open(&folder, &manifest, &encoder, &unlimited)?;
    Ok(format!(
        "{}: {} files and {} golden vectors agree; {} dimensions, {} tokens, fingerprint {}, runs with {} ({})",
        folder.name(),
        manifest.files.len(),
        manifest.golden.len(),
        manifest.dimensions,
        manifest.max_tokens,
        manifest.fingerprint(),
        embedder.runtime().name(),
        library.describe()
    ))
}

/// Sentences whose vectors are kept with a model from the hub.
const GOLDEN: [&str; 3] = [
    "PostgreSQL is a relational database.",
    "The quick brown fox jumps over the lazy dog.",
    "How do I take a base backup while the server is running and serving many clients?",
];
const GOLDEN_VALUES: usize = 8;
