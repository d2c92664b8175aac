//! Sets of chunks of an index, for example those that contain a term.

use super::Pages;
use super::cursor::Cursor;
use super::query_term::QueryTerm;
use super::segment::{PageReader, Segment};

/// A set of chunks of an index, one bit for each chunk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChunkSet {
    /// For each segment, the bits of its ordinals.
    segments: Vec<Vec<u64>>,
}

impl ChunkSet {
    /// Keeps the chunks that are in both sets. Both sets must be of the same index.
    pub fn intersect(&mut self, other: &Self) {
        self.combine(other, |word, other| word & other);
    }

    /// Adds the chunks of the other set. Both sets must be of the same index.
    pub fn unite(&mut self, other: &Self) {
        self.combine(other, |word, other| word | other);
    }

    /// Removes the chunks of the other set. Both sets must be of the same index.
    pub fn subtract(&mut self, other: &Self) {
        self.combine(other, |word, other| word & !other);
    }

    /// All chunks of these segments.
    pub(super) fn all(segments: &[Segment]) -> Self {
        let bits = |docs: u32| {
            let mut words = vec![u64::MAX; docs.div_ceil(64) as usize];
            if let Some(last) = words.last_mut().filter(|_| !docs.is_multiple_of(64)) {
                *last = !(u64::MAX << (docs % 64));
            }
            words
        };
        Self { segments: segments.iter().map(|segment| bits(segment.header.docs)).collect() }
    }

    /// The chunks of these segments that contain at least one of these terms.
    pub(super) fn holders<P: Pages>(
        terms: &[QueryTerm],
        segments: &[Segment],
        reader: &mut PageReader<P>,
    ) -> Result<Self, P::Error> {
        let mut sets = Vec::with_capacity(segments.len());
        for (place, segment) in segments.iter().enumerate() {
            let mut words = vec![0u64; segment.header.docs.div_ceil(64) as usize];
            for entry in terms.iter().filter_map(|term| term.entry(place)) {
                let cursor = Cursor::new(entry.clone(), segment, reader)?;
                cursor.each(segment, reader, |ordinal, _, _, _| {
                    if let Some(word) = words.get_mut(ordinal as usize / 64) {
                        *word |= 1 << (ordinal % 64);
                    }
                    Ok(())
                })?;
            }
            sets.push(words);
        }
        Ok(Self { segments: sets })
    }

    /// The numbers of the chunks, and their lengths in words.
    pub(super) fn numbers<P: Pages>(
        &self,
        segments: &[Segment],
        reader: &mut PageReader<P>,
    ) -> Result<Vec<(i64, u32)>, P::Error> {
        let mut numbers = Vec::new();
        for (place, segment) in segments.iter().enumerate() {
            let mut from = 0;
            while let Some(ordinal) = self.next(place, from) {
                numbers.push((segment.chunk_of(ordinal, reader)?, segment.length_of(ordinal)));
                from = ordinal + 1;
            }
        }
        Ok(numbers)
    }

    /// Number of chunks.
    pub fn count(&self) -> usize {
        self.segments.iter().flatten().map(|word| word.count_ones() as usize).sum()
    }

    /// The first ordinal in the set, of this segment, that is not less than `from`.
    #[inline]
    pub(super) fn next(&self, segment: usize, from: u32) -> Option<u32> {
        let words = self.segments.get(segment)?;
        let mut place = from as usize / 64;
        let mut word = words.get(place)? & (u64::MAX << (from % 64));
        while word == 0 {
            place += 1;
            word = *words.get(place)?;
        }
        Some(place as u32 * 64 + word.trailing_zeros())
    }

    fn combine(&mut self, other: &Self, combine: impl Fn(u64, u64) -> u64) {
        for (words, others) in self.segments.iter_mut().zip(&other.segments) {
            for (word, other) in words.iter_mut().zip(others) {
                *word = combine(*word, *other);
            }
        }
    }
}
