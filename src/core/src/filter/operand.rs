//! The values in a filter. Numbers keep their digits, so that a `numeric` loses no precision.

use crate::filter::error::FilterError;
use serde_json::value::RawValue;
use std::collections::BTreeMap;

/// A value in a filter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operand {
    /// The value as JSON.
    pub json: String,
    /// The text of a string, number or boolean, as the input function of a type reads it.
    pub text: Option<String>,
}

/// A JSON value whose parts are not parsed yet.
#[derive(Debug, Clone)]
pub enum Given {
    /// `null`.
    Null,
    /// `true` or `false`.
    Boolean(bool),
    /// A number.
    Number(String),
    /// A string.
    Text(String),
    /// An array.
    Array(Vec<Box<RawValue>>),
    /// An object.
    Object(BTreeMap<String, Box<RawValue>>),
}

impl Given {
    /// Parses the outermost level of JSON text.
    ///
    /// # Errors
    /// If it is nested deeper than serde permits.
    pub fn read(json: &str) -> Result<Self, FilterError> {
        let too_deep = |_| FilterError::too_deep();
        let json = json.trim();
        Ok(match json.as_bytes().first() {
            Some(b'{') => Self::Object(serde_json::from_str(json).map_err(too_deep)?),
            Some(b'[') => Self::Array(serde_json::from_str(json).map_err(too_deep)?),
            Some(b'"') => Self::Text(serde_json::from_str(json).map_err(too_deep)?),
            Some(b't') => Self::Boolean(true),
            Some(b'f') => Self::Boolean(false),
            Some(b'n') | None => Self::Null,
            Some(_) => Self::Number(json.to_owned()),
        })
    }

    /// The kind of JSON value, for messages.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Boolean(_) => "a boolean",
            Self::Number(_) => "a number",
            Self::Text(_) => "a string",
            Self::Array(_) => "an array",
            Self::Object(_) => "an object",
        }
    }

    /// The value with the JSON text that it was read from.
    pub fn operand(&self, json: &str) -> Operand {
        let text = match self {
            Self::Text(text) => Some(text.clone()),
            Self::Number(digits) => Some(digits.clone()),
            Self::Boolean(value) => Some(value.to_string()),
            Self::Null | Self::Array(_) | Self::Object(_) => None,
        };
        Operand { json: json.to_owned(), text }
    }
}
