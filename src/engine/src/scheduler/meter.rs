//! The counters of one model.

use std::time::Duration;

use hdrhistogram::Histogram;
use ragstone_core::protocol::{ModelStats, Quantiles};

/// Counters since the engine's start.
#[derive(Debug)]
pub struct Meter {
    requests: u64,
    texts: u64,
    tokens: u64,
    batches: u64,
    run_time: Duration,
    wait_us: Option<Histogram<u64>>,
    run_us: Option<Histogram<u64>>,
}

impl Default for Meter {
    fn default() -> Self {
        // Two significant digits, up to an hour: 50 kB each. The bounds are constants, so the histogram is always created.
        let histogram = || Histogram::new_with_bounds(1, 3_600_000_000, 2).ok();
        Self {
            requests: 0,
            texts: 0,
            tokens: 0,
            batches: 0,
            run_time: Duration::ZERO,
            wait_us: histogram(),
            run_us: histogram(),
        }
    }
}

impl Meter {
    /// Records how long a text waited in the queue.
    pub fn record_wait(&mut self, time: Duration) {
        record(&mut self.wait_us, time);
    }

    /// Records a batch that was run.
    pub fn record_batch(&mut self, texts: usize, tokens: usize, time: Duration) {
        self.texts += texts as u64;
        self.tokens += tokens as u64;
        self.batches += 1;
        self.run_time += time;
        record(&mut self.run_us, time);
    }

    /// Records a request that was answered.
    pub fn record_answer(&mut self) {
        self.requests += 1;
    }

    /// The counters, for a client.
    pub fn report(&self, model: &str, waiting: usize) -> ModelStats {
        let seconds = self.run_time.as_secs_f64();
        ModelStats {
            model: model.into(),
            requests: self.requests,
            texts: self.texts,
            tokens: self.tokens,
            batches: self.batches,
            waiting: waiting as u64,
            wait_ms: quantiles(self.wait_us.as_ref()),
            run_ms: quantiles(self.run_us.as_ref()),
            tokens_per_second: if seconds > 0.0 { self.tokens as f64 / seconds } else { 0.0 },
        }
    }
}

fn record(histogram: &mut Option<Histogram<u64>>, time: Duration) {
    if let Some(histogram) = histogram {
        histogram.saturating_record(u64::try_from(time.as_micros()).unwrap_or(u64::MAX).max(1));
    }
}

fn quantiles(histogram: Option<&Histogram<u64>>) -> Quantiles {
    let Some(histogram) = histogram.filter(|histogram| !histogram.is_empty()) else {
        return Quantiles::default();
    };
    let ms = |quantile| histogram.value_at_quantile(quantile) as f64 / 1000.0;
    Quantiles { p50: ms(0.50), p95: ms(0.95), p99: ms(0.99) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_milliseconds() {
        let mut meter = Meter::default();
        (1..=100).for_each(|ms| meter.record_batch(1, 10, Duration::from_millis(ms)));
        let stats = meter.report("m", 3);
        assert!((stats.run_ms.p50 - 50.0).abs() < 1.0, "{stats:?}");
        assert_eq!((stats.batches, stats.tokens, stats.waiting), (100, 1000, 3));
        assert!((stats.tokens_per_second - 1000.0 / 5.05).abs() < 1.0);
    }

    #[test]
    fn an_unused_model_has_zeros() {
        assert_eq!(Meter::default().report("m", 0).wait_ms, Quantiles::default());
    }
}
