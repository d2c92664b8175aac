//! Logs of other programs, parsed by `ragstone_core::log::parse`: [`content`] brings a log into UTF-8, [`rows`] returns its steps
//! for `rag.parse_log`, and [`import`](mod@import) writes them into the log of agents for `rag.import_log`.

mod import;
mod content;
mod rows;

pub use content::LogText;
pub use import::{ImportOptions, import};
pub use rows::{COLUMNS, ParsedRows};

use ragstone_core::log::parse::{self, Counts, Encode, LogFormat, ParsedStep, Sink};
use ragstone_core::suggest::nearest;
use ragstone_pg::encoding;
use ragstone_pg::error::{Error, Result};
use ragstone_pg::text::Utf8;
use ragstone_pg::text::text_or;
use ragstone_pg::wait::serve_interrupts;

/// The names of formats in SQL. None means that the format is detected.
const FORMAT_NAMES: [(&str, Option<LogFormat>); 8] = [
    ("auto", None),
    ("json", Some(LogFormat::Json)),
    ("logfmt", Some(LogFormat::Logfmt)),
    ("python", Some(LogFormat::Python)),
    ("langchain", Some(LogFormat::LangChain)),
    ("langgraph", Some(LogFormat::LangChain)),
    ("otlp", Some(LogFormat::Otlp)),
    ("opentelemetry", Some(LogFormat::Otlp)),
];

/// The format that an SQL argument names; none for `auto`, which NULL stands for.
///
/// # Errors
/// 22023 for an unknown name.
pub fn format_named(name: Option<Utf8>) -> Result<Option<LogFormat>> {
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

/// Passes the steps of a log to `take`. Cancelling the statement interrupts it. Texts and `jsonb` are in the server's encoding.
pub fn parse(content: &LogText, format: Option<LogFormat>, take: impl FnMut(&ParsedStep<'_>)) -> Counts {
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
