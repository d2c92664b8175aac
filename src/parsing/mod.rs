//! Logs as SQL gives them, read by `ragstone_core::log::parse`.

mod content;
mod rows;

pub use content::Content;
pub use rows::{COLUMNS, Table};

use crate::pg::encoding;
use crate::pg::error::{Error, Outcome};
use crate::pg::text::Utf8;
use crate::pg::text::required;
use crate::pg::wait::serve_interrupts;
use ragstone_core::log::parse::{self, Counts, Encode, Format, Row, Sink};
use ragstone_core::suggest::nearest;

/// Names of formats in SQL, and what each means.
const NAMES: [(&str, Option<Format>); 8] = [
    ("auto", None),
    ("json", Some(Format::Json)),
    ("logfmt", Some(Format::Logfmt)),
    ("python", Some(Format::Python)),
    ("langchain", Some(Format::LangChain)),
    ("langgraph", Some(Format::LangChain)),
    ("otlp", Some(Format::Otlp)),
    ("opentelemetry", Some(Format::Otlp)),
];

/// The format that an argument names; none for `auto`.
///
/// # Errors
/// 22004 where it is null, 22023 where there is no such format.
pub fn format_named(name: Option<Utf8>) -> Outcome<Option<Format>> {
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
pub fn parse(content: &Content, format: Option<Format>, take: impl FnMut(&Row<'_>)) -> Counts {
    let mut sink = Cancellable(take);
    if encoding::is_utf8() {
        return parse::parse(content.bytes(), format, None, &mut sink);
    }
    let encode: Encode<'_> = &encoding::encode;
    parse::parse(content.bytes(), format, Some(encode), &mut sink)
}

struct Cancellable<F>(F);

impl<F: FnMut(&Row<'_>)> Sink for Cancellable<F> {
    fn row(&mut self, row: &Row<'_>) {
        (self.0)(row);
    }

    fn pause(&mut self) {
        serve_interrupts();
    }
}
