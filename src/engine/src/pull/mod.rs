//! Installing models: from a folder on the web that holds a manifest, or from a hub of the Hugging Face layout.
//!
//! Files are downloaded into a hidden folder beside the models, where the next attempt resumes an interrupted download. A rename
//! gives the finished folder its name, so that no engine sees half a model.

pub mod error;

mod download;

pub mod hub;

mod install;

use std::path::Path;

use crate::{
    failure,
    model::{
        folder::{ModelFolder, is_model_name},
        manifest::{GoldenVector, MANIFEST, Manifest, TOKENIZER},
        text::TextEncoder,
    },
    runtime::{
        embedder::Embedder,
        library::{Library, Resources},
    },
};
use download::Downloader;
use error::PullError;
use install::Staging;

/// Installs a model and returns its name. `source` is the address of a folder with a manifest, or `owner/repository`
/// on the hub at `hub` (without an owner: sentence-transformers).
///
/// # Errors
/// Nothing is installed; downloaded files are kept for the next attempt.
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
    // A server must not choose which installed model its own model replaces.
    if !url.ends_with(&format!("/{}", manifest.name)) {
        return Err(content(format!("the address does not end in the model's name, \"{}\"", manifest.name)));
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
    for text in GOLDEN_SENTENCES {
        let tokens = encoder.encode(text).map_err(failure::Error::Internal)?;
        let values = embedder.embed(&[&tokens])?.into_iter().take(GOLDEN_VALUES).collect();
        manifest.golden.push(GoldenVector { text: text.into(), values });
    }
    let json =
        serde_json::to_vec_pretty(&manifest).map_err(|error| failure::Error::Internal(error.to_string()))?;
    staging.write(MANIFEST, &json)?;
    staging.install()?;
    Ok(manifest.name)
}

/// Runs the model once before it is installed.
fn open(staging: &Staging, manifest: &Manifest, library: &Library) -> Result<Embedder, PullError> {
    let folder = ModelFolder::staged(&manifest.name, staging.path());
    folder.verify(manifest)?;
    Ok(library.open(
        &folder,
        manifest,
        &encoder(staging, manifest)?,
        Resources::without_limit(library.threads()),
    )?)
}

fn encoder(staging: &Staging, manifest: &Manifest) -> Result<TextEncoder, PullError> {
    let folder = ModelFolder::staged(&manifest.name, staging.path());
    let encoder = TextEncoder::new(&folder.tokenizer(manifest)?, manifest.max_tokens);
    Ok(encoder.map_err(|reason| folder.content_error(TOKENIZER, reason))?)
}

/// Checks an installed model as the engine does when it loads it, and describes it in one line.
///
/// # Errors
/// Errors of loading the model.
pub fn check(path: &Path, library: &Library) -> Result<String, failure::Error> {
    let path = std::path::absolute(path).map_err(|error| failure::Error::Internal(error.to_string()))?;
    let folder = ModelFolder::at(&path)?;
    let manifest = folder.manifest()?;
    folder.verify(&manifest)?;
    let encoder = TextEncoder::new(&folder.tokenizer(&manifest)?, manifest.max_tokens)
        .map_err(|reason| folder.content_error(TOKENIZER, reason))?;
    let embedder = library.open(&folder, &manifest, &encoder, Resources::without_limit(library.threads()))?;
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
const GOLDEN_SENTENCES: [&str; 3] = [
    "PostgreSQL is a relational database.",
    "The quick brown fox jumps over the lazy dog.",
    "How do I take a base backup while the server is running and serving many clients?",
];
/// How many values of each of these vectors are kept.
const GOLDEN_VALUES: usize = 8;
