//! Finds the best chunks of one segment by BM25, exactly.
//!
//! A segment is processed in windows; a window ends where a block of postings of a query term ends. In a window, the score
//! of each term has an upper bound: the score of the block's maximum frequency in a chunk as short as the window's first
//! chunk. Windows whose bounds sum to less than the threshold are skipped. In other windows, the terms with the lowest
//! bounds, which cannot reach the threshold without the other terms, are looked up only in chunks that contain another term
//! (MaxScore: Turtle and Flood, "Query evaluation: strategies and optimizations", 1995; by blocks: Ding and Suel, "Faster
//! top-k document retrieval using block-max indexes", SIGIR 2011). Bounds and scores sum identically rounded values in the
//! same order, so rounding never makes a bound less than a score.

use super::Pages;
use super::chunk_set::ChunkSet;
use super::cursor::Cursor;
use super::query_term::QueryTerm;
use super::segment::{PageReader, Segment};
use super::top::Top;
use crate::bm25;
use std::ops::RangeInclusive;

/// Maximum relative difference of sums in another order.
const ROUNDING: f64 = 1e-9;

/// A query term in a segment.
struct SegmentTerm {
    idf: f64,
    cursor: Cursor,
    /// Upper bound of its score in the current window.
    bound: f64,
    /// Frequency of the term in the current chunk.
    frequency: u32,
}

impl SegmentTerm {
    /// The term's contribution to a score.
    #[inline]
    fn score(&self, frequency: u32, length_factor: f64) -> f64 {
        bm25::term_score(self.idf, frequency, length_factor)
    }
}

/// A query on a segment.
pub(super) struct SegmentSearch<'s> {
    segment: &'s Segment,
    place: usize,
    average: f64,
    terms: Vec<SegmentTerm>,
    /// Terms of the current window, those with the lowest bounds first.
    order: Vec<usize>,
    /// For each of these terms, the sum of its bound and those before it.
    sums: Vec<f64>,
    /// The chunks that the search is restricted to, if any.
    pub(super) set: Option<&'s ChunkSet>,
}

impl<'s> SegmentSearch<'s> {
    /// Returns `None` if the segment contains none of the terms.
    pub(super) fn new<P: Pages>(
        terms: &[QueryTerm],
        average: f64,
        place: usize,
        segment: &'s Segment,
        reader: &mut PageReader<P>,
    ) -> Result<Option<Self>, P::Error> {
        let mut found = Vec::with_capacity(terms.len());
        for term in terms {
            if let Some(entry) = term.entry(place) {
                let cursor = Cursor::new(entry.clone(), segment, reader)?;
                found.push(SegmentTerm { idf: term.idf, cursor, bound: 0.0, frequency: 0 });
            }
        }
        let (order, sums) = (Vec::new(), Vec::new());
        let search = Self { segment, place, average, terms: found, order, sums, set: None };
        Ok((!search.terms.is_empty()).then_some(search))
    }

    fn length_factor(&self, words: u32) -> f64 {
        bm25::length_factor(words, self.average)
    }

    /// Offers all chunks to `top` that may be among the best.
    pub(super) fn run<P: Pages>(
        &mut self,
        top: &mut Top,
        reader: &mut PageReader<P>,
    ) -> Result<(), P::Error> {
        let mut from = 0;
        while let Some(window) = self.window(from) {
            let words = self.segment.length_of(*window.start());
            let factor = self.length_factor(words);
            let mut bound = 0.0;
            for term in &mut self.terms {
                let block = term.cursor.block_from(from).filter(|block| block.first <= *window.end());
                let frequency = block.map_or(0, |block| block.max_frequency);
                term.bound = term.score(frequency, factor);
                bound += term.bound;
            }
            let only = (self.segment.length_of(*window.end()) == words).then_some(words);
            if !top.excludes(bound, only) {
                self.look_through(window.clone(), top, reader)?;
            }
            let Some(next) = window.end().checked_add(1) else { break };
            from = next;
        }
        Ok(())
    }

    /// The next window: from the first ordinal that a term may have to the next end of a block.
    fn window(&mut self, from: u32) -> Option<RangeInclusive<u32>> {
        let (mut first, mut last) = (u32::MAX, u32::MAX);
        for term in &mut self.terms {
            if let Some(block) = term.cursor.block_from(from) {
                first = first.min(block.first.max(from));
                last = last.min(block.last);
            }
        }
        // `first` stays at its maximum if no term has a posting left. A block that begins after `last` has no posting in the window.
        (first <= last && first != u32::MAX).then_some(first..=last)
    }

    fn look_through<P: Pages>(
        &mut self,
        window: RangeInclusive<u32>,
        top: &mut Top,
        reader: &mut PageReader<P>,
    ) -> Result<(), P::Error> {
        let needed = self.split(top.threshold());
        let mut ordinal = *window.start();
        while let Some(from) = self.next_in_set(ordinal)
            && let Some(next) = self.next_of(needed, from, reader)?.filter(|next| window.contains(next))
        {
            if self.next_in_set(next) == Some(next)
                && self.may_reach(needed, next, top.threshold(), reader)?
            {
                self.offer(next, top, reader)?;
            }
            let Some(after) = next.checked_add(1) else { break };
            ordinal = after;
        }
        Ok(())
    }

    /// Sorts the terms of the window by bound. Returns how many of the first ones cannot reach the threshold without the others.
    fn split(&mut self, threshold: f64) -> usize {
        let Self { terms, order, sums, .. } = self;
        order.clear();
        order.extend((0..terms.len()).filter(|place| terms[*place].bound > 0.0));
        order.sort_unstable_by(|a, b| terms[*a].bound.total_cmp(&terms[*b].bound));
        sums.clear();
        let mut sum = 0.0;
        sums.extend(order.iter().map(|place| {
            sum += terms[*place].bound;
            sum
        }));
        sums.partition_point(|sum| sum * (1.0 + ROUNDING) < threshold)
    }

    /// The next ordinal, from `from` on, that the search is restricted to.
    #[inline]
    pub(super) fn next_in_set(&self, from: u32) -> Option<u32> {
        self.set.map_or(Some(from), |set| set.next(self.place, from))
    }

    /// The next chunk that contains one of the needed terms.
    fn next_of<P: Pages>(
        &mut self,
        needed: usize,
        from: u32,
        reader: &mut PageReader<P>,
    ) -> Result<Option<u32>, P::Error> {
        let mut next = None;
        for place in &self.order[needed..] {
            let found = self.terms[*place].cursor.seek(from, self.segment, reader)?;
            next = next.into_iter().chain(found).min();
        }
        Ok(next)
    }

    /// Looks up the other terms of a chunk, the highest bounds first, while the chunk may reach the threshold.
    fn may_reach<P: Pages>(
        &mut self,
        needed: usize,
        ordinal: u32,
        threshold: f64,
        reader: &mut PageReader<P>,
    ) -> Result<bool, P::Error> {
        let factor = self.length_factor(self.segment.length_of(ordinal));
        for term in &mut self.terms {
            term.frequency = 0;
        }
        let mut sum = 0.0;
        for place in (0..self.order.len()).rev() {
            if place < needed && (sum + self.sums[place]) * (1.0 + ROUNDING) < threshold {
                return Ok(false);
            }
            let term = &mut self.terms[self.order[place]];
            if term.cursor.seek(ordinal, self.segment, reader)? == Some(ordinal) {
                term.frequency = term.cursor.frequency();
                sum += term.score(term.frequency, factor);
            }
        }
        Ok(true)
    }

    /// Scores a chunk whose frequencies are known. The terms are added in the query's order.
    fn offer<P: Pages>(
        &mut self,
        ordinal: u32,
        top: &mut Top,
        reader: &mut PageReader<P>,
    ) -> Result<(), P::Error> {
        let words = self.segment.length_of(ordinal);
        let factor = self.length_factor(words);
        let mut score = 0.0;
        for term in &self.terms {
            score += term.score(term.frequency, factor);
        }
        top.offer(score, self.place, ordinal, words, reader)
    }

    /// Offers a chunk to `top` if it contains one of the terms.
    pub(super) fn score<P: Pages>(
        &mut self,
        ordinal: u32,
        top: &mut Top,
        reader: &mut PageReader<P>,
    ) -> Result<(), P::Error> {
        let mut is_found = false;
        for term in &mut self.terms {
            let is_there = term.cursor.seek(ordinal, self.segment, reader)? == Some(ordinal);
            term.frequency = if is_there { term.cursor.frequency() } else { 0 };
            is_found |= is_there;
        }
        if is_found { self.offer(ordinal, top, reader) } else { Ok(()) }
    }
}
