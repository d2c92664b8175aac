//! Reads the keys of providers: from the request, or from a variable of the environment.

use ragstone_core::{
    failure::FailureKind,
    provider::{Key, Secret, Target},
};

use crate::failure::Error;

/// The key of this call.
///
/// # Errors
/// There is no key at that place, or it cannot be sent in a header.
pub fn read(target: &Target) -> Result<Option<Secret>, Error> {
    let (key, place) = match &target.key {
        Key::None => return Ok(None),
        Key::Value(secret) => (secret.clone(), "the user mapping or its file".to_owned()),
        Key::Environment(variable) => {
            (from_environment(target, variable)?, format!("variable \"{variable}\""))
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

fn missing(provider: &str, what: String, hint: &str) -> Error {
    Error::Provider {
        kind: FailureKind::Forbidden,
        message: format!("provider \"{provider}\": {what}"),
        detail: String::new(),
        hint: hint.into(),
    }
}
