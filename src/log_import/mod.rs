//! Logs as SQL gives them, read by `ragstone_core::log::parse`.

mod import;
mod content;
mod rows;

pub use content::Content;
pub use import::{Import, import};
pub use rows::{COLUMNS, Table};

use ragstone_core::log::parse::{self, Counts, Encode, LogFormat, ParsedStep, Sink};
use ragstone_core::suggest::nearest;
use ragstone_pg::encoding;
use ragstone_pg::error::{Error, Result};
use ragstone_pg::text::Utf8;
use ragstone_pg::text::required;
use ragstone_pg::wait::serve_interrupts;

/// Names of formats in SQL, and what each means.
const NAMES: [(&str, Option<LogFormat>); 8] = [
    ("auto", None),
    ("json", Some(LogFormat::Json)),
    ("logfmt", Some(LogFormat::Logfmt)),
    ("python", Some(LogFormat::Python)),
    ("langchain", Some(LogFormat::LangChain)),
    ("langgraph", Some(LogFormat::LangChain)),
    ("otlp", Some(LogFormat::Otlp)),
    ("opentelemetry", Some(LogFormat::Otlp)),
];

/// The format that an argument names; none for `auto`.
///
/// # Errors
/// 22004 where it is null, 22023 where there is no such format.
pub fn format_named(name: Option<Utf8>) -> Result<Option<LogFormat>> {
    let name = required(name, "format")?;
    if let Some((_, format)) = NAMES.iter().find(|(known, _)| *known == name) {
        return Ok(*format);
    }
    let known = NAMES.map(|(known, _)| known);
    let error = Error::bad_argument(format!("unknown format \"{name}\""));
    Err(match nearest(&name, &known) {
        Some(near) => error.hint(format!("Perhaps you meant '{near}'.")),
        None => error.hint(format!("Use one of {}.", known.join(", "))),
    })
}

/// Gives the steps of a log to a sink, until somebody cancels it. Texts and `jsonb` come in the server's encoding.
pub fn parse(content: &Content, format: Option<LogFormat>, take: impl FnMut(&ParsedStep<'_>)) -> Counts {
    let mut sink = Cancellable(take);
    if encoding::is_utf8() {
        return parse::parse(content.bytes(), format, None, &mut sink);
    }
    let encode: Encode<'_> = &encoding::encode;
    parse::parse(content.bytes(), format, Some(encode), &mut sink)
}

struct Cancellable<F>(F);

impl<F: FnMut(&ParsedStep<'_>)> Sink for Cancellable<F> {
    fn step(&mut self, step: &ParsedStep<'_>) {
        (self.0)(step);
    }

    fn pause(&mut self) {
        serve_interrupts();
    }
}
