//! Pauses that double after each failure.

use std::time::Duration;

/// Pauses between retries: the first one, then twice the previous pause, up to a maximum. A backoff has no clock: its owner waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    first: Duration,
    max: Duration,
    last: Option<Duration>,
}

impl Backoff {
    /// Pauses from `first` to `max`.
    pub const fn new(first: Duration, max: Duration) -> Self {
        Self { first, max, last: None }
    }

    /// The pause after one more failure.
    pub fn next_pause(&mut self) -> Duration {
        let pause = self.last.map_or(self.first, |last| last.saturating_mul(2)).min(self.max);
        self.last = Some(pause);
        pause
    }

    /// The pause that [`Self::next_pause`] returned last; `None` if nothing has failed since the start or the last reset.
    pub fn last_pause(&self) -> Option<Duration> {
        self.last
    }

    /// True if nothing has failed since the start or the last reset, so that a failure is new and worth a message.
    pub fn is_idle(&self) -> bool {
        self.last.is_none()
    }

    /// Resets to the first pause, after a success.
    pub fn reset(&mut self) {
        self.last = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pauses(backoff: &mut Backoff, count: usize) -> Vec<u128> {
        (0..count).map(|_| backoff.next_pause().as_millis()).collect()
    }

    #[test]
    fn pauses_double_up_to_the_longest() {
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_millis(500));
        assert_eq!(pauses(&mut backoff, 5), [100, 200, 400, 500, 500]);
    }

    #[test]
    fn a_success_makes_the_next_pause_the_first() {
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(10));
        assert!(backoff.is_idle());
        pauses(&mut backoff, 3);
        assert!(!backoff.is_idle());
        assert_eq!(backoff.last_pause(), Some(Duration::from_millis(400)));
        backoff.reset();
        assert!(backoff.is_idle());
        assert_eq!(pauses(&mut backoff, 2), [100, 200]);
    }

    #[test]
    fn no_pause_is_over_the_longest() {
        assert_eq!(
            pauses(&mut Backoff::new(Duration::from_secs(2), Duration::from_secs(1)), 2),
            [1000, 1000]
        );
        let mut longest = Backoff::new(Duration::MAX, Duration::MAX);
        longest.next_pause();
        assert_eq!(longest.next_pause(), Duration::MAX);
    }
}
