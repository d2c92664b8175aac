//! Merges several segments into one, without deleted chunks.

use super::cursor::Cursor;
use super::dictionary::{TermEntry, Terms};
use super::header::Header;
use super::segment::{PageReader, Segment};
use super::{Pages, Posting, SegmentWriter};
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::ops::ControlFlow;

/// Ordinal of a chunk that is not in the merged segment.
const LEFT_OUT: u32 = u32::MAX;

/// Merges segments. `is_there` tells which of the given chunks, in any order, still exist. Pages go to `sink`, page 0 last.
///
/// # Errors
/// [`super::Damage`]; errors of reading pages, of `is_there` and of the sink.
pub fn merge<P: Pages>(
    segments: &[Segment],
    reader: &mut PageReader<P>,
    mut is_there: impl FnMut(&[i64]) -> Result<Vec<bool>, P::Error>,
    sink: impl FnMut(u32, &[u8]) -> Result<(), P::Error>,
) -> Result<Header, P::Error> {
    let numbers: Vec<Vec<i64>> =
        segments.iter().map(|segment| chunks_of(segment, reader)).collect::<Result<_, _>>()?;
    let kept: Vec<Vec<bool>> = numbers.iter().map(|numbers| is_there(numbers)).collect::<Result<_, _>>()?;
    let there = numbers.iter().zip(&kept).flat_map(|(numbers, kept)| numbers.iter().zip(kept));
    let there = there.filter_map(|(number, is_kept)| is_kept.then_some(*number));
    let (least, greatest) = (there.clone().min().unwrap_or(0), there.max().unwrap_or(0));
    let mut writer = SegmentWriter::new(least, greatest, sink);
    let ordinals = number_anew(segments, &numbers, &kept, &mut writer)?;
    drop((numbers, kept));
    let mut terms = MergedTerms::new(segments, reader)?;
    let mut list = Vec::new();
    while let Some(MergedTerm { term, entries }) = terms.next(segments, reader)? {
        list.clear();
        for (place, entry) in entries {
            let segment = &segments[place];
            add_postings(entry, segment, &ordinals[place], reader, &mut list)?;
        }
        // The list consists of sorted runs, one of each segment.
        list.sort_by_key(|posting: &Posting| posting.ordinal);
        if !list.is_empty() {
            writer.term(&term, &list)?;
        }
    }
    writer.finish(segments.iter().map(Segment::counts).sum())
}

/// The numbers of a segment's chunks, by ordinal.
fn chunks_of<P: Pages>(segment: &Segment, reader: &mut PageReader<P>) -> Result<Vec<i64>, P::Error> {
    let mut numbers = Vec::new();
    segment.each_chunk(reader, |_, number| {
        numbers.push(number);
        ControlFlow::Continue(())
    })?;
    Ok(numbers)
}

/// Assigns new ordinals to the chunks that are kept. Returns them by segment and old ordinal.
fn number_anew<E, S: FnMut(u32, &[u8]) -> Result<(), E>>(
    segments: &[Segment],
    numbers: &[Vec<i64>],
    kept: &[Vec<bool>],
    writer: &mut SegmentWriter<S>,
) -> Result<Vec<Vec<u32>>, E> {
    let mut ordinals: Vec<_> = numbers.iter().map(|numbers| vec![LEFT_OUT; numbers.len()]).collect();
    // The next kept chunk of a segment from an ordinal on: its length, number, segment and ordinal.
    let next_of = |place: usize, from: usize| {
        let ordinal =
            (from..numbers[place].len()).find(|ordinal| kept[place].get(*ordinal) == Some(&true))?;
        let words = segments[place].length_of(ordinal as u32);
        Some(Reverse((words, numbers[place][ordinal], place, ordinal)))
    };
    let mut next: BinaryHeap<_> = (0..segments.len()).filter_map(|place| next_of(place, 0)).collect();
    while let Some(Reverse((words, number, place, ordinal))) = next.pop() {
        ordinals[place][ordinal] = writer.chunk(number, words)?;
        next.extend(next_of(place, ordinal + 1));
    }
    Ok(ordinals)
}

/// Adds the postings of a term in one segment, with new ordinals.
fn add_postings<P: Pages>(
    entry: TermEntry,
    segment: &Segment,
    ordinals: &[u32],
    reader: &mut PageReader<P>,
    list: &mut Vec<Posting>,
) -> Result<(), P::Error> {
    Cursor::new(entry, segment, reader)?.each(segment, reader, |old, frequency, fields, _| {
        let ordinal = ordinals.get(old as usize).copied().unwrap_or(LEFT_OUT);
        if ordinal != LEFT_OUT {
            list.push(Posting { ordinal, frequency, fields });
        }
        Ok(())
    })
}

/// A term, with the entries of all segments that have it.
struct MergedTerm {
    term: Vec<u8>,
    entries: Vec<(usize, TermEntry)>,
}

/// Iterates over the terms of several segments, in order.
struct MergedTerms {
    terms: Vec<Terms>,
    /// The next term of each segment that has more.
    next: BinaryHeap<Reverse<(Vec<u8>, usize)>>,
    /// The entries of these terms.
    entries: Vec<Option<TermEntry>>,
}

impl MergedTerms {
    fn new<P: Pages>(segments: &[Segment], reader: &mut PageReader<P>) -> Result<Self, P::Error> {
        let terms =
            segments.iter().map(|segment| Terms::new(segment, reader)).collect::<Result<Vec<_>, _>>()?;
        let mut merged = Self { terms, next: BinaryHeap::new(), entries: vec![None; segments.len()] };
        for place in 0..segments.len() {
            merged.advance(place, segments, reader)?;
        }
        Ok(merged)
    }

    fn advance<P: Pages>(
        &mut self,
        place: usize,
        segments: &[Segment],
        reader: &mut PageReader<P>,
    ) -> Result<(), P::Error> {
        if let Some((term, entry)) = self.terms[place].next(&segments[place], reader)? {
            self.entries[place] = Some(entry);
            self.next.push(Reverse((term, place)));
        }
        Ok(())
    }

    /// The next term.
    fn next<P: Pages>(
        &mut self,
        segments: &[Segment],
        reader: &mut PageReader<P>,
    ) -> Result<Option<MergedTerm>, P::Error> {
        let Some(Reverse((term, place))) = self.next.pop() else { return Ok(None) };
        let mut found = vec![place];
        while self.next.peek().is_some_and(|Reverse((other, _))| *other == term) {
            found.extend(self.next.pop().map(|Reverse((_, place))| place));
        }
        let mut entries = Vec::with_capacity(found.len());
        for place in found {
            entries.extend(self.entries[place].take().map(|entry| (place, entry)));
            self.advance(place, segments, reader)?;
        }
        Ok(Some(MergedTerm { term, entries }))
    }
}
