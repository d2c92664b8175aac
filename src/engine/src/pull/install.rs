//! The folder of a model that is being installed.

use std::{
    fs,
    path::{Path, PathBuf},
};

use super::error::{PullError, write_error};

/// A hidden folder beside the models.
pub struct Staging {
    path: PathBuf,
    target: PathBuf,
}

impl Staging {
    /// Opens the folder for a model, with the files of an earlier attempt.
    pub fn open(models: &Path, name: &str) -> Result<Self, PullError> {
        let path = models.join(format!(".{name}.pull"));
        fs::create_dir_all(&path).map_err(|error| write_error(&path, &error))?;
        Ok(Self { path, target: models.join(name) })
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The path of a file in it.
    pub fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Writes a file.
    pub fn write(&self, name: &str, bytes: &[u8]) -> Result<(), PullError> {
        let file = self.file(name);
        fs::write(&file, bytes).map_err(|error| write_error(&file, &error))
    }

    /// Gives the folder its final name, and removes an older model of that name.
    pub fn install(self) -> Result<(), PullError> {
        let failed = |error: std::io::Error| write_error(&self.target, &error);
        let old = self.path.with_extension("old");
        if self.target.exists() {
            let _ = fs::remove_dir_all(&old);
            fs::rename(&self.target, &old).map_err(failed)?;
        }
        fs::rename(&self.path, &self.target).map_err(failed)?;
        let _ = fs::remove_dir_all(&old);
        Ok(())
    }
}
