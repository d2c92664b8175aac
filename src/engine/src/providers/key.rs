//! Reads the keys of providers: from the user mapping, a variable of the environment, or a file.

use std::{fs::File, io::Read};

use ragstone_core::{
    failure::FailureKind,
    provider::{Key, Secret, Target},
};

use crate::failure::Error;

/// Maximum size of a key file.
const MAX_KEY_FILE_BYTES: u64 = 64 << 10;

/// The key of this call.
///
/// # Errors
/// There is no key at that place, or it cannot be sent in a header.
pub async fn read(target: &Target) -> Result<Option<Secret>, Error> {
    let (key, place) = match &target.key {
        Key::None => return Ok(None),
        Key::Value(secret) => (secret.clone(), "the user mapping".to_owned()),
        Key::Environment(variable) => {
            (from_environment(target, variable)?, format!("variable \"{variable}\""))
        }
        Key::File(path) => {
            let (file, owner) = (path.clone(), target.name.clone());
            let reading = tokio::task::spawn_blocking(move || from_file(&owner, &file));
            (reading.await.map_err(|error| Error::Internal(error.to_string()))??, format!("file \"{path}\""))
        }
    };
    let is_sendable = !key.0.is_empty() && key.0.bytes().all(|byte| (0x20..0x7f).contains(&byte));
    if is_sendable {
        return Ok(Some(key));
    }
    Err(missing(
        &target.name,
        format!("the key in {place} is empty or not one line of ASCII"),
        "Write the key there as the provider gave it.",
    ))
}

fn from_environment(target: &Target, variable: &str) -> Result<Secret, Error> {
    std::env::var(variable).map(|key| Secret(key.trim().into())).map_err(|_| {
        let hint = "Set it in the environment of the PostgreSQL server, and restart the server.";
        missing(&target.name, format!("variable \"{variable}\" is not set in the server's environment"), hint)
    })
}

fn from_file(provider: &str, path: &str) -> Result<Secret, Error> {
    let hint = "Write the key into a file that the user of the PostgreSQL server can read.";
    let failed = |reason: String| {
        missing(provider, format!("cannot read the key from file \"{path}\": {reason}"), hint)
    };
    // Checked before it is opened, because opening a pipe would block.
    match std::fs::metadata(path) {
        Ok(file) if file.is_file() => {}
        Ok(_) => return Err(failed("expected a file".into())),
        Err(error) => return Err(failed(error.to_string())),
    }
    let mut text = String::new();
    File::open(path)
        .and_then(|file| file.take(MAX_KEY_FILE_BYTES + 1).read_to_string(&mut text))
        .map_err(|error| failed(error.to_string()))?;
    if text.len() as u64 > MAX_KEY_FILE_BYTES {
        return Err(failed(format!("expected at most {MAX_KEY_FILE_BYTES} bytes")));
    }
    Ok(Secret(text.trim().into()))
}

fn missing(provider: &str, what: String, hint: &str) -> Error {
    Error::Provider {
        kind: FailureKind::Forbidden,
        message: format!("provider \"{provider}\": {what}"),
        detail: String::new(),
        hint: hint.into(),
    }
}
