//! Collects the best chunks found so far.

use super::Pages;
use super::segment::{PageReader, Segment};
use std::cmp::Ordering;

/// A chunk that was found.
#[derive(Debug, Clone, Copy)]
struct RankedChunk {
    score: f64,
    /// Position of its segment.
    segment: usize,
    ordinal: u32,
    words: u32,
    /// The chunk's number, if it was looked up.
    chunk: Option<i64>,
}

/// Keeps the best `wanted` chunks, by score and then by number.
pub struct Top<'s> {
    segments: &'s [Segment],
    wanted: usize,
    /// A binary heap with the worst chunk at the root. The heap of the standard library cannot be used: a comparison may
    /// have to read chunk numbers, and may fail.
    found: Vec<RankedChunk>,
    /// Length of those chunks of the current segment of which one lost a tie with the worst kept chunk by its number. Later
    /// chunks of this length have higher numbers.
    lost_tie_words: Option<u32>,
}

impl<'s> Top<'s> {
    /// Collects the best `wanted` chunks of these segments, at least one.
    pub fn new(segments: &'s [Segment], wanted: usize) -> Self {
        Self { segments, wanted: wanted.max(1), found: Vec::new(), lost_tie_words: None }
    }

    /// Begins another segment, whose chunks follow in the order of ordinals.
    pub fn begin_segment(&mut self) {
        self.lost_tie_words = None;
    }

    /// The score that a chunk must reach.
    #[inline]
    pub fn threshold(&self) -> f64 {
        if self.found.len() < self.wanted { f64::NEG_INFINITY } else { self.found[0].score }
    }

    /// True if chunks with this score or a lower one can be skipped; `words` is their length, if all have the same.
    #[inline]
    pub fn excludes(&self, score: f64, words: Option<u32>) -> bool {
        let threshold = self.threshold();
        score < threshold || (score == threshold && words.is_some() && words == self.lost_tie_words)
    }

    /// Adds a chunk if it is one of the best.
    pub fn offer<P: Pages>(
        &mut self,
        score: f64,
        segment: usize,
        ordinal: u32,
        words: u32,
        reader: &mut PageReader<P>,
    ) -> Result<(), P::Error> {
        if self.excludes(score, Some(words)) {
            return Ok(());
        }
        let mut new = RankedChunk { score, segment, ordinal, words, chunk: None };
        if self.found.len() < self.wanted {
            return self.add(new, reader);
        }
        if new.compare(&mut self.found[0], self.segments, reader)?.is_ge() {
            self.lost_tie_words = Some(words);
            return Ok(());
        }
        let threshold = self.threshold();
        self.replace_last(new, reader)?;
        if self.threshold() != threshold {
            self.lost_tie_words = None;
        }
        Ok(())
    }

    /// Numbers and scores, best first.
    pub fn into_chunks<P: Pages>(mut self, reader: &mut PageReader<P>) -> Result<Vec<(i64, f64)>, P::Error> {
        // Sorted so that each page is read once.
        self.found.sort_unstable_by_key(|found| (found.segment, found.ordinal));
        let mut chunks = Vec::with_capacity(self.found.len());
        for found in &mut self.found {
            chunks.push((found.chunk(self.segments, reader)?, found.score));
        }
        chunks.sort_unstable_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        Ok(chunks)
    }

    /// Adds a chunk; there must be room.
    fn add<P: Pages>(&mut self, mut new: RankedChunk, reader: &mut PageReader<P>) -> Result<(), P::Error> {
        let mut place = self.found.len();
        self.found.push(new);
        while place > 0 {
            let parent = (place - 1) / 2;
            if new.compare(&mut self.found[parent], self.segments, reader)?.is_le() {
                break;
            }
            self.found[place] = self.found[parent];
            place = parent;
        }
        self.found[place] = new;
        Ok(())
    }

    /// Replaces the worst chunk by a better one.
    fn replace_last<P: Pages>(
        &mut self,
        mut new: RankedChunk,
        reader: &mut PageReader<P>,
    ) -> Result<(), P::Error> {
        let mut place = 0;
        loop {
            let mut child = 2 * place + 1;
            if let Some([left, right]) = self.found.get_mut(child..child + 2) {
                child += usize::from(right.compare(left, self.segments, reader)?.is_gt());
            }
            let Some(after) = self.found.get_mut(child) else { break };
            if new.compare(after, self.segments, reader)?.is_ge() {
                break;
            }
            self.found[place] = self.found[child];
            place = child;
        }
        self.found[place] = new;
        Ok(())
    }
}

impl RankedChunk {
    /// Compares two chunks; less means that this one ranks before the other.
    #[inline]
    fn compare<P: Pages>(
        &mut self,
        other: &mut Self,
        segments: &[Segment],
        reader: &mut PageReader<P>,
    ) -> Result<Ordering, P::Error> {
        let by_score = other.score.total_cmp(&self.score);
        if by_score.is_ne() {
            return Ok(by_score);
        }
        if self.segment == other.segment && self.words == other.words {
            return Ok(self.ordinal.cmp(&other.ordinal));
        }
        let other = other.chunk(segments, reader)?;
        Ok(self.chunk(segments, reader)?.cmp(&other))
    }

    fn chunk<P: Pages>(&mut self, segments: &[Segment], reader: &mut PageReader<P>) -> Result<i64, P::Error> {
        if let Some(chunk) = self.chunk {
            return Ok(chunk);
        }
        let chunk = segments[self.segment].chunk_of(self.ordinal, reader)?;
        self.chunk = Some(chunk);
        Ok(chunk)
    }
}
