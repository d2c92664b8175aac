//! Builds a segment from chunks.

use super::header::{Header, IndexCounts};
use super::{Posting, SegmentWriter};

/// A chunk to be indexed.
#[derive(Debug, Clone)]
pub struct IndexedChunk<'a> {
    /// The chunk's number.
    pub chunk: i64,
    /// Length of the chunk, words.
    pub words: u32,
    /// The distinct terms, each with its frequency and the bits of its fields.
    pub terms: Vec<(&'a [u8], u32, u8)>,
}

/// Writes a segment with these chunks. Its pages go to `sink`.
///
/// # Errors
/// Errors of the sink.
pub fn build<E>(
    mut chunks: Vec<IndexedChunk>,
    counts: IndexCounts,
    sink: impl FnMut(u32, &[u8]) -> Result<(), E>,
) -> Result<Header, E> {
    chunks.sort_unstable_by_key(|chunk| (chunk.words, chunk.chunk));
    let numbers = chunks.iter().map(|chunk| chunk.chunk);
    let (least, greatest) = (numbers.clone().min().unwrap_or(0), numbers.max().unwrap_or(0));
    let mut writer = SegmentWriter::new(least, greatest, sink);
    let mut occurrences = Vec::with_capacity(chunks.iter().map(|chunk| chunk.terms.len()).sum());
    for chunk in &chunks {
        let ordinal = writer.chunk(chunk.chunk, chunk.words)?;
        let postings = chunk.terms.iter();
        occurrences.extend(postings.map(|(term, frequency, fields)| {
            (*term, Posting { ordinal, frequency: *frequency, fields: *fields })
        }));
    }
    occurrences.sort_unstable_by_key(|(term, posting)| (*term, posting.ordinal));
    let mut list = Vec::new();
    for occurrences in occurrences.chunk_by(|(a, _), (b, _)| a == b) {
        list.clear();
        list.extend(occurrences.iter().map(|(_, posting)| *posting));
        writer.term(occurrences[0].0, &list)?;
    }
    writer.finish(counts)
}
