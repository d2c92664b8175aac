//! The texts of one session that wait in one lane, and how they are grouped into a batch.

use std::collections::BTreeMap;

use crate::runtime::BatchLimits;

/// An entry of a queue.
pub trait QueueEntry {
    /// Tokens that it adds to a batch.
    fn tokens(&self) -> usize;
    /// True if its result is no longer wanted.
    fn is_cancelled(&self) -> bool;
}

/// Texts by length and by age.
#[derive(Debug)]
pub struct Texts<T> {
    /// By length, then age: neighbours need the least padding.
    by_length: BTreeMap<(usize, u64), T>,
    /// Length of each text by age: a batch is built around the oldest text.
    by_age: BTreeMap<u64, usize>,
}

impl<T> Default for Texts<T> {
    fn default() -> Self {
        Self { by_length: BTreeMap::new(), by_age: BTreeMap::new() }
    }
}

impl<T: QueueEntry> Texts<T> {
    /// Adds a text; a higher number is younger.
    pub fn push(&mut self, number: u64, text: T) {
        self.by_age.insert(number, text.tokens());
        self.by_length.insert((text.tokens(), number), text);
    }

    /// Number of the oldest text.
    pub fn oldest(&self) -> Option<u64> {
        self.by_age.first_key_value().map(|(number, _)| *number)
    }

    /// The texts, in no order.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.by_length.values()
    }

    /// Drops cancelled texts.
    pub fn remove_cancelled(&mut self) {
        let by_age = &mut self.by_age;
        self.by_length.retain(|(_, number), text| {
            let keep = !text.is_cancelled();
            if !keep {
                by_age.remove(number);
            }
            keep
        });
    }

    /// All texts, in no order.
    pub fn drain(&mut self) -> impl Iterator<Item = T> + use<T> {
        self.by_age.clear();
        std::mem::take(&mut self.by_length).into_values()
    }

    /// The oldest text that is not cancelled.
    pub fn pop_oldest(&mut self) -> Option<T> {
        loop {
            let (number, length) = self.by_age.pop_first()?;
            match self.by_length.remove(&(length, number)) {
                Some(text) if !text.is_cancelled() => return Some(text),
                _ => {}
            }
        }
    }

    /// Takes the texts that fit into a batch, those closest in length to its first text first.
    pub fn take_similar(&mut self, shape: &mut BatchShape, limits: BatchLimits) -> Vec<T> {
        let mut taken = Vec::new();
        let key = (shape.first, 0);
        let (mut shorter_ended, mut longer_ended) = (false, false);
        while !(shorter_ended && longer_ended) {
            let shorter = self.by_length.range(..key).next_back().filter(|_| !shorter_ended);
            let longer = self.by_length.range(key..).next().filter(|_| !longer_ended);
            let (shorter, longer) = (shorter.map(|(key, _)| *key), longer.map(|(key, _)| *key));
            shorter_ended |= shorter.is_none();
            longer_ended |= longer.is_none();
            let distance =
                |other: Option<(usize, u64)>| other.map_or(usize::MAX, |other| other.0.abs_diff(key.0));
            let nearest_is_longer = distance(longer) <= distance(shorter);
            let Some(nearest) = (if nearest_is_longer { longer } else { shorter }) else { break };
            if self.by_length.get(&nearest).is_some_and(QueueEntry::is_cancelled) {
                self.remove(nearest);
            } else if let Some(more) = shape.with(nearest.0, limits) {
                *shape = more;
                taken.extend(self.remove(nearest));
            } else if nearest_is_longer {
                longer_ended = true;
            } else {
                shorter_ended = true;
            }
        }
        taken
    }

    fn remove(&mut self, key: (usize, u64)) -> Option<T> {
        self.by_age.remove(&key.1);
        self.by_length.remove(&key)
    }
}

/// Number and lengths of the texts in a batch.
#[derive(Debug, Clone, Copy)]
pub struct BatchShape {
    first: usize,
    texts: usize,
    shortest: usize,
    longest: usize,
}

impl BatchShape {
    /// A batch of one text, whatever its length.
    pub fn of_one(tokens: usize) -> Self {
        Self { first: tokens, texts: 1, shortest: tokens, longest: tokens }
    }

    /// The batch with one more text, if that is within the limits and of similar length.
    pub fn with(self, tokens: usize, limits: BatchLimits) -> Option<Self> {
        let more = Self {
            first: self.first,
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

/// Texts whose lengths differ by at most this many tokens always share a batch: a run of its own would cost more than
/// the padding.
const LENGTH_TOLERANCE: usize = 8;
