//! Finds given chunks in the segments of an index.

use super::Pages;
use super::given_lengths::lengths_of;
use super::segment::{PageReader, Segment, largest_first};
use std::collections::HashSet;
use std::ops::ControlFlow;

/// The ordinals of those of the given chunks that the index contains: for each segment, ascending. The lookup uses the
/// given lengths in words; for chunks whose given length is wrong, the [stored lengths](super::given_lengths). If chunks
/// are still missing, it reads the numbers of chunks until all are found.
///
/// # Errors
/// [`Damage`](super::Damage); errors of reading pages.
pub(super) fn ordinals_of<P: Pages>(
    chunks: &[(i64, u32)],
    segments: &[Segment],
    reader: &mut PageReader<P>,
) -> Result<Vec<Vec<u32>>, P::Error> {
    let mut found = vec![Vec::new(); segments.len()];
    // The largest segment contains most of the chunks.
    let order = largest_first(segments);
    let mut missing = find_by_length(chunks.to_vec(), &order, segments, reader, &mut found)?;
    if !missing.is_empty() {
        missing.sort_unstable();
        let noted = lengths_of(missing.iter().map(|(chunk, _)| *chunk), reader)?;
        let not_noted =
            |(chunk, _): &(i64, u32)| noted.binary_search_by_key(chunk, |(noted, _)| *noted).is_err();
        missing.retain(not_noted);
        missing.extend(find_by_length(noted, &order, segments, reader, &mut found)?);
    }
    let missing = missing.into_iter().map(|(chunk, _)| chunk).collect();
    find_by_number(missing, &order, segments, reader, &mut found)?;
    for ordinals in &mut found {
        ordinals.sort_unstable();
        ordinals.dedup();
    }
    Ok(found)
}

/// Finds chunks whose given lengths are right. Returns the others.
fn find_by_length<P: Pages>(
    mut left: Vec<(i64, u32)>,
    order: &[usize],
    segments: &[Segment],
    reader: &mut PageReader<P>,
    found: &mut [Vec<u32>],
) -> Result<Vec<(i64, u32)>, P::Error> {
    // Sorted like ordinals, so that each page is read once.
    left.sort_unstable_by_key(|(chunk, words)| (*words, *chunk));
    for place in order {
        let mut missing = Vec::new();
        for (chunk, words) in left {
            match segments[*place].ordinal_of(chunk, words, reader)? {
                Some(ordinal) => found[*place].push(ordinal),
                None => missing.push((chunk, words)),
            }
        }
        left = missing;
    }
    Ok(left)
}

/// Finds chunks by reading the numbers of all chunks.
fn find_by_number<P: Pages>(
    mut missing: HashSet<i64>,
    order: &[usize],
    segments: &[Segment],
    reader: &mut PageReader<P>,
    found: &mut [Vec<u32>],
) -> Result<(), P::Error> {
    for place in order {
        if missing.is_empty() {
            break;
        }
        let found = &mut found[*place];
        segments[*place].each_chunk(reader, |ordinal, chunk| {
            if missing.remove(&chunk) {
                found.push(ordinal);
            }
            if missing.is_empty() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })?;
    }
    Ok(())
}
