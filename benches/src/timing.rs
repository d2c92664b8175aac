//! Times of many calls.

use std::time::Duration;

/// Times of calls, in the order in which they were made.
#[derive(Debug, Clone, Default)]
pub struct Times(Vec<Duration>);

impl Times {
    /// Adds the time of a call.
    pub fn push(&mut self, time: Duration) {
        self.0.push(time);
    }

    /// Adds the times of another list.
    pub fn append(&mut self, mut other: Self) {
        self.0.append(&mut other.0);
    }

    /// The quantile `share` in milliseconds, by the nearest rank.
    pub fn quantile(&self, share: f64) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_unstable();
        let rank = (share * sorted.len() as f64).ceil() as usize;
        sorted.get(rank.saturating_sub(1)).map_or(f64::NAN, |time| time.as_secs_f64() * 1e3)
    }

    /// Mean in milliseconds.
    pub fn mean(&self) -> f64 {
        self.0.iter().map(Duration::as_secs_f64).sum::<f64>() * 1e3 / self.0.len() as f64
    }

    /// Median in milliseconds.
    pub fn p50(&self) -> f64 {
        self.quantile(0.5)
    }

    /// 95th percentile in milliseconds.
    pub fn p95(&self) -> f64 {
        self.quantile(0.95)
    }
}

/// The middle value, or the mean of the two middle values.
pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    match sorted.len() {
        0 => f64::NAN,
        length if length % 2 == 1 => sorted[length / 2],
        length => (sorted[length / 2 - 1] + sorted[length / 2]) / 2.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_of_the_nearest_rank() {
        let mut times = Times::default();
        (1..=100).rev().for_each(|ms| times.push(Duration::from_millis(ms)));
        assert!((times.p50() - 50.0).abs() < 1e-9);
        assert!((times.p95() - 95.0).abs() < 1e-9);
        assert!((times.quantile(1.0) - 100.0).abs() < 1e-9);
        assert!((times.mean() - 50.5).abs() < 1e-9);
        assert!(Times::default().p50().is_nan());
    }

    #[test]
    fn the_median_of_an_even_number_is_between_the_middle_ones() {
        assert!((median(&[4.0, 1.0, 2.0, 3.0]) - 2.5).abs() < 1e-9);
    }
}
