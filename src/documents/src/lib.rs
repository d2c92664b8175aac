//! Documents of all kinds as Markdown: bytes in, parts out. No file, no network, no clock.
//!
//! The parsers are libraries that read hostile input. A document may make them use up memory, recurse or not end, so they
//! run in a process of their own (`src/engine/src/parser`).
#![forbid(unsafe_code)]

mod archive;
mod budget;
mod dates;
mod file;
mod format;
mod headings;
mod mbox;
mod office;
mod pdf;
mod reader;
mod text;

use ragstone_core::protocol::{ParseRefusal, ParseTask, ParsedDocument};

/// Parses a document.
///
/// # Errors
/// The document as a whole cannot be parsed. What is left out of it otherwise, such as a file of an archive that cannot be
/// parsed, is among the omissions.
pub fn parse(task: ParseTask) -> Result<ParsedDocument, ParseRefusal> {
    reader::read(task)
}
