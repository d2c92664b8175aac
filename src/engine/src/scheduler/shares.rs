//! Decides whose turn it is among clients that share a resource.
//!
//! Each share counts what it has used, and the share that has used least is next: start-time fair queueing (Goyal, Vin,
//! Cheng: SIGCOMM 1996). A share with urgent work has a head start: borrowed virtual time (Duda, Cheriton: SOSP 1999).
//! It goes first while it is not far ahead of the others; after that it gets its fair part and no more.

use std::{collections::HashMap, hash::Hash, time::Duration};

/// How far a share with urgent work may get ahead of shares without any: a few batches, so that short bursts go first
/// and a flood does not take the others' part.
pub const HEAD_START: Duration = Duration::from_millis(200);

/// The entries that wait in a share.
pub trait Backlog: Default {
    /// Number of the oldest entry; numbers give the order of arrival over all shares. `None` if nothing waits.
    fn oldest(&self) -> Option<u64>;

    /// True if an urgent entry waits.
    fn is_urgent(&self) -> bool;
}

/// Shares of a resource by their keys.
#[derive(Debug)]
pub struct Shares<K, B> {
    /// The least use of the shares that waited at the last turn. New and returning shares begin here, so that no share
    /// saves up turns.
    clock: Duration,
    shares: HashMap<K, Share<B>>,
}

#[derive(Debug, Default)]
struct Share<B> {
    used: Duration,
    backlog: B,
}

impl<K, B> Default for Shares<K, B> {
    fn default() -> Self {
        Self { clock: Duration::ZERO, shares: HashMap::new() }
    }
}

impl<K: Copy + Eq + Hash, B: Backlog> Shares<K, B> {
    /// Returns the share to add an entry to.
    pub fn join(&mut self, key: K) -> &mut B {
        let share = self.shares.entry(key).or_default();
        if share.backlog.oldest().is_none() {
            share.used = share.used.max(self.clock);
        }
        &mut share.backlog
    }

    /// The entries that wait in a share.
    pub fn get_mut(&mut self, key: K) -> Option<&mut B> {
        self.shares.get_mut(&key).map(|share| &mut share.backlog)
    }

    /// Begins a turn: removes shares that have no entries and are not ahead of the others.
    pub fn begin_turn(&mut self) {
        let waiting = self.shares.values().filter(|share| share.backlog.oldest().is_some());
        let least = waiting.map(|share| share.used).min();
        self.clock = self.clock.max(least.unwrap_or_default());
        self.shares.retain(|_, share| share.backlog.oldest().is_some() || share.used > self.clock);
    }

    /// The shares with waiting entries, in the order of their turns.
    pub fn in_order(&self) -> Vec<K> {
        let mut turns: Vec<_> = self
            .shares
            .iter()
            .filter_map(|(key, share)| {
                let oldest = share.backlog.oldest()?;
                let handicap = if share.backlog.is_urgent() { Duration::ZERO } else { HEAD_START };
                Some((share.used + handicap, oldest, *key))
            })
            .collect();
        turns.sort_unstable_by_key(|(used, oldest, _)| (*used, *oldest));
        turns.into_iter().map(|(_, _, key)| key).collect()
    }

    /// Adds to what a share has used.
    pub fn charge(&mut self, key: K, used: Duration) {
        // The share may have been removed while its work was in progress.
        self.join(key);
        if let Some(share) = self.shares.get_mut(&key) {
            share.used += used;
        }
    }

    /// The entries that wait in all shares.
    pub fn backlogs(&self) -> impl Iterator<Item = &B> {
        self.shares.values().map(|share| &share.backlog)
    }

    /// The entries that wait in all shares, mutable.
    pub fn backlogs_mut(&mut self) -> impl Iterator<Item = &mut B> {
        self.shares.values_mut().map(|share| &mut share.backlog)
    }
}

impl<K: Copy + Eq + Hash, C: Copy + Eq + Hash, B: Backlog> Shares<K, Shares<C, B>> {
    /// The share whose turn it is, and the share within it whose turn it is. `None` if nothing waits.
    pub fn next_pair(&mut self) -> Option<(K, C)> {
        self.next_pair_of(|_| true)
    }

    /// The same, of the shares that may have a turn.
    pub fn next_pair_of(&mut self, may_have_one: impl Fn(K) -> bool) -> Option<(K, C)> {
        let outer = self.in_order().into_iter().find(|key| may_have_one(*key))?;
        let inside = self.get_mut(outer)?;
        inside.begin_turn();
        Some((outer, *inside.in_order().first()?))
    }

    /// Adds to what a share, and a share within it, have used.
    pub fn charge_pair(&mut self, outer: K, inner: C, used: Duration) {
        self.charge(outer, used);
        if let Some(inside) = self.get_mut(outer) {
            inside.charge(inner, used);
        }
    }
}

impl<K: Copy + Eq + Hash, B: Backlog> Backlog for Shares<K, B> {
    fn oldest(&self) -> Option<u64> {
        self.backlogs().filter_map(Backlog::oldest).min()
    }

    fn is_urgent(&self) -> bool {
        self.backlogs().any(Backlog::is_urgent)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Number of waiting entries, and whether they are urgent.
    #[derive(Debug, Default)]
    struct Waiting(u64, bool);

    impl Backlog for Waiting {
        fn oldest(&self) -> Option<u64> {
            (self.0 > 0).then_some(0)
        }
        fn is_urgent(&self) -> bool {
            self.1
        }
    }

    const MS: Duration = Duration::from_millis(1);

    /// Gives turns of one millisecond, and counts those of share 1.
    fn turns_of_first(shares: &mut Shares<u32, Waiting>, turns: usize) -> usize {
        let mut count = 0;
        for _ in 0..turns {
            shares.begin_turn();
            let next = shares.in_order()[0];
            shares.charge(next, MS);
            count += usize::from(next == 1);
        }
        count
    }

    #[test]
    fn turns_alternate_and_are_not_saved_up() {
        let mut shares = Shares::default();
        *shares.join(1) = Waiting(1, false);
        assert_eq!(turns_of_first(&mut shares, 1000), 1000);
        *shares.join(2) = Waiting(1, false);
        let first = turns_of_first(&mut shares, 100);
        assert!((49..=51).contains(&first), "{first}");
        // A share that was away begins level with the others.
        shares.join(1).0 = 0;
        turns_of_first(&mut shares, 1000);
        shares.join(1).0 = 1;
        let first = turns_of_first(&mut shares, 100);
        assert!((49..=51).contains(&first), "{first}");
    }

    #[test]
    fn a_share_that_is_ahead_is_not_forgotten_while_nothing_waits_in_it() {
        let mut shares = Shares::default();
        *shares.join(1) = Waiting(1, false);
        *shares.join(2) = Waiting(1, false);
        shares.charge(1, 100 * MS);
        shares.join(1).0 = 0;
        assert_eq!(turns_of_first(&mut shares, 10), 0);
        shares.join(1).0 = 1;
        assert_eq!(turns_of_first(&mut shares, 90), 0);
        assert_eq!(shares.shares.len(), 2);
        shares.join(1).0 = 0;
        turns_of_first(&mut shares, 2);
        assert_eq!(shares.shares.len(), 1);
    }

    #[test]
    fn urgent_shares_go_first_for_a_while_and_then_have_their_part() {
        let mut shares = Shares::default();
        *shares.join(1) = Waiting(1, true);
        *shares.join(2) = Waiting(1, false);
        let head_start = HEAD_START.as_millis() as usize;
        assert_eq!(turns_of_first(&mut shares, head_start), head_start);
        let first = turns_of_first(&mut shares, 100);
        assert!((49..=51).contains(&first), "{first}");
    }
}
