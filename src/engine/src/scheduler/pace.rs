//! Limits the size of a batch by the measured speed of the model.

use std::time::Duration;

use crate::runtime::BatchLimits;

/// Maximum time that a batch should take: a query that arrives while the model is busy waits for this time.
pub const MAX_BATCH_TIME: Duration = Duration::from_millis(50);

/// Number of tokens up to which texts share a batch, even if the model is slow. A run has a fixed cost: on a busy
/// machine a run of one short text can take as long as [`MAX_BATCH_TIME`], and texts that each run alone would stay slow.
const MIN_BATCH_TOKENS: usize = 128;

/// Period over which the speed is averaged.
const WINDOW: Duration = Duration::from_millis(500);

/// The speed of a model, in tokens including padding, as a moving average.
#[derive(Debug, Default)]
pub struct Pace {
    tokens: f64,
    seconds: f64,
}

impl Pace {
    /// Counts a batch. A batch of few tokens is dominated by the fixed cost of a run, but takes little time and so has
    /// little weight.
    pub fn record(&mut self, tokens: usize, time: Duration) {
        self.tokens += tokens as f64;
        self.seconds += time.as_secs_f64();
        let excess = self.seconds / WINDOW.as_secs_f64();
        if excess > 1.0 {
            self.tokens /= excess;
            self.seconds /= excess;
        }
    }

    /// The limits of the next batch. The first text of a model runs alone, to measure the speed.
    pub fn limits(&self, most: BatchLimits) -> BatchLimits {
        if self.seconds == 0.0 {
            return BatchLimits { tokens: 0, ..most };
        }
        let in_time = self.tokens / self.seconds * MAX_BATCH_TIME.as_secs_f64();
        BatchLimits { tokens: most.tokens.min((in_time as usize).max(MIN_BATCH_TOKENS)), ..most }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOST: BatchLimits = BatchLimits { tokens: 2048, texts: 32 };

    #[test]
    fn a_batch_holds_what_the_model_does_in_its_time() {
        let mut pace = Pace::default();
        assert_eq!(pace.limits(MOST).tokens, 0);
        pace.record(180, Duration::from_millis(18));
        assert_eq!(pace.limits(MOST).tokens, 500);
        // The runtime's own limit applies to a fast model.
        let mut fast = Pace::default();
        fast.record(1000, Duration::from_millis(10));
        assert_eq!(fast.limits(MOST), MOST);
    }

    #[test]
    fn the_limit_follows_a_change_of_speed() {
        let mut pace = Pace::default();
        (0..100).for_each(|_| pace.record(500, Duration::from_millis(50)));
        (0..30).for_each(|_| pace.record(125, Duration::from_millis(50)));
        let tokens = pace.limits(MOST).tokens;
        assert!((125..160).contains(&tokens), "{tokens}");
    }

    #[test]
    fn short_texts_share_a_batch_on_a_busy_machine() {
        let mut pace = Pace::default();
        pace.record(7, Duration::from_millis(80));
        assert_eq!(pace.limits(MOST).tokens, MIN_BATCH_TOKENS);
    }

    #[test]
    fn short_queries_do_not_hide_the_speed_of_bulk() {
        let mut pace = Pace::default();
        for _ in 0..100 {
            pace.record(600, Duration::from_millis(50));
            pace.record(10, Duration::from_millis(3));
        }
        let tokens = pace.limits(MOST).tokens;
        assert!((550..=600).contains(&tokens), "{tokens}");
    }
}
