//! Limits how much work of one kind is sent before its answers arrive: so much that each request is answered within a few
//! seconds, regardless of the cost of the work.

use std::time::{Duration, Instant};

/// A request should be answered within this time after it was sent. The window grows until requests take half of it.
const TARGET: Duration = Duration::from_secs(3);

/// The bounds of a window, and its initial size.
const MIN: usize = 4 << 10;
const MAX: usize = 1 << 20;
const START: usize = 16 << 10;

/// The total cost of the requests that may be unanswered at a time, in the owner's units. It has no clock: its owner tells
/// when requests were sent and answered.
#[derive(Debug, Clone)]
pub struct Window {
    size: usize,
    reduced_at: Option<Instant>,
}

impl Default for Window {
    fn default() -> Self {
        Self { size: START, reduced_at: None }
    }
}

impl Window {
    /// The total cost of the requests that may be unanswered.
    pub fn size(&self) -> usize {
        self.size
    }

    /// Adapts the size after an answer. `unanswered` is the cost of the other requests in flight: a window that is not full
    /// does not grow.
    pub fn learn(&mut self, cost: usize, unanswered: usize, sent: Instant, now: Instant) {
        let time = now.saturating_duration_since(sent);
        if time > TARGET {
            // Other requests that were sent before the reduction are late for the same reason.
            if self.reduced_at.is_none_or(|at| sent > at) {
                let share = TARGET.as_secs_f64() / time.as_secs_f64();
                self.size = ((self.size as f64 * share) as usize).max(MIN);
                self.reduced_at = Some(now);
            }
        } else if time < TARGET / 2 && cost + unanswered >= self.size / 2 {
            self.size = (self.size + cost).min(MAX);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::VecDeque;

    /// Keeps a queue filled for a simulated minute. Its server processes `speed` units per second, and each answer takes
    /// `latency` in addition. Returns the window, and the longest time of a request in the last half minute.
    fn settled(speed: f64, latency: Duration) -> (usize, Duration) {
        let start = Instant::now();
        let (mut now, mut free_at) = (start, start);
        let mut window = Window::default();
        let mut sent: VecDeque<(usize, Instant, Instant)> = VecDeque::new();
        let mut longest = Duration::ZERO;
        while now < start + Duration::from_secs(60) {
            let mut unanswered: usize = sent.iter().map(|(cost, ..)| cost).sum();
            while unanswered < window.size() {
                let cost = (window.size() / 4).max(1);
                free_at = free_at.max(now) + Duration::from_secs_f64(cost as f64 / speed);
                sent.push_back((cost, now, free_at + latency));
                unanswered += cost;
            }
            let (cost, since, answered) = sent.pop_front().unwrap_or((0, now, now));
            now = answered;
            window.learn(cost, unanswered - cost, since, now);
            if now > start + Duration::from_secs(30) {
                longest = longest.max(now - since);
            }
        }
        (window.size(), longest)
    }

    #[test]
    fn what_is_sent_ahead_takes_seconds_whatever_the_speed() {
        for speed in [4e3, 30e3, 140e3, 300e3] {
            let (size, longest) = settled(speed, Duration::ZERO);
            let seconds = size as f64 / speed;
            assert!((1.0..=3.5).contains(&seconds), "{seconds} s at a speed of {speed}");
            assert!(longest < Duration::from_secs(5), "{longest:?} at a speed of {speed}");
        }
    }

    #[test]
    fn the_window_has_bounds() {
        assert_eq!(settled(1e9, Duration::ZERO).0, MAX);
        assert_eq!(settled(1e9, Duration::from_secs(20)).0, MIN);
    }

    #[test]
    fn one_delay_counts_once() {
        let start = Instant::now();
        let mut window = Window::default();
        let late = start + 2 * TARGET;
        for _ in 0..8 {
            window.learn(2 << 10, 14 << 10, start, late);
        }
        assert_eq!(window.size(), START / 2);
    }

    #[test]
    fn a_window_that_is_not_used_does_not_grow() {
        let start = Instant::now();
        let mut window = Window::default();
        window.learn(1 << 10, 0, start, start);
        assert_eq!(window.size(), START);
        window.learn(8 << 10, 0, start, start);
        assert_eq!(window.size(), START + (8 << 10));
    }
}
