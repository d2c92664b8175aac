//! Reads provider keys that are stored in files. A backend reads them, because the engine's sandbox allows
//! the engine to read models and libraries only.

use ragstone_core::provider::{Key, Secret, Target};
use ragstone_pg::error::{Error, Result};
use std::fs::{self, File};
use std::io::Read;
use std::path::Path;

/// Maximum size of a key file.
const MAX_BYTES: u64 = 64 << 10;

/// Path of the file with a provider's key, if its key is in a file.
#[derive(Debug, Clone)]
pub struct KeyFile(Option<String>);

impl KeyFile {
    /// The file that the option `api_key_file` of a user mapping names.
    pub fn new(path: Option<&str>) -> Self {
        Self(path.map(str::to_owned))
    }

    /// The target of a call, with the current key from the file.
    ///
    /// # Errors
    /// 42501 if the file cannot be read.
    pub fn complete(&self, target: &Target) -> Result<Target> {
        let mut target = target.clone();
        if let Some(path) = &self.0 {
            target.key = Key::Value(read(&target.name, path)?);
        }
        Ok(target)
    }
}

fn read(provider: &str, path: &str) -> Result<Secret> {
    let failed = |reason: String| {
        Error::forbidden(format!(
            "provider \"{provider}\": cannot read the key from file \"{path}\": {reason}"
        ))
        .hint("Write the key into a file that the user of the PostgreSQL server can read.")
    };
    text_of(Path::new(path)).map(|text| Secret(text.trim().into())).map_err(failed)
}

fn text_of(path: &Path) -> std::result::Result<String, String> {
    // This is checked before the file is opened, because opening a pipe would block.
    if !fs::metadata(path).map_err(|error| error.to_string())?.is_file() {
        return Err("expected a file".into());
    }
    let mut text = String::new();
    File::open(path)
        .and_then(|file| file.take(MAX_BYTES + 1).read_to_string(&mut text))
        .map_err(|error| error.to_string())?;
    if text.len() as u64 > MAX_BYTES {
        return Err(format!("expected at most {MAX_BYTES} bytes"));
    }
    Ok(text)
}
