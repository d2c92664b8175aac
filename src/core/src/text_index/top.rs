//! The best chunks that were found so far.

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
    /// Its number, if that was looked up.
    chunk: Option<i64>,
}

/// Keeps so many chunks, by score and then by number.
pub struct Top<'s> {
    segments: &'s [Segment],
    wanted: usize,
    /// Best first.
    found: Vec<RankedChunk>,
    /// Length of chunks of the current segment of which one lost against the last one by its number alone. Those that
    /// come later have greater numbers.
    lost_tie_words: Option<u32>,
}

impl<'s> Top<'s> {
    /// The best `wanted` chunks of these segments, at least one.
    pub fn new(segments: &'s [Segment], wanted: usize) -> Self {
        Self { segments, wanted: wanted.max(1), found: Vec::new(), lost_tie_words: None }
    }

    /// Says that chunks of another segment follow, from its first ordinal on.
    pub fn begin_segment(&mut self) {
        self.lost_tie_words = None;
    }

    /// The score that a chunk must reach.
    #[inline]
    pub fn threshold(&self) -> f64 {
        if self.found.len() < self.wanted { f64::NEG_INFINITY } else { self.found[self.wanted - 1].score }
    }

    /// Whether chunks with no greater score need not be looked at, if all of them have this length.
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
        let threshold = self.threshold();
        let mut new = RankedChunk { score, segment, ordinal, words, chunk: None };
        let mut places = 0..self.found.len();
        while !places.is_empty() {
            let middle = places.start.midpoint(places.end);
            match self.compare(&mut new, middle, reader)? {
                Ordering::Less => places.end = middle,
                _ => places.start = middle + 1,
            }
        }
        if places.start == self.wanted {
            self.lost_tie_words = Some(words);
            return Ok(());
        }
        self.found.insert(places.start, new);
        self.found.truncate(self.wanted);
        if self.threshold() != threshold {
            self.lost_tie_words = None;
        }
        Ok(())
    }

    /// Numbers and scores, best first.
    pub fn into_chunks<P: Pages>(mut self, reader: &mut PageReader<P>) -> Result<Vec<(i64, f64)>, P::Error> {
        let segments = self.segments;
        self.found.iter_mut().map(|found| Ok((found.chunk(segments, reader)?, found.score))).collect()
    }

    /// Less if the new one comes before the one at a place.
    fn compare<P: Pages>(
        &mut self,
        new: &mut RankedChunk,
        place: usize,
        reader: &mut PageReader<P>,
    ) -> Result<Ordering, P::Error> {
        let other = &mut self.found[place];
        let by_score = other.score.total_cmp(&new.score);
        if by_score.is_ne() {
            return Ok(by_score);
        }
        if new.segment == other.segment && new.words == other.words {
            return Ok(new.ordinal.cmp(&other.ordinal));
        }
        let other = other.chunk(self.segments, reader)?;
        Ok(new.chunk(self.segments, reader)?.cmp(&other))
    }
}

impl RankedChunk {
    fn chunk<P: Pages>(&mut self, segments: &[Segment], reader: &mut PageReader<P>) -> Result<i64, P::Error> {
        if let Some(chunk) = self.chunk {
            return Ok(chunk);
        }
        let chunk = segments[self.segment].chunk_of(self.ordinal, reader)?;
        self.chunk = Some(chunk);
        Ok(chunk)
    }
}
