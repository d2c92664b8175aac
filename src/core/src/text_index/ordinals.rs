//! Where given chunks are in the segments of an index.

use super::Pages;
use super::segment::{PageReader, Segment, largest_first};
use std::collections::HashSet;

/// The ordinals of those of these chunks that the index has, for each segment, rising. Chunks are given with their supposed lengths in
/// words: those of which the length is right are found by it, and where some are not, all numbers of chunks are read.
///
/// # Errors
/// [`Damage`](super::Damage), and those of the pages.
pub(super) fn ordinals_of<P: Pages>(
    chunks: &[(i64, u32)],
    segments: &[Segment],
    reader: &mut PageReader<P>,
) -> Result<Vec<Vec<u32>>, P::Error> {
    let mut found = vec![Vec::new(); segments.len()];
    // The largest has most of the chunks.
    let order = largest_first(segments);
    let mut left = chunks.to_vec();
    // In the order of ordinals, so that each page is read once.
    left.sort_unstable_by_key(|(chunk, words)| (*words, *chunk));
    for place in &order {
        let mut missing = Vec::new();
        for (chunk, words) in left {
            match segments[*place].ordinal_of(chunk, words, reader)? {
                Some(ordinal) => found[*place].push(ordinal),
                None => missing.push((chunk, words)),
            }
        }
        left = missing;
    }
    let mut missing: HashSet<i64> = left.into_iter().map(|(chunk, _)| chunk).collect();
    for place in order {
        if missing.is_empty() {
            break;
        }
        let found = &mut found[place];
        segments[place].each_chunk(reader, |ordinal, chunk| {
            if missing.remove(&chunk) {
                found.push(ordinal);
            }
        })?;
    }
    for ordinals in &mut found {
        ordinals.sort_unstable();
        ordinals.dedup();
    }
    Ok(found)
}
