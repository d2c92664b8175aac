//! How a log is parsed: the arguments that `rag.parse_log` and `rag.import_log` share.

use ragstone_core::log::parse::{FieldMap, FieldMapError, LogFormat, Zone, field_words};
use ragstone_core::suggest::nearest;
use ragstone_pg::bytes::JsonbRef;
use ragstone_pg::clock::TimeZone;
use ragstone_pg::error::{Error, Result};
use ragstone_pg::text::{Utf8, text_or};

/// The checked arguments.
pub struct LogOptions {
    /// The only format; None stands for detection in each line.
    pub format: Option<LogFormat>,
    /// Columns and units of fields.
    pub fields: FieldMap,
    zone: Option<TimeZone>,
}

impl LogOptions {
    /// Reads the arguments.
    ///
    /// # Errors
    /// 22023 for an unknown format or zone, and for a map of fields that names no columns or units.
    pub fn read(format: Option<Utf8>, timezone: Option<Utf8>, fields: Option<JsonbRef>) -> Result<Self> {
        let zone = timezone.map(|name| {
            TimeZone::named(&name.0).ok_or_else(|| {
                Error::bad_argument(format!("unknown time zone \"{}\"", name.0))
                    .hint("pg_timezone_names lists the zones, such as Europe/Berlin.")
            })
        });
        let fields = fields.map(|fields| FieldMap::from_json(&fields.to_json()?).map_err(not_a_map));
        Ok(Self {
            format: format_named(format)?,
            fields: fields.transpose()?.unwrap_or_default(),
            zone: zone.transpose()?,
        })
    }

    /// Runs `work` with the zone of times that have none.
    pub fn with_zone<T>(&self, work: impl FnOnce(Zone<'_>) -> T) -> T {
        match self.zone {
            Some(zone) => work(Zone(Some(&|local| zone.utc(local)))),
            None => work(Zone::default()),
        }
    }
}

fn not_a_map(error: FieldMapError) -> Error {
    let refused = Error::bad_argument(error.to_string());
    match error {
        FieldMapError::NoTexts => {
            refused.hint("An example is {\"duration\": \"s\", \"svc.trace\": \"run\"}.")
        }
        FieldMapError::UnknownWord { near: Some(near), .. } => {
            refused.hint(format!("Perhaps you meant \"{near}\"."))
        }
        FieldMapError::UnknownWord { .. } => {
            refused.hint(format!("Use one of {}.", field_words().join(", ")))
        }
    }
}

/// The names of formats in SQL. None means that the format is detected.
const FORMAT_NAMES: [(&str, Option<LogFormat>); 9] = [
    ("auto", None),
    ("json", Some(LogFormat::Json)),
    ("logfmt", Some(LogFormat::Logfmt)),
    ("python", Some(LogFormat::Python)),
    ("langchain", Some(LogFormat::LangChain)),
    ("langgraph", Some(LogFormat::LangChain)),
    ("otlp", Some(LogFormat::Otlp)),
    ("opentelemetry", Some(LogFormat::Otlp)),
    ("text", Some(LogFormat::Text)),
];

/// The format with this name in SQL; None, which stands for detection, for `auto` and NULL.
///
/// # Errors
/// 22023 for an unknown name.
fn format_named(name: Option<Utf8>) -> Result<Option<LogFormat>> {
    let name = text_or(name, "auto");
    if let Some((_, format)) = FORMAT_NAMES.iter().find(|(known, _)| *known == name) {
        return Ok(*format);
    }
    let known = FORMAT_NAMES.map(|(known, _)| known);
    let error = Error::bad_argument(format!("unknown format \"{name}\""));
    Err(match nearest(&name, &known) {
        Some(near) => error.hint(format!("Perhaps you meant '{near}'.")),
        None => error.hint(format!("Use one of {}.", known.join(", "))),
    })
}
