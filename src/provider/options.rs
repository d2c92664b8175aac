//! The options of foreign servers and user mappings, and their validation.

use crate::provider::url;
use pgrx::pg_sys;
use ragstone_core::provider::{Limits, Prices, Wire};
use ragstone_core::suggest::{alternatives, nearest};
use ragstone_pg::error::{Error, Result};
use std::collections::BTreeMap;
use std::str::FromStr;

/// The kind of object to which options belong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Catalog {
    /// The foreign data wrapper.
    Wrapper,
    /// A foreign server.
    Server,
    /// A user mapping.
    Mapping,
}

/// Options by name.
#[derive(Debug, Clone, Default)]
pub struct Options(BTreeMap<String, String>);

/// The valid values of an option.
#[derive(Clone, Copy)]
enum Domain {
    Protocol,
    Text,
    Boolean,
    /// A whole number within these limits, both inclusive.
    Number(u64, u64),
    Price,
}

const SERVER_OPTIONS: &[(&str, Domain)] = &[
    ("protocol", Domain::Protocol),
    ("base_url", Domain::Text),
    ("allow_http", Domain::Boolean),
    ("default_model", Domain::Text),
    ("default_embedding_model", Domain::Text),
    ("embedding_dimensions", Domain::Number(1, 4000)),
    ("embedding_max_tokens", Domain::Number(16, 1_000_000)),
    ("embedding_batch", Domain::Number(1, 128)),
    ("context_window", Domain::Number(256, 100_000_000)),
    ("connect_timeout_ms", Domain::Number(1, 3_600_000)),
    ("timeout_ms", Domain::Number(1, 86_400_000)),
    ("retries", Domain::Number(0, 20)),
    ("concurrency", Domain::Number(1, 10_000)),
    ("requests_per_minute", Domain::Number(1, 10_000_000)),
    ("tokens_per_minute", Domain::Number(1, u32::MAX as u64)),
    ("max_reply_bytes", Domain::Number(1024, 1 << 30)),
    ("input_price", Domain::Price),
    ("output_price", Domain::Price),
];

const KEY_OPTIONS: [&str; 3] = ["api_key", "api_key_env", "api_key_file"];

impl Catalog {
    /// The kind for the catalog OID that PostgreSQL passes to a validator; None if such objects have no
    /// options.
    pub fn of(catalog: pg_sys::Oid) -> Option<Self> {
        match catalog {
            pg_sys::ForeignDataWrapperRelationId => Some(Self::Wrapper),
            pg_sys::ForeignServerRelationId => Some(Self::Server),
            pg_sys::UserMappingRelationId => Some(Self::Mapping),
            _ => None,
        }
    }

    fn names(self) -> Vec<&'static str> {
        match self {
            Self::Wrapper => Vec::new(),
            Self::Server => SERVER_OPTIONS.iter().map(|(name, _)| *name).collect(),
            Self::Mapping => KEY_OPTIONS.to_vec(),
        }
    }
}

/// Checks all options of an object, old and new. `superuser` is true if the current role is a superuser.
pub fn validate(catalog: Option<Catalog>, options: &Options, superuser: bool) -> Result<()> {
    let names = catalog.map(Catalog::names).unwrap_or_default();
    for name in options.0.keys() {
        if !names.contains(&name.as_str()) {
            return Err(unknown(name, &names));
        }
    }
    match catalog {
        Some(Catalog::Server) => validate_server(options),
        Some(Catalog::Mapping) => validate_mapping(options, superuser),
        _ => Ok(()),
    }
}

fn validate_server(options: &Options) -> Result<()> {
    // The server `local` has no options.
    if options.0.is_empty() {
        return Ok(());
    }
    for (name, domain) in SERVER_OPTIONS {
        if let Some(value) = options.get(name) {
            check(name, value, *domain)?;
        }
    }
    for needed in ["protocol", "base_url"] {
        if options.get(needed).is_none() {
            return Err(missing(needed));
        }
    }
    options.base_url().map(|_| ())
}

fn validate_mapping(options: &Options, superuser: bool) -> Result<()> {
    for name in ["api_key_env", "api_key_file"] {
        if options.get(name).is_some() && !superuser {
            return Err(Error::forbidden(format!("permission denied to use option \"{name}\""))
                .detail("It reads what the server's operating system user can read.")
                .hint("Only superusers may use it; give the key itself in the option api_key."));
        }
    }
    if options.0.len() > 1 {
        return Err(Error::bad_argument("a user mapping has more than one key")
            .hint("Give one of api_key, api_key_env and api_key_file."));
    }
    match options.0.iter().next() {
        // The message does not contain the value, because it may be a key.
        Some((name, value)) if value.trim().is_empty() || value.contains(['\n', '\r', '\0']) => {
            Err(Error::bad_argument(format!("option \"{name}\" is empty or has more than one line")))
        }
        Some((name, value)) if name == "api_key_file" && !value.starts_with('/') => {
            Err(Error::bad_argument("option \"api_key_file\" is not an absolute path"))
        }
        _ => Ok(()),
    }
}

fn check(name: &str, value: &str, domain: Domain) -> Result<()> {
    let wrong = |wanted: &str| {
        Err(Error::bad_argument(format!("option \"{name}\" must be {wanted}, not \"{value}\"")))
    };
    match domain {
        Domain::Protocol if Wire::from_str(value).is_err() => {
            wrong(&alternatives(&Wire::ALL.map(Wire::name)))
        }
        Domain::Boolean if boolean(value).is_none() => wrong("true or false"),
        Domain::Text if value.trim().is_empty() => wrong("a text"),
        Domain::Number(least, most) if !value.parse().is_ok_and(|it| (least..=most).contains(&it)) => {
            wrong(&format!("a whole number from {least} to {most}"))
        }
        Domain::Price if !value.parse().is_ok_and(|price: f64| price.is_finite() && price >= 0.0) => {
            wrong("a price for a million tokens, from 0")
        }
        _ => Ok(()),
    }
}

fn unknown(name: &str, known: &[&str]) -> Error {
    let error = Error::invalid_option(format!("invalid option \"{name}\""));
    match nearest(name, known) {
        Some(near) => error.hint(format!("Perhaps you meant the option \"{near}\".")),
        None if known.is_empty() => error.hint("There are no valid options in this context."),
        None => error.hint(format!("Valid options in this context are: {}.", known.join(", "))),
    }
}

fn missing(name: &str) -> Error {
    Error::missing_option(format!("option \"{name}\" of the server is missing"),
    )
    .hint("A server has at least the options protocol and base_url; rag.create_provider makes one from a template.")
}

fn boolean(value: &str) -> Option<bool> {
    match value.to_ascii_lowercase().as_str() {
        "true" | "on" | "yes" | "1" => Some(true),
        "false" | "off" | "no" | "0" => Some(false),
        _ => None,
    }
}

impl Options {
    /// Parses options as catalogs store them, `name=value`.
    pub fn parse(options: Vec<String>) -> Self {
        let pairs = options.into_iter().filter_map(|option| {
            let (name, value) = option.split_once('=')?;
            Some((name.to_owned(), value.to_owned()))
        });
        Self(pairs.collect())
    }

    /// The value of an option.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// The wire protocol of the server.
    pub fn wire(&self) -> Result<Wire> {
        self.get("protocol").and_then(|name| name.parse().ok()).ok_or_else(|| missing("protocol"))
    }

    /// The address of the server, without a slash at the end.
    pub fn base_url(&self) -> Result<String> {
        let url = self.get("base_url").ok_or_else(|| missing("base_url"))?.trim_end_matches('/');
        url::check(url, self.get("allow_http").and_then(boolean).unwrap_or(false))?;
        Ok(url.to_owned())
    }

    /// The limits of calls to a server that speaks `wire`.
    pub fn limits(&self, wire: Wire) -> Limits {
        Limits {
            connect_timeout_ms: self.number("connect_timeout_ms").unwrap_or(10_000),
            timeout_ms: self.number("timeout_ms").unwrap_or(120_000),
            retries: self.number("retries").unwrap_or(3),
            concurrency: self.number("concurrency").unwrap_or(32),
            requests_per_minute: self.number("requests_per_minute"),
            tokens_per_minute: self.number("tokens_per_minute"),
            max_reply_bytes: self.number("max_reply_bytes").unwrap_or(32 << 20),
            max_texts: self.number("embedding_batch").unwrap_or(wire.max_texts() as u32),
        }
    }

    /// The prices of a million tokens.
    pub fn prices(&self) -> Prices {
        Prices {
            input: self.number("input_price").unwrap_or(0.0),
            output: self.number("output_price").unwrap_or(0.0),
        }
    }

    /// The value of an option as a number; None if the option is not set.
    pub fn number<T: FromStr>(&self, name: &str) -> Option<T> {
        self.get(name)?.parse().ok()
    }
}
