//! A model's folder on disk: finds it by name, reads it, checks it.

use std::{
    fs,
    io::Read,
    path::{Path, PathBuf},
    time::SystemTime,
};

use sha2::{Digest, Sha256};

use super::manifest::{GRAPH, MANIFEST, Manifest, TOKENIZER, hex};
use crate::failure::Error;

/// An installed model.
#[derive(Debug, Clone)]
pub struct ModelFolder {
    name: String,
    path: PathBuf,
}

/// Identifies a version of the manifest by its time and length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ManifestStamp {
    modified: SystemTime,
    length: u64,
}

impl ModelFolder {
    /// The folder of model `name` under `models`.
    ///
    /// # Errors
    /// The name is not valid, or there is no such folder.
    pub fn find(models: &Path, name: &str) -> Result<Self, Error> {
        if !is_model_name(name) {
            return Err(Error::ModelName(name.chars().take(80).collect()));
        }
        let path = models.join(name);
        if !path.is_dir() {
            return Err(Error::UnknownModel { name: name.into(), models: models.into() });
        }
        Ok(Self { name: name.into(), path })
    }

    /// The folder at `path`, named as its last component.
    ///
    /// # Errors
    /// The path has no last component that could be a model's name.
    pub fn at(path: &Path) -> Result<Self, Error> {
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        if !is_model_name(&name) {
            return Err(Error::ModelName(name));
        }
        Ok(Self { name, path: path.into() })
    }

    /// The folder of a model that is being installed.
    pub fn staged(name: &str, path: &Path) -> Self {
        Self { name: name.into(), path: path.into() }
    }

    /// Names of the folders under `models` that hold a manifest, sorted.
    pub fn installed(models: &Path) -> Vec<String> {
        let entries = fs::read_dir(models).into_iter().flatten().flatten();
        let mut names: Vec<String> = entries
            .filter(|entry| entry.path().join(MANIFEST).exists())
            .filter_map(|entry| entry.file_name().into_string().ok())
            .filter(|name| is_model_name(name))
            .collect();
        names.sort();
        names
    }

    /// The model's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The graph's path.
    pub fn graph(&self) -> PathBuf {
        self.path.join(GRAPH)
    }

    /// Identifies the version of the manifest without reading it.
    ///
    /// # Errors
    /// There is no manifest.
    pub fn stamp(&self) -> Result<ManifestStamp, Error> {
        if !self.path.is_dir() {
            let models = self.path.parent().unwrap_or(&self.path).into();
            return Err(Error::UnknownModel { name: self.name.clone(), models });
        }
        let file = self.path.join(MANIFEST);
        let stamp = fs::metadata(&file)
            .and_then(|meta| Ok(ManifestStamp { modified: meta.modified()?, length: meta.len() }));
        stamp.map_err(|error| self.file_error(&file, &error))
    }

    /// The manifest.
    ///
    /// # Errors
    /// It cannot be read, or is not valid.
    pub fn manifest(&self) -> Result<Manifest, Error> {
        Manifest::parse(&self.read(MANIFEST)?).map_err(|reason| self.content_error(MANIFEST, reason))
    }

    /// The bytes of the tokenizer, checked against the manifest.
    ///
    /// # Errors
    /// It cannot be read, or has another checksum.
    pub fn tokenizer(&self, manifest: &Manifest) -> Result<Vec<u8>, Error> {
        let bytes = self.read(TOKENIZER)?;
        self.verify_checksum(manifest, TOKENIZER, &hex(&Sha256::digest(&bytes)))?;
        Ok(bytes)
    }

    /// Checks every file of the manifest.
    ///
    /// # Errors
    /// One cannot be read, or has another checksum.
    pub fn verify(&self, manifest: &Manifest) -> Result<(), Error> {
        for name in manifest.files.keys() {
            let file = self.path.join(name);
            let sum = sha256_of(&file).map_err(|error| self.file_error(&file, &error))?;
            self.verify_checksum(manifest, name, &sum)?;
        }
        Ok(())
    }

    /// Size of all files of the manifest that exist, bytes.
    pub fn size(&self, manifest: &Manifest) -> u64 {
        manifest
            .files
            .keys()
            .filter_map(|name| fs::metadata(self.path.join(name)).ok())
            .map(|meta| meta.len())
            .sum()
    }

    /// An error about the content of one of its files.
    pub fn content_error(&self, file: &str, reason: impl ToString) -> Error {
        Error::ModelContent { model: self.name.clone(), file: file.into(), reason: reason.to_string() }
    }

    fn read(&self, name: &str) -> Result<Vec<u8>, Error> {
        let file = self.path.join(name);
        fs::read(&file).map_err(|error| self.file_error(&file, &error))
    }

    fn verify_checksum(&self, manifest: &Manifest, file: &str, actual: &str) -> Result<(), Error> {
        let expected = manifest.files.get(file).map(String::as_str).unwrap_or_default();
        if expected.eq_ignore_ascii_case(actual) {
            return Ok(());
        }
        Err(Error::Checksum {
            model: self.name.clone(),
            file: file.into(),
            expected: expected.into(),
            actual: actual.into(),
        })
    }

    fn file_error(&self, file: &Path, error: &std::io::Error) -> Error {
        Error::ModelFile { model: self.name.clone(), file: file.into(), reason: error.to_string() }
    }
}

/// Whether a model can have this name: it is used as a folder's name.
pub fn is_model_name(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= 200
        && !name.starts_with('.')
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
}

/// Sha256 of a file in hex.
///
/// # Errors
/// The file cannot be read.
pub fn sha256_of(path: &Path) -> std::io::Result<String> {
    let mut file = fs::File::open(path)?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(hex(&hash.finalize())),
            read => hash.update(&buffer[..read]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_leave_the_models_folder() {
        for name in ["", ".", "..", "../x", "a/b", ".hidden", "a b", "é"] {
            assert!(matches!(ModelFolder::find(Path::new("/"), name), Err(Error::ModelName(_))), "{name}");
        }
        assert!(is_model_name("all-MiniLM-L6-v2"));
    }

    #[test]
    fn a_missing_folder_is_an_unknown_model() {
        let models = tempfile::tempdir().unwrap();
        assert!(matches!(ModelFolder::find(models.path(), "m"), Err(Error::UnknownModel { .. })));
        assert!(ModelFolder::installed(models.path()).is_empty());
    }
}
