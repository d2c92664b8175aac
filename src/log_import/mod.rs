//! Logs of other programs, parsed by `ragstone_core::log::parse`: [`content`] converts a log to UTF-8,
//! [`rows`] returns its steps for `rag.parse_log`, and [`import`](mod@import) writes them into the agent log
//! for `rag.import_log`.

mod import;
mod content;
mod options;
mod rows;
mod survey;
mod values;

pub use content::LogText;
pub use import::{ImportOptions, import};
pub use options::LogOptions;
pub use rows::{COLUMNS, ParsedRows};

use ragstone_core::log::parse::{self, Counts, Encode, ParseOptions, ParsedStep, Sink};
use ragstone_pg::encoding;
use ragstone_pg::wait::serve_interrupts;

/// Passes the steps of a log to `take`. Cancelling the statement interrupts it. Texts and `jsonb` are in the
/// server's encoding.
pub fn parse(content: &LogText, options: &LogOptions, take: impl FnMut(&ParsedStep<'_>)) -> Counts {
    let mut sink = Cancellable(take);
    let encode: Option<Encode<'_>> = if encoding::is_utf8() { None } else { Some(&encoding::encode) };
    options.with_zone(|zone| {
        let options = ParseOptions { format: options.format, encode, zone, fields: options.fields.clone() };
        parse::parse(content.bytes(), options, &mut sink)
    })
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
