//! The order of work: queries before bulk, the oldest first, texts of similar length together.

use std::collections::{BTreeMap, VecDeque};

use ragstone_core::protocol::Lane;

use crate::runtime::BatchLimits;

/// An entry of a queue.
pub trait QueueEntry {
    /// Tokens that it adds to a batch.
    fn tokens(&self) -> usize;
    /// Whether its result is no longer wanted.
    fn is_cancelled(&self) -> bool;
}

/// The queue of one model: a lane of queries, and one of bulk texts.
#[derive(Debug)]
pub struct PriorityQueue<T> {
    query: VecDeque<T>,
    /// By length, then age: neighbours need the least padding.
    bulk: BTreeMap<(usize, u64), T>,
    /// Length of each bulk text by age: the next batch is formed around the first one.
    bulk_by_age: BTreeMap<u64, usize>,
    next: u64,
}

impl<T> Default for PriorityQueue<T> {
    fn default() -> Self {
        Self { query: VecDeque::new(), bulk: BTreeMap::new(), bulk_by_age: BTreeMap::new(), next: 0 }
    }
}

impl<T: QueueEntry> PriorityQueue<T> {
    /// Puts a text at the end of its lane.
    pub fn push(&mut self, lane: Lane, text: T) {
        match lane {
            Lane::Query => self.query.push_back(text),
            Lane::Bulk => {
                self.bulk_by_age.insert(self.next, text.tokens());
                self.bulk.insert((text.tokens(), self.next), text);
                self.next += 1;
            }
        }
    }

    /// Number of texts that wait.
    pub fn len(&self) -> usize {
        self.query.len() + self.bulk.len()
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.query.is_empty() && self.bulk.is_empty()
    }

    /// The texts that wait, in no order.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.query.iter().chain(self.bulk.values())
    }

    /// Drops cancelled texts.
    pub fn remove_cancelled(&mut self) {
        self.query.retain(|text| !text.is_cancelled());
        let by_age = &mut self.bulk_by_age;
        self.bulk.retain(|(_, number), text| {
            let keep = !text.is_cancelled();
            if !keep {
                by_age.remove(number);
            }
            keep
        });
    }

    /// Everything, in no order.
    pub fn drain(&mut self) -> Vec<T> {
        self.bulk_by_age.clear();
        self.query.drain(..).chain(std::mem::take(&mut self.bulk).into_values()).collect()
    }

    /// The next batch: the oldest query if there is one, else the oldest bulk text, and texts of similar length from its lane.
    /// Drops cancelled texts. Empty only if no text waits.
    pub fn next_batch(&mut self, limits: BatchLimits) -> Vec<T> {
        let batch = self.take_queries(limits);
        if batch.is_empty() { self.take_bulk(limits) } else { batch }
    }

    fn take_queries(&mut self, limits: BatchLimits) -> Vec<T> {
        let mut batch = Vec::new();
        let mut size = BatchSize::default();
        let mut rest = VecDeque::new();
        for text in self.query.drain(..) {
            if text.is_cancelled() {
                continue;
            }
            match size.with(text.tokens(), limits) {
                Some(more) => {
                    size = more;
                    batch.push(text);
                }
                None => rest.push_back(text),
            }
        }
        self.query = rest;
        batch
    }

    fn take_bulk(&mut self, limits: BatchLimits) -> Vec<T> {
        let mut batch = Vec::new();
        let Some(anchor) = self.pop_oldest() else { return batch };
        let Some(mut size) = BatchSize::default().with(anchor.tokens(), limits) else { return vec![anchor] };
        let key = (anchor.tokens(), 0);
        batch.push(anchor);
        let (mut shorter_ended, mut longer_ended) = (false, false);
        while !(shorter_ended && longer_ended) {
            let shorter =
                if shorter_ended { None } else { self.bulk.range(..key).next_back().map(|(key, _)| *key) };
            let longer = if longer_ended { None } else { self.bulk.range(key..).next().map(|(key, _)| *key) };
            shorter_ended |= shorter.is_none();
            longer_ended |= longer.is_none();
            let distance =
                |other: Option<(usize, u64)>| other.map_or(usize::MAX, |other| other.0.abs_diff(key.0));
            let nearest_is_longer = distance(longer) <= distance(shorter);
            let Some(nearest) = (if nearest_is_longer { longer } else { shorter }) else { break };
            if self.bulk.get(&nearest).is_some_and(QueueEntry::is_cancelled) {
                self.remove(nearest);
                continue;
            }
            match size.with(nearest.0, limits) {
                Some(more) => {
                    size = more;
                    batch.extend(self.remove(nearest));
                }
                None if nearest_is_longer => longer_ended = true,
                None => shorter_ended = true,
            }
        }
        batch
    }

    fn pop_oldest(&mut self) -> Option<T> {
        loop {
            let (number, length) = self.bulk_by_age.pop_first()?;
            match self.bulk.remove(&(length, number)) {
                Some(text) if !text.is_cancelled() => return Some(text),
                _ => {}
            }
        }
    }

    fn remove(&mut self, key: (usize, u64)) -> Option<T> {
        self.bulk_by_age.remove(&key.1);
        self.bulk.remove(&key)
    }
}

/// Number and lengths of the texts in a batch.
#[derive(Debug, Clone, Copy, Default)]
struct BatchSize {
    texts: usize,
    shortest: usize,
    longest: usize,
}

impl BatchSize {
    /// The size with one more text, if that is within the limits and of similar length. The first text is always accepted.
    fn with(self, tokens: usize, limits: BatchLimits) -> Option<Self> {
        if self.texts == 0 {
            return Some(Self { texts: 1, shortest: tokens, longest: tokens });
        }
        let more = Self {
            texts: self.texts + 1,
            shortest: self.shortest.min(tokens),
            longest: self.longest.max(tokens),
        };
        let fits = more.texts <= limits.texts
            && more.longest * more.texts <= limits.tokens
            && more.longest - more.shortest <= more.longest / 4 + LENGTH_TOLERANCE;
        fits.then_some(more)
    }
}

/// Texts whose lengths differ by at most this many tokens always fit together: a run of its own costs more than the padding.
const LENGTH_TOLERANCE: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Clone, PartialEq)]
    struct Text(usize, bool);

    impl QueueEntry for Text {
        fn tokens(&self) -> usize {
            self.0
        }
        fn is_cancelled(&self) -> bool {
            self.1
        }
    }

    const LIMITS: BatchLimits = BatchLimits { tokens: 512, texts: 8 };

    fn queue(bulk: &[usize]) -> PriorityQueue<Text> {
        let mut queue = PriorityQueue::default();
        bulk.iter().for_each(|&tokens| queue.push(Lane::Bulk, Text(tokens, false)));
        queue
    }

    fn lengths(batch: &[Text]) -> Vec<usize> {
        batch.iter().map(|text| text.0).collect()
    }

    #[test]
    fn the_oldest_text_is_in_the_first_batch_with_its_neighbours() {
        let mut queue = queue(&[100, 10, 250, 104, 98, 11]);
        assert_eq!(lengths(&queue.next_batch(LIMITS)), [100, 98, 104]);
        assert_eq!(lengths(&queue.next_batch(LIMITS)), [10, 11]);
        assert_eq!(lengths(&queue.next_batch(LIMITS)), [250]);
        assert!(queue.next_batch(LIMITS).is_empty());
    }

    #[test]
    fn queries_go_before_bulk_and_in_a_batch_of_their_own() {
        let mut queue = queue(&[10]);
        queue.push(Lane::Query, Text(8, false));
        queue.push(Lane::Query, Text(12, false));
        assert_eq!(lengths(&queue.next_batch(LIMITS)), [8, 12]);
        assert_eq!(lengths(&queue.next_batch(LIMITS)), [10]);
    }

    #[test]
    fn a_long_query_does_not_hold_short_ones_back() {
        let mut queue = queue(&[]);
        [8, 200, 9].into_iter().for_each(|tokens| queue.push(Lane::Query, Text(tokens, false)));
        assert_eq!(lengths(&queue.next_batch(LIMITS)), [8, 9]);
        assert_eq!(lengths(&queue.next_batch(LIMITS)), [200]);
    }

    #[test]
    fn a_batch_stays_within_tokens_and_texts() {
        let mut many = queue(&[200; 5]);
        assert_eq!(many.next_batch(LIMITS).len(), 2);
        let mut short = queue(&[4; 20]);
        assert_eq!(short.next_batch(LIMITS).len(), 8);
        assert_eq!(short.len(), 12);
    }

    #[test]
    fn a_text_over_the_budget_runs_alone() {
        let mut queue = queue(&[600, 600]);
        assert_eq!(lengths(&queue.next_batch(LIMITS)), [600]);
        assert_eq!(lengths(&queue.next_batch(LIMITS)), [600]);
    }

    #[test]
    fn cancelled_work_is_never_run_and_takes_no_room() {
        let mut queue = queue(&[10, 10]);
        queue.push(Lane::Bulk, Text(10, true));
        queue.push(Lane::Query, Text(5, true));
        assert_eq!(lengths(&queue.next_batch(LIMITS)), [10, 10]);
        assert!(queue.is_empty());
        queue.push(Lane::Bulk, Text(10, true));
        queue.remove_cancelled();
        assert!(queue.is_empty() && queue.bulk_by_age.is_empty());
    }

    #[test]
    fn every_text_comes_out_once_whatever_the_lengths() {
        let mut queue = queue(&(0..500).map(|n| 3 + n * 7919 % 253).collect::<Vec<_>>());
        let mut out = 0;
        while !queue.is_empty() {
            let batch = queue.next_batch(LIMITS);
            assert!(!batch.is_empty());
            out += batch.len();
        }
        assert_eq!((out, queue.bulk_by_age.len()), (500, 0));
    }

    #[test]
    fn draining_empties_both_lanes() {
        let mut queue = queue(&[1, 2]);
        queue.push(Lane::Query, Text(3, false));
        assert_eq!(queue.drain().len(), 3);
        assert!(queue.is_empty() && queue.pop_oldest().is_none());
    }
}
