//! What a row may hold: values without secrets, that are not too long.

use crate::agent_log::redaction;
use pgrx::pg_sys;
use ragstone_client::settings;
use ragstone_core::log::shorten;
use ragstone_pg::bytes::{Jsonb, JsonbRef};
use ragstone_pg::error::Result;
use ragstone_pg::spi::Arg;
use serde_json::Value;

/// An input, output or attributes as it is kept.
pub enum Kept<'a> {
    /// There is none.
    Nothing,
    /// As it came.
    Whole(JsonbRef<'a>),
    /// What is kept in its place.
    Changed(Jsonb),
}

impl<'a> Kept<'a> {
    /// What is kept of a value.
    pub fn of(value: Option<JsonbRef<'a>>) -> Result<Self> {
        let Some(value) = value else { return Ok(Self::Nothing) };
        let limit = settings::log_max_value();
        // Before it is cut: half of a secret matches no pattern.
        let clean = redaction::jsonb(value)?;
        let length = clean.as_ref().map_or(value.bytes.len(), |clean| clean.0.len());
        match clean {
            None if length <= limit => Ok(Self::Whole(value)),
            Some(clean) if length <= limit => Ok(Self::Changed(clean)),
            clean => {
                let json = clean.map_or_else(|| value.to_json(), |clean| clean.to_json())?;
                Jsonb::from_json(&shorten(&json, limit)).map(Self::Changed)
            }
        }
    }

    /// As an argument of a statement.
    pub fn arg(&self) -> Arg {
        match self {
            Self::Nothing => Arg::null(pg_sys::JSONBOID),
            Self::Whole(value) => Arg::jsonb(*value),
            Self::Changed(value) => Arg::optional_jsonb(Some(value)),
        }
    }

    /// As JSON text.
    pub fn to_json(&self) -> Result<Option<String>> {
        match self {
            Self::Nothing => Ok(None),
            Self::Whole(value) => value.to_json().map(Some),
            Self::Changed(value) => value.to_json().map(Some),
        }
    }
}

/// A value of our own code as `jsonb`, which has no NUL: U+FFFD stands for it.
pub fn jsonb(value: Option<&Value>) -> Result<Option<Jsonb>> {
    let Some(value) = value else { return Ok(None) };
    Jsonb::from_json(&ragstone_core::log::without_nul(&value.to_string())).map(Some)
}
