//! Splits rows into passages. The engine does the splitting, so that sizes are counted in the model's own
//! tokens.

use crate::collections::catalog::collection::Collection;
use crate::collections::indexing::passage::SourceRow;
use crate::embedding::tokenizer;
use ragstone_client::engine::client;
use ragstone_core::protocol::{Caller, Chunk, ChunkOptions, Model, Request, Response, Splitter};
use ragstone_pg::error::{Error, Result};
use std::collections::BTreeMap;
use std::fmt::Display;

/// Maximum size of the content in one request, in bytes, unless a single row is larger.
const MAX_REQUEST_BYTES: usize = 4 << 20;

/// Tokens reserved for the headings of a Markdown chunk, which are embedded with it. Headings may take more
/// if the chunk leaves room.
const HEADING_TOKENS: u32 = 32;

/// A title may take at most 1 / `TITLE_SHARE` of the tokens that the model reads.
const TITLE_SHARE: u32 = 4;

/// Chunk sizes that remain beside titles are rounded down to a multiple of this number of tokens, so that
/// rows can share requests.
const SIZE_STEP: u32 = 16;

/// How rows of one collection are split.
#[derive(Clone)]
pub struct Chunker {
    model: String,
    caller: Caller,
    splitter: Splitter,
    overlap: u32,
    /// Maximum number of tokens in a chunk.
    size: u32,
    /// True if title and headings count towards the size of a chunk. False if the user chose a chunk size
    /// that exceeds the model's limit anyway.
    shared: bool,
    /// Maximum number of tokens that the model reads, without special tokens.
    capacity: u32,
}

impl Chunker {
    /// A chunker for a collection and its model. The engine charges its work to `caller`.
    pub fn new(collection: &Collection, model: &Model, caller: Caller) -> Self {
        let capacity = capacity(model);
        let size = collection.chunk_size.map_or(capacity, |size| size.max(1) as u32);
        Self {
            model: tokenizer(&collection.model).to_owned(),
            caller,
            splitter: collection.splitter,
            overlap: collection.chunk_overlap.max(0) as u32,
            size,
            shared: size <= capacity,
            capacity,
        }
    }

    /// The caller to which the engine charges the work.
    pub fn caller(&self) -> Caller {
        self.caller
    }

    /// The request that measures the titles of rows; None if titles do not count towards the size of chunks
    /// and are short enough.
    pub fn title_request(&self, rows: &[SourceRow]) -> Option<Request> {
        // A token has at least one byte, so a text of this many bytes has no more tokens.
        let enough = if self.shared { 0 } else { self.title_share() as usize };
        if rows.iter().all(|row| row.title.len() <= enough) {
            return None;
        }
        Some(self.measure(self.title_share(), rows.iter().map(|row| row.title.clone()).collect()))
    }

    /// The request that measures headings and shows where to cut them if they are too long.
    pub fn heading_request(&self, headings: Vec<String>) -> Request {
        self.measure(self.heading_share(), headings)
    }

    /// A request that splits short texts: the chunks show the number of tokens in each text, and where to cut
    /// a text of more than `size` tokens.
    fn measure(&self, size: u32, texts: Vec<String>) -> Request {
        self.request(ChunkOptions { splitter: Splitter::Text, size, overlap: 0 }, texts)
    }

    fn title_share(&self) -> u32 {
        (self.capacity / TITLE_SHARE).max(1)
    }

    fn heading_share(&self) -> u32 {
        HEADING_TOKENS.min(self.title_share())
    }

    /// Maximum number of tokens for the headings of a chunk.
    pub fn room_for_headings(&self, title: &[Chunk], chunk: &Chunk) -> u32 {
        self.capacity.saturating_sub(title_tokens(title) + chunk.tokens).max(self.heading_share())
    }

    /// The requests that split rows, each with the indexes of its rows. They take the contents out of `rows`.
    /// `titles` has the chunks of the titles if the titles were measured.
    pub fn content_requests(
        &self,
        rows: &mut [SourceRow],
        titles: Option<&[Vec<Chunk>]>,
    ) -> Vec<(Vec<usize>, Request)> {
        let mut by_size: BTreeMap<u32, Vec<usize>> = BTreeMap::new();
        for row in 0..rows.len() {
            by_size.entry(self.size_of(titles.map(|titles| titles[row].as_slice()))).or_default().push(row);
        }
        let mut requests = Vec::new();
        for (size, numbers) in by_size {
            let overlap = self.overlap.min(size.saturating_sub(1));
            let options = ChunkOptions { splitter: self.splitter, size, overlap };
            for numbers in groups(rows, numbers) {
                let contents = numbers.iter().map(|row| std::mem::take(&mut rows[*row].content)).collect();
                requests.push((numbers, self.request(options, contents)));
            }
        }
        requests
    }

    /// Maximum number of tokens in the chunks of a row.
    fn size_of(&self, title: Option<&[Chunk]>) -> u32 {
        if !self.shared {
            return self.size;
        }
        let headings = if self.splitter == Splitter::Markdown { HEADING_TOKENS } else { 0 };
        self.remaining_size(headings + title_tokens(title.unwrap_or_default()))
    }

    /// The maximum size of a chunk beside `before` tokens of title and headings.
    fn remaining_size(&self, before: u32) -> u32 {
        let room = self.capacity.saturating_sub(before).max(self.capacity / 4).max(1);
        if self.size <= room { self.size } else { (room - room % SIZE_STEP).max(room.min(SIZE_STEP)) }
    }

    fn request(&self, options: ChunkOptions, documents: Vec<String>) -> Request {
        Request::Chunk { model: self.model.clone(), caller: self.caller, options, documents }
    }
}

/// Splits documents into chunks, with sizes in tokens of an installed model. Returns the chunks of each
/// document.
pub fn split(
    model: String,
    caller: Caller,
    options: ChunkOptions,
    documents: Vec<String>,
) -> Result<Vec<Vec<Chunk>>> {
    let expected = documents.len();
    chunks_in(client::call(Request::Chunk { model, caller, options, documents })?, expected)
}

/// The chunks in the response to a Chunk request with this number of documents.
pub fn chunks_in(answer: Response, documents: usize) -> Result<Vec<Vec<Chunk>>> {
    match answer {
        Response::Chunks(chunks) if chunks.len() == documents => Ok(chunks),
        other => Err(Error::internal(format!("unexpected answer to a chunk request: {other:?}"))),
    }
}

/// The error for an overlap that leaves no room for new text in a chunk; `size` is in tokens.
pub fn invalid_overlap(overlap: impl Display, size: u32) -> Error {
    Error::bad_argument(format!(
        "chunk overlap must be from 0 to {} tokens, not {overlap}",
        size.saturating_sub(1)
    ))
    .hint("Give an overlap that is less than the chunk size.")
}

/// Maximum number of tokens that a model reads, without its special tokens.
pub fn capacity(model: &Model) -> u32 {
    model.max_tokens.saturating_sub(model.special_tokens).max(1)
}

/// Groups rows into requests of at most [`MAX_REQUEST_BYTES`].
fn groups(rows: &[SourceRow], numbers: Vec<usize>) -> Vec<Vec<usize>> {
    let mut groups: Vec<Vec<usize>> = Vec::new();
    let mut bytes = 0;
    for row in numbers {
        let length = rows[row].content.len();
        match groups.last_mut() {
            Some(group) if bytes + length <= MAX_REQUEST_BYTES => group.push(row),
            _ => {
                groups.push(vec![row]);
                bytes = 0;
            }
        }
        bytes += length;
    }
    groups
}

/// Number of tokens of a title that are embedded: those of its first chunk.
fn title_tokens(title: &[Chunk]) -> u32 {
    title.first().map_or(0, |chunk| chunk.tokens)
}
