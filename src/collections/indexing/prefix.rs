//! What is embedded before the text of a chunk: as much of the row's title and of the headings as leaves the text its room.

use crate::collections::indexing::chunking::Chunker;
use crate::collections::indexing::passage::{Passage, SourceRow};
use ragstone_core::chunk::title::{Measured, heading, heading_within};
use ragstone_core::protocol::Chunk;
use std::collections::{BTreeSet, HashMap};
use std::rc::Rc;

/// The headings of paths that may be too long. `titles` are the chunks of the titles if these were measured.
pub fn to_measure(chunker: &Chunker, titles: &[Vec<Chunk>], chunks: &[Vec<Chunk>]) -> Vec<String> {
    let mut found = BTreeSet::new();
    for (row, chunks) in chunks.iter().enumerate() {
        let title = titles.get(row).map_or([].as_slice(), Vec::as_slice);
        for chunk in chunks {
            // Neither a heading nor a separator has more tokens than bytes.
            let bytes = heading(chunk).unwrap_or_default().len();
            if bytes > chunker.room_for_headings(title, chunk) as usize {
                found.extend(chunk.headings.iter().cloned());
            }
        }
    }
    found.into_iter().collect()
}

/// What the chunks of a heading say of it.
pub fn measured(chunks: &[Chunk]) -> Measured {
    Measured {
        tokens: chunks.iter().map(|chunk| chunk.tokens).sum(),
        beginning: chunks.first().map(|chunk| chunk.content.trim().to_owned()).unwrap_or_default(),
    }
}

/// The passages of a row, of its chunks and those of its title.
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
        Passage::embedded_with([shown_title, &shown], &row, seq, heading(&chunk), chunk.content)
    };
    (1..).zip(filled).map(passage).collect()
}
