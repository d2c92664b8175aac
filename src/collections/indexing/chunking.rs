//! Splits rows into passages. The engine splits, so that sizes are in the model's own tokens.

use crate::collections::catalog::collection::Collection;
use crate::collections::indexing::passage::{Passage, SourceRow};
use crate::embedding::tokenizer;
use ragstone_client::engine::client;
use ragstone_core::chunk::title::heading;
use ragstone_core::protocol::{Chunk, ChunkOptions, Model, Request, Response, Splitter};
use ragstone_pg::error::{Error, Result};
use std::collections::BTreeMap;
use std::fmt::Display;
use std::rc::Rc;

/// Maximum size of the content in one request, unless a single row is larger.
const MAX_REQUEST_BYTES: usize = 4 << 20;

/// Tokens reserved for the headings of a Markdown chunk, which are embedded with it.
const HEADING_TOKENS: u32 = 32;

/// Sizes that remain beside titles are rounded down to a multiple of this, so that rows share requests.
const SIZE_STEP: u32 = 16;

/// Splits rows of one collection.
pub struct Chunker {
    model: String,
    splitter: Splitter,
    overlap: u32,
    /// Maximum number of tokens in a chunk.
    size: u32,
    /// True if title and headings count towards the size of a chunk. False if the user chose chunks that are longer
    /// than the model reads anyway.
    shared: bool,
    /// Number of tokens that the model reads, without special tokens.
    capacity: u32,
}

impl Chunker {
    /// A chunker for a collection and its model.
    pub fn new(collection: &Collection, model: &Model) -> Self {
        let capacity = capacity(model);
        let size = collection.chunk_size.map_or(capacity, |size| size.max(1) as u32);
        Self {
            model: tokenizer(&collection.model).to_owned(),
            splitter: collection.splitter,
            overlap: collection.chunk_overlap.max(0) as u32,
            size,
            shared: size <= capacity,
            capacity,
        }
    }

    /// The passages of rows, in their order.
    pub fn cut(&self, rows: Vec<SourceRow>) -> Result<Vec<Passage>> {
        let sizes = self.sizes(&rows)?;
        let mut by_size: BTreeMap<u32, Vec<usize>> = BTreeMap::new();
        for (row, size) in sizes.into_iter().enumerate() {
            by_size.entry(size).or_default().push(row);
        }
        let mut cut: Vec<Vec<Chunk>> = rows.iter().map(|_| Vec::new()).collect();
        for (size, numbers) in by_size {
            for numbers in requests(&rows, numbers) {
                let contents = numbers.iter().map(|row| rows[*row].content.clone()).collect();
                for (row, chunks) in numbers.into_iter().zip(self.split_rows(size, contents)?) {
                    cut[row] = chunks;
                }
            }
        }
        Ok(rows.into_iter().zip(cut).flat_map(|(row, chunks)| passages(row, chunks)).collect())
    }

    /// Maximum number of tokens in the chunks of each row.
    fn sizes(&self, rows: &[SourceRow]) -> Result<Vec<u32>> {
        if !self.shared {
            return Ok(vec![self.size; rows.len()]);
        }
        let headings = if self.splitter == Splitter::Markdown { HEADING_TOKENS } else { 0 };
        let titles: Vec<_> = rows.iter().map(|row| row.title.clone()).collect();
        if titles.iter().all(String::is_empty) {
            return Ok(vec![self.remaining_size(headings); rows.len()]);
        }
        // A title has the tokens of its chunk, or of all its chunks if it is long.
        let whole = ChunkOptions { splitter: Splitter::Text, size: self.capacity, overlap: 0 };
        let titles = self.chunks(whole, titles)?;
        Ok(titles
            .iter()
            .map(|title| self.remaining_size(headings + title.iter().map(|chunk| chunk.tokens).sum::<u32>()))
            .collect())
    }

    /// The size that remains for a chunk after `before` tokens of title and headings. These take at most three
    /// quarters.
    fn remaining_size(&self, before: u32) -> u32 {
        let room = self.capacity.saturating_sub(before).max(self.capacity / 4).max(1);
        if self.size <= room { self.size } else { (room - room % SIZE_STEP).max(room.min(SIZE_STEP)) }
    }

    fn split_rows(&self, size: u32, contents: Vec<String>) -> Result<Vec<Vec<Chunk>>> {
        let overlap = self.overlap.min(size.saturating_sub(1));
        self.chunks(ChunkOptions { splitter: self.splitter, size, overlap }, contents)
    }

    fn chunks(&self, options: ChunkOptions, documents: Vec<String>) -> Result<Vec<Vec<Chunk>>> {
        split(self.model.clone(), options, documents)
    }
}

/// The chunks of each document, measured in tokens of an installed model.
pub fn split(model: String, options: ChunkOptions, documents: Vec<String>) -> Result<Vec<Vec<Chunk>>> {
    let expected = documents.len();
    match client::call(Request::Chunk { model, options, documents })? {
        Response::Chunks(chunks) if chunks.len() == expected => Ok(chunks),
        other => Err(Error::internal(format!("unexpected answer to a chunk request: {other:?}"))),
    }
}

/// The error for an overlap that leaves nothing new in a chunk of this size, in tokens.
pub fn invalid_overlap(overlap: impl Display, size: u32) -> Error {
    Error::bad_argument(format!(
        "chunk overlap must be from 0 to {} tokens, not {overlap}",
        size.saturating_sub(1)
    ))
    .hint("An overlap is less than the chunk size.")
}

/// Number of tokens that a model reads, without its special tokens.
pub fn capacity(model: &Model) -> u32 {
    model.max_tokens.saturating_sub(model.special_tokens).max(1)
}

/// Groups rows into requests.
fn requests(rows: &[SourceRow], numbers: Vec<usize>) -> Vec<Vec<usize>> {
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

fn passages(mut row: SourceRow, chunks: Vec<Chunk>) -> Vec<Passage> {
    row.content = String::new();
    let row = Rc::new(row);
    let filled = chunks.into_iter().filter(|chunk| !chunk.content.trim().is_empty());
    (1..).zip(filled).map(|(seq, chunk)| Passage::new(&row, seq, heading(&chunk), chunk.content)).collect()
}
