//! Random choices that can be repeated with a seed.

use std::cell::Cell;
use std::time::{SystemTime, UNIX_EPOCH};

/// A random number generator: SplitMix64 (Steele, Lea and Flood, "Fast Splittable Pseudorandom Number
/// Generators", 2014), which accepts any seed.
#[derive(Debug)]
pub struct Chance {
    state: Cell<u64>,
}

impl Chance {
    /// A generator with this seed.
    pub fn of(seed: u64) -> Self {
        Self { state: Cell::new(seed) }
    }

    /// The seed in the environment variable, so that a failure can be reproduced; otherwise a seed from the
    /// current time.
    pub fn seed(variable: &str) -> u64 {
        let given = std::env::var(variable).ok().and_then(|seed| seed.parse().ok());
        let now = || SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_micros() as u64);
        given.unwrap_or_else(now)
    }

    /// A number below `end`; 0 if `end` is 0.
    pub fn below(&self, end: usize) -> usize {
        (self.next() % end.max(1) as u64) as usize
    }

    /// One of the values.
    pub fn pick<'v, T>(&self, values: &'v [T]) -> &'v T {
        &values[self.below(values.len())]
    }

    /// Puts values in a random order.
    pub fn shuffle<T>(&self, values: &mut [T]) {
        for end in (1..values.len()).rev() {
            values.swap(end, self.below(end + 1));
        }
    }

    fn next(&self) -> u64 {
        let state = self.state.get().wrapping_add(0x9e37_79b9_7f4a_7c15);
        self.state.set(state);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_repeats_its_choices() {
        let choices = |seed| {
            let chance = Chance::of(seed);
            (0..50).map(|_| chance.below(1000)).collect::<Vec<_>>()
        };
        assert_eq!(choices(7), choices(7));
        assert_ne!(choices(7), choices(8));
    }

    #[test]
    fn a_shuffle_keeps_all_values() {
        let mut values: Vec<_> = (0..100).collect();
        Chance::of(1).shuffle(&mut values);
        assert_ne!(values, (0..100).collect::<Vec<_>>());
        values.sort_unstable();
        assert_eq!(values, (0..100).collect::<Vec<_>>());
    }
}
