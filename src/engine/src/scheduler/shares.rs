//! Whose turn it is among those that share a resource.
//!
//! Each share counts what it has used, and the one that has used least is next: start-time fair queueing (Goyal, Vin, Cheng:
//! SIGCOMM 1996). What is urgent has a head start: borrowed virtual time (Duda, Cheriton: SOSP 1999). It goes first while its
//! share is not far ahead of the others, and has its fair part and no more once it is.

use std::{collections::HashMap, hash::Hash, time::Duration};

/// How far a share with something urgent may get ahead of those that have nothing urgent: a few batches, so that short
/// bursts go first and a flood does not keep others from their part.
pub const HEAD_START: Duration = Duration::from_millis(200);

/// What waits in a share.
pub trait Backlog: Default {
    /// Number of the oldest entry, which tells the order of arrival over all shares. None if nothing waits.
    fn oldest(&self) -> Option<u64>;

    /// Whether something urgent waits.
    fn is_urgent(&self) -> bool;
}

/// Shares of a resource by their keys.
#[derive(Debug)]
pub struct Shares<K, B> {
    /// The least use of those that waited at the last turn. Shares that come, or come back, begin here: nobody saves up turns.
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
    /// The share to add something to.
    pub fn join(&mut self, key: K) -> &mut B {
        let share = self.shares.entry(key).or_default();
        if share.backlog.oldest().is_none() {
            share.used = share.used.max(self.clock);
        }
        &mut share.backlog
    }

    /// What waits in a share.
    pub fn get_mut(&mut self, key: K) -> Option<&mut B> {
        self.shares.get_mut(&key).map(|share| &mut share.backlog)
    }

    /// Begins a turn: forgets shares that have nothing waiting and are not ahead of the others.
    pub fn begin_turn(&mut self) {
        let waiting = self.shares.values().filter(|share| share.backlog.oldest().is_some());
        let least = waiting.map(|share| share.used).min();
        self.clock = self.clock.max(least.unwrap_or_default());
        self.shares.retain(|_, share| share.backlog.oldest().is_some() || share.used > self.clock);
    }

    /// The shares that have something waiting, in the order of their turns.
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

    /// Counts what a share has used.
    pub fn charge(&mut self, key: K, used: Duration) {
        // A share may have been forgotten while what it got was in use.
        self.join(key);
        if let Some(share) = self.shares.get_mut(&key) {
            share.used += used;
        }
    }

    /// What waits in all shares.
    pub fn backlogs(&self) -> impl Iterator<Item = &B> {
        self.shares.values().map(|share| &share.backlog)
    }

    /// The same, to change it.
    pub fn backlogs_mut(&mut self) -> impl Iterator<Item = &mut B> {
        self.shares.values_mut().map(|share| &mut share.backlog)
    }
}

impl<K: Copy + Eq + Hash, C: Copy + Eq + Hash, B: Backlog> Shares<K, Shares<C, B>> {
    /// The share whose turn it is, and the one of its own shares whose turn it is there. None if nothing waits.
    pub fn next_pair(&mut self) -> Option<(K, C)> {
        let outer = *self.in_order().first()?;
        let inside = self.get_mut(outer)?;
        inside.begin_turn();
        Some((outer, *inside.in_order().first()?))
    }

    /// Counts what a share has used for one of its own.
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

    /// How many entries wait, and whether they are urgent.
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

    /// Gives turns of a millisecond, and counts those of share 1.
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
    fn turns_alternate_and_nobody_saves_them_up() {
        let mut shares = Shares::default();
        *shares.join(1) = Waiting(1, false);
        assert_eq!(turns_of_first(&mut shares, 1000), 1000);
        *shares.join(2) = Waiting(1, false);
        let first = turns_of_first(&mut shares, 100);
        assert!((49..=51).contains(&first), "{first}");
        // One that was away begins with the others.
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
