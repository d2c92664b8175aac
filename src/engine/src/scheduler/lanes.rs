//! The order of work: queries before bulk, the oldest first, texts of similar length together.

use std::collections::{BTreeMap, VecDeque};

use ragstone_core::protocol::Lane;

use crate::runtime::Budget;

/// Something that waits in a lane.
pub trait Waiting {
    /// Tokens that it adds to a batch.
    fn tokens(&self) -> usize;
    /// Whether nobody waits for it any more.
    fn is_gone(&self) -> bool;
}

/// The two lanes of a model's queue.
#[derive(Debug)]
pub struct Lanes<T> {
    query: VecDeque<T>,
    /// By length, then age: neighbours are padded least.
    bulk: BTreeMap<(usize, u64), T>,
    /// Length of each bulk text by age: the first one is the next batch's anchor.
    age: BTreeMap<u64, usize>,
    next: u64,
}

impl<T> Default for Lanes<T> {
    fn default() -> Self {
        Self { query: VecDeque::new(), bulk: BTreeMap::new(), age: BTreeMap::new(), next: 0 }
    }
}

impl<T: Waiting> Lanes<T> {
    /// Puts a text at the end of its lane.
    pub fn push(&mut self, lane: Lane, text: T) {
        match lane {
            Lane::Query => self.query.push_back(text),
            Lane::Bulk => {
                self.age.insert(self.next, text.tokens());
                self.bulk.insert((text.tokens(), self.next), text);
                self.next += 1;
            }
        }
    }

    /// Texts that wait.
    pub fn len(&self) -> usize {
        self.query.len() + self.bulk.len()
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.query.is_empty() && self.bulk.is_empty()
    }

    /// Drops the texts that nobody waits for.
    pub fn sweep(&mut self) {
        self.query.retain(|text| !text.is_gone());
        let age = &mut self.age;
        self.bulk.retain(|(_, number), text| {
            let keep = !text.is_gone();
            if !keep {
                age.remove(number);
            }
            keep
        });
    }

    /// Everything, in no order.
    pub fn drain(&mut self) -> Vec<T> {
        self.age.clear();
        self.query.drain(..).chain(std::mem::take(&mut self.bulk).into_values()).collect()
    }

    /// The next batch: the oldest text of the first lane that has one, and others of similar length. Texts that
    /// nobody waits for are dropped on the way. Empty only if nothing waits.
    pub fn take(&mut self, budget: Budget) -> Vec<T> {
        let batch = self.take_queries(budget);
        if batch.is_empty() { self.take_bulk(budget) } else { batch }
    }

    fn take_queries(&mut self, budget: Budget) -> Vec<T> {
        let mut batch = Vec::new();
        let mut fill = Fill::default();
        let mut rest = VecDeque::new();
        for text in self.query.drain(..) {
            if text.is_gone() {
                continue;
            }
            match fill.with(text.tokens(), budget) {
                Some(more) => {
                    fill = more;
                    batch.push(text);
                }
                None => rest.push_back(text),
            }
        }
        self.query = rest;
        batch
    }

    fn take_bulk(&mut self, budget: Budget) -> Vec<T> {
        let mut batch = Vec::new();
        let Some(anchor) = self.pop_oldest() else { return batch };
        let Some(mut fill) = Fill::default().with(anchor.tokens(), budget) else { return vec![anchor] };
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
            if self.bulk.get(&nearest).is_some_and(Waiting::is_gone) {
                self.remove(nearest);
                continue;
            }
            match fill.with(nearest.0, budget) {
                Some(more) => {
                    fill = more;
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
            let (number, length) = self.age.pop_first()?;
            match self.bulk.remove(&(length, number)) {
                Some(text) if !text.is_gone() => return Some(text),
                _ => {}
            }
        }
    }

    fn remove(&mut self, key: (usize, u64)) -> Option<T> {
        self.age.remove(&key.1);
        self.bulk.remove(&key)
    }
}

/// What is in a batch so far.
#[derive(Debug, Clone, Copy, Default)]
struct Fill {
    texts: usize,
    shortest: usize,
    longest: usize,
}

impl Fill {
    /// With one more text, if it may join: within the budget, and of similar length. The first text always may.
    fn with(self, tokens: usize, budget: Budget) -> Option<Self> {
        if self.texts == 0 {
            return Some(Self { texts: 1, shortest: tokens, longest: tokens });
        }
        let more = Self {
            texts: self.texts + 1,
            shortest: self.shortest.min(tokens),
            longest: self.longest.max(tokens),
        };
        let fits = more.texts <= budget.texts
            && more.longest * more.texts <= budget.tokens
            && more.longest - more.shortest <= more.longest / 4 + ALIKE;
        fits.then_some(more)
    }
}

/// Texts that differ by no more tokens may always run together: a run costs more than so little padding.
const ALIKE: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Clone, PartialEq)]
    struct Text(usize, bool);

    impl Waiting for Text {
        fn tokens(&self) -> usize {
            self.0
        }
        fn is_gone(&self) -> bool {
            self.1
        }
    }

    const BUDGET: Budget = Budget { tokens: 512, texts: 8 };

    fn lanes(bulk: &[usize]) -> Lanes<Text> {
        let mut lanes = Lanes::default();
        bulk.iter().for_each(|&tokens| lanes.push(Lane::Bulk, Text(tokens, false)));
        lanes
    }

    fn lengths(batch: &[Text]) -> Vec<usize> {
        batch.iter().map(|text| text.0).collect()
    }

    #[test]
    fn the_oldest_text_is_in_the_first_batch_with_its_neighbours() {
        let mut lanes = lanes(&[100, 10, 250, 104, 98, 11]);
        assert_eq!(lengths(&lanes.take(BUDGET)), [100, 98, 104]);
        assert_eq!(lengths(&lanes.take(BUDGET)), [10, 11]);
        assert_eq!(lengths(&lanes.take(BUDGET)), [250]);
        assert!(lanes.take(BUDGET).is_empty());
    }

    #[test]
    fn queries_go_before_bulk_and_in_a_batch_of_their_own() {
        let mut lanes = lanes(&[10]);
        lanes.push(Lane::Query, Text(8, false));
        lanes.push(Lane::Query, Text(12, false));
        assert_eq!(lengths(&lanes.take(BUDGET)), [8, 12]);
        assert_eq!(lengths(&lanes.take(BUDGET)), [10]);
    }

    #[test]
    fn a_long_query_does_not_hold_short_ones_back() {
        let mut lanes = lanes(&[]);
        [8, 200, 9].into_iter().for_each(|tokens| lanes.push(Lane::Query, Text(tokens, false)));
        assert_eq!(lengths(&lanes.take(BUDGET)), [8, 9]);
        assert_eq!(lengths(&lanes.take(BUDGET)), [200]);
    }

    #[test]
    fn a_batch_stays_within_tokens_and_texts() {
        let mut many = lanes(&[200; 5]);
        assert_eq!(many.take(BUDGET).len(), 2);
        let mut short = lanes(&[4; 20]);
        assert_eq!(short.take(BUDGET).len(), 8);
        assert_eq!(short.len(), 12);
    }

    #[test]
    fn a_text_over_the_budget_runs_alone() {
        let mut lanes = lanes(&[600, 600]);
        assert_eq!(lengths(&lanes.take(BUDGET)), [600]);
        assert_eq!(lengths(&lanes.take(BUDGET)), [600]);
    }

    #[test]
    fn dropped_work_is_never_run_and_holds_no_place() {
        let mut lanes = lanes(&[10, 10]);
        lanes.push(Lane::Bulk, Text(10, true));
        lanes.push(Lane::Query, Text(5, true));
        assert_eq!(lengths(&lanes.take(BUDGET)), [10, 10]);
        assert!(lanes.is_empty());
        lanes.push(Lane::Bulk, Text(10, true));
        lanes.sweep();
        assert!(lanes.is_empty() && lanes.age.is_empty());
    }

    #[test]
    fn every_text_comes_out_once_whatever_the_lengths() {
        let mut lanes = lanes(&(0..500).map(|n| 3 + n * 7919 % 253).collect::<Vec<_>>());
        let mut out = 0;
        while !lanes.is_empty() {
            let batch = lanes.take(BUDGET);
            assert!(!batch.is_empty());
            out += batch.len();
        }
        assert_eq!((out, lanes.age.len()), (500, 0));
    }

    #[test]
    fn draining_empties_both_lanes() {
        let mut lanes = lanes(&[1, 2]);
        lanes.push(Lane::Query, Text(3, false));
        assert_eq!(lanes.drain().len(), 3);
        assert!(lanes.is_empty() && lanes.pop_oldest().is_none());
    }
}
