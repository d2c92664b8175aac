//! Finds the best chunks of one segment by BM25, exactly.
//!
//! A segment is gone through in windows that end where a block of postings of one of the query's terms ends. In a window each term's
//! score has an upper bound: that of the greatest frequency of the term's block in a chunk as short as the window's first.
//! Windows whose bounds together are too little are passed over. In the others the terms with the lowest bounds, which are too little
//! without the rest, are looked up only in chunks that have another term (MaxScore: Turtle and Flood, "Query evaluation:
//! strategies and optimizations", 1995; by blocks: Ding and Suel, "Faster top-k document retrieval using block-max indexes",
//! SIGIR 2011). Bounds and scores are sums in the same order of values that are rounded in the same way, so no bound is less than a
//! score by rounding.

use super::Pages;
use super::chunk_set::ChunkSet;
use super::cursor::Cursor;
use super::query_term::QueryTerm;
use super::segment::{PageReader, Segment};
use super::top::Top;
use crate::bm25;
use std::ops::RangeInclusive;

/// What sums in another order may be off by, relatively.
const ROUNDING: f64 = 1e-9;

/// A query's term in a segment.
struct SegmentTerm {
    idf: f64,
    cursor: Cursor,
    /// Upper bound of its score in the current window.
    bound: f64,
    /// How often it stands in the current chunk.
    frequency: u32,
}

impl SegmentTerm {
    /// What the term adds to a score.
    #[inline]
    fn score(&self, frequency: u32, length_factor: f64) -> f64 {
        bm25::term_score(self.idf, frequency, length_factor)
    }
}

/// A query in a segment.
pub(super) struct SegmentSearch<'s> {
    segment: &'s Segment,
    place: usize,
    average: f64,
    terms: Vec<SegmentTerm>,
    /// Terms of the current window, those with the lowest bounds first.
    order: Vec<usize>,
    /// For each of these the sum of its bound and those before it.
    sums: Vec<f64>,
    /// The chunks that may be found, if these are not all.
    pub(super) set: Option<&'s ChunkSet>,
}

impl<'s> SegmentSearch<'s> {
    /// None if the segment has none of the terms.
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

    /// Offers all chunks that may be among the best.
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
        // A block that begins later does not begin in this window's range; its first ordinal ends it.
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

    /// Sorts the terms of the window, and returns how many of the first reach the threshold by no means without another.
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

    /// The next chunk that may be found.
    #[inline]
    pub(super) fn next_in_set(&self, from: u32) -> Option<u32> {
        self.set.map_or(Some(from), |set| set.next(self.place, from))
    }

    /// The next chunk that has one of the needed terms. Notes how often each of these stands in it.
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

    /// Looks up the other terms of a chunk, those with the greatest bounds first, as long as it may reach the threshold.
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

    /// Scores a chunk whose frequencies are known, adding the terms in the query's order.
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

    /// Offers a chunk if it has one of the terms.
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
