//! `rag.chunk`: splits a document into pieces that a model can read.

use crate::collections::indexing::chunking::{invalid_overlap, split};
use crate::embedding::{model_or_default, tokenizer};
use pgrx::iter::TableIterator;
use pgrx::{default, extension_sql, name, pg_extern};
use ragstone_client::engine::call::caller;
use ragstone_core::chunk::title::heading;
use ragstone_core::protocol::{ChunkOptions, Splitter, UnknownSplitter};
use ragstone_core::suggest::alternatives;
use ragstone_pg::error::{Error, Result, or_raise};
use ragstone_pg::text::{Utf8, text_or};
use ragstone_pg::version;

#[pg_extern(stable, parallel_restricted, cost = 10000)]
#[allow(clippy::type_complexity, reason = "the columns of the SQL function")]
fn chunk(
    content: Option<Utf8>,
    size: default!(Option<i32>, 256),
    overlap: default!(Option<i32>, 0),
    splitter: default!(Option<Utf8>, "'text'"),
    model: default!(Option<Utf8>, "NULL"),
) -> TableIterator<
    'static,
    (
        name!(seq, i32),
        name!(content, Utf8),
        name!(tokens, i32),
        name!(start_at, i32),
        name!(end_at, i32),
        name!(heading, Option<Utf8>),
    ),
> {
    version::check();
    let splitter = text_or(splitter, "text");
    let options = or_raise(chunk_options(size.unwrap_or(256), overlap.unwrap_or(0), &splitter));
    let model = or_raise(model_or_default(model.map(|model| model.0)));
    let chunks = match content {
        Some(content) => or_raise(split(tokenizer(&model).to_owned(), caller(), options, vec![content.0])),
        None => Vec::new(),
    };
    TableIterator::new(chunks.into_iter().flatten().zip(1..).map(|(chunk, seq)| {
        let heading = heading(&chunk);
        let (start, end) = (chunk.start as i32 + 1, chunk.end as i32);
        (seq, Utf8(chunk.content), chunk.tokens as i32, start, end, heading.map(Utf8))
    }))
}

/// Checks the options of an SQL function and converts them.
pub fn chunk_options(size: i32, overlap: i32, splitter: &str) -> Result<ChunkOptions> {
    let splitter: Splitter = splitter.parse().map_err(|error: UnknownSplitter| {
        let names = Splitter::ALL.map(|splitter| format!("'{splitter}'"));
        Error::bad_argument(error.to_string()).hint(format!("Use {}.", alternatives(&names)))
    })?;
    if size < 1 {
        return Err(Error::bad_argument(format!("chunk size must be at least 1 token, not {size}")));
    }
    if !(0..size).contains(&overlap) {
        return Err(invalid_overlap(overlap, size as u32));
    }
    Ok(ChunkOptions { splitter, size: size as u32, overlap: overlap as u32 })
}

extension_sql!(
    r#"
COMMENT ON FUNCTION rag.chunk(text, integer, integer, text, text) IS
'chunks of a document, with their positions and headings';
"#,
    name = "chunk_comments",
    requires = [chunk]
);
