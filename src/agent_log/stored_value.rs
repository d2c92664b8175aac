//! Inputs, outputs and attributes as they are stored in rows: without secrets, and limited to
//! `rag.log_max_value`.

use crate::agent_log::redaction;
use pgrx::pg_sys;
use ragstone_client::settings;
use ragstone_core::log::shorten;
use ragstone_pg::bytes::{Jsonb, JsonbRef};
use ragstone_pg::error::Result;
use ragstone_pg::spi::Arg;
use serde_json::Value;

/// A `jsonb` value as it is stored.
pub enum StoredValue<'a> {
    /// There is no value.
    None,
    /// The value is stored unchanged.
    Unchanged(JsonbRef<'a>),
    /// A redacted or shortened value is stored instead.
    Replaced(Jsonb),
}

impl<'a> StoredValue<'a> {
    /// Redacts and shortens a value.
    pub fn of(value: Option<JsonbRef<'a>>) -> Result<Self> {
        let Some(value) = value else { return Ok(Self::None) };
        let limit = settings::log_max_value();
        // Redaction comes before shortening, because half a secret matches no pattern.
        let clean = redaction::jsonb(value)?;
        let length = clean.as_ref().map_or(value.bytes.len(), |clean| clean.0.len());
        match clean {
            None if length <= limit => Ok(Self::Unchanged(value)),
            Some(clean) if length <= limit => Ok(Self::Replaced(clean)),
            clean => {
                let json = clean.map_or_else(|| value.to_json(), |clean| clean.to_json())?;
                Jsonb::from_json(&shorten(&json, limit)).map(Self::Replaced)
            }
        }
    }

    /// The value as an argument of a statement.
    pub fn arg(&self) -> Arg {
        match self {
            Self::None => Arg::null(pg_sys::JSONBOID),
            Self::Unchanged(value) => Arg::jsonb(*value),
            Self::Replaced(value) => Arg::optional_jsonb(Some(value)),
        }
    }

    /// The value as JSON text.
    pub fn to_json(&self) -> Result<Option<String>> {
        match self {
            Self::None => Ok(None),
            Self::Unchanged(value) => value.to_json().map(Some),
            Self::Replaced(value) => value.to_json().map(Some),
        }
    }
}

/// A value of Ragstone's own code as `jsonb`. NUL, which `jsonb` cannot hold, becomes U+FFFD.
pub fn jsonb(value: Option<&Value>) -> Result<Option<Jsonb>> {
    let Some(value) = value else { return Ok(None) };
    Jsonb::from_json(&ragstone_core::log::without_nul(&value.to_string())).map(Some)
}
