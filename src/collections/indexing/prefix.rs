//! The prefix that is embedded before the content of a chunk: as much of the row's title and headings as
//! leaves enough room for the content.

use crate::collections::indexing::chunking::Chunker;
use crate::collections::indexing::passage::{Passage, SourceRow};
use ragstone_core::chunk::title::{Measured, heading, heading_within};
use ragstone_core::protocol::Chunk;
use std::collections::{BTreeSet, HashMap};
use std::rc::Rc;

/// The headings whose length must be measured, because their paths may be too long. `titles` has the chunks
/// of the titles if the titles were measured.
pub fn to_measure(chunker: &Chunker, titles: &[Vec<Chunk>], chunks: &[Vec<Chunk>]) -> Vec<String> {
    let mut found = BTreeSet::new();
    for (row, chunks) in chunks.iter().enumerate() {
        let title = titles.get(row).map_or([].as_slice(), Vec::as_slice);
        for chunk in chunks {
            // A text, including the separators in it, has at most as many tokens as bytes.
            let bytes = heading(chunk).unwrap_or_default().len();
            if bytes > chunker.room_for_headings(title, chunk) as usize {
                found.extend(chunk.headings.iter().cloned());
            }
        }
    }
    found.into_iter().collect()
}

/// The length of a heading in tokens, and the beginning to use if it must be cut, from the heading's chunks.
pub fn measured(chunks: &[Chunk]) -> Measured {
    Measured {
        tokens: chunks.iter().map(|chunk| chunk.tokens).sum(),
        beginning: chunks.first().map(|chunk| chunk.content.trim().to_owned()).unwrap_or_default(),
    }
}

/// The passages of a row, from its chunks and the chunks of its title.
pub fn passages(
    chunker: &Chunker,
    row: SourceRow,
    title: &[Chunk],
    chunks: Vec<Chunk>,
    known: &HashMap<String, Measured>,
) -> Vec<Passage> {
    let row = Rc::new(row);
    let shown_title = match title {
        [first, _, ..] => first.content.trim(),
        _ => row.title.as_str(),
    };
    let filled = chunks.into_iter().filter(|chunk| !chunk.content.trim().is_empty());
    let passage = |(seq, chunk): (i32, Chunk)| {
        let room = chunker.room_for_headings(title, &chunk);
        let shown = heading_within(&chunk.headings, room, |heading| known.get(heading).cloned());
        let (start_at, end_at) = (chunk.start as i32 + 1, chunk.end as i32);
        let before = [shown_title, &shown];
        let passage = Passage::embedded_with(before, &row, seq, heading(&chunk), chunk.content);
        Passage { start_at, end_at, ..passage }
    };
    (1..).zip(filled).map(passage).collect()
}
