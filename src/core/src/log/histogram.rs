//! Counts durations in buckets whose bounds grow by a constant factor. A few hundred bytes per day are enough to compute
//! percentiles over any number of days, with a bounded relative error.
//!
//! The buckets are those of DDSketch (Masson, Rim, Lee: "DDSketch: A Fast and Fully-Mergeable Quantile Sketch with
//! Relative-Error Guarantees", VLDB 2019, section 2), without collapsing the lowest ones: durations need at most about
//! 1,000 buckets.

use std::cmp::Ordering;

/// Maximum relative error of a percentile.
pub const RELATIVE_ERROR: f64 = 0.02;

/// The relative error of a bucket, before a percentile is rounded to four digits.
const BUCKET_ERROR: f64 = RELATIVE_ERROR - 0.0006;

/// Factor by which the bounds of buckets grow.
const GAMMA: f64 = (1.0 + BUCKET_ERROR) / (1.0 - BUCKET_ERROR);

/// Durations up to this one, a nanosecond, are counted as zero.
const MIN_DURATION_MS: f64 = 1e-6;

/// Longer durations are counted as this one, 31 years.
const MAX_DURATION_MS: f64 = 1e12;

/// The bucket of durations up to [`MIN_DURATION_MS`].
const ZERO_BUCKET: i32 = i32::MIN;

/// First byte of a stored histogram.
const FORMAT_VERSION: u8 = 1;

/// Number of durations per bucket.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Histogram {
    /// Buckets and their counts, sorted by bucket. No count is zero.
    counts: Vec<(i32, u64)>,
}

impl Histogram {
    /// Counts one duration in milliseconds. NaN is not counted; a negative duration, from a clock that was set back, counts
    /// as zero.
    pub fn add(&mut self, duration: f64) {
        if duration.is_nan() {
            return;
        }
        let bucket = bucket(duration);
        match self.counts.binary_search_by_key(&bucket, |count| count.0) {
            Ok(at) => self.counts[at].1 = self.counts[at].1.saturating_add(1),
            Err(at) => self.counts.insert(at, (bucket, 1)),
        }
    }

    /// Adds the counts of another histogram.
    pub fn merge(&mut self, other: &Self) {
        let mut merged = Vec::with_capacity(self.counts.len().max(other.counts.len()));
        let (mut left, mut right) =
            (self.counts.iter().copied().peekable(), other.counts.iter().copied().peekable());
        while let (Some(a), Some(b)) = (left.peek().copied(), right.peek().copied()) {
            merged.push(match a.0.cmp(&b.0) {
                Ordering::Less => a,
                Ordering::Greater => b,
                Ordering::Equal => (a.0, a.1.saturating_add(b.1)),
            });
            if a.0 <= b.0 {
                left.next();
            }
            if b.0 <= a.0 {
                right.next();
            }
        }
        merged.extend(left.chain(right));
        self.counts = merged;
    }

    /// Number of durations counted.
    pub fn count(&self) -> u64 {
        self.counts.iter().fold(0, |sum, count| sum.saturating_add(count.1))
    }

    /// The quantile at `part`, from 0 to 1, by nearest rank like `percentile_disc`. `None` if nothing was counted.
    pub fn quantile(&self, part: f64) -> Option<f64> {
        let count = self.count();
        // A NaN becomes the lowest rank.
        let rank = ((part.clamp(0.0, 1.0) * count as f64).ceil() as u64).clamp(1, count.max(1));
        let mut below = 0_u64;
        self.counts.iter().find_map(|(bucket, count)| {
            below = count.saturating_add(below);
            (below >= rank).then(|| middle(*bucket))
        })
    }

    /// The stored format: a version byte, then for each bucket its distance from the one before and its count, both as varints.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(1 + 3 * self.counts.len());
        bytes.push(FORMAT_VERSION);
        let mut before = i64::from(ZERO_BUCKET);
        for (bucket, count) in &self.counts {
            write_varint(&mut bytes, i64::from(*bucket).abs_diff(before));
            write_varint(&mut bytes, *count);
            before = i64::from(*bucket);
        }
        bytes
    }

    /// Reads the bytes of [`Self::to_bytes`]; `None` if they are not valid.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (format, mut rest) = bytes.split_first()?;
        if *format != FORMAT_VERSION {
            return None;
        }
        let mut counts: Vec<(i32, u64)> = Vec::with_capacity(rest.len() / 2);
        let mut before = i64::from(ZERO_BUCKET);
        while !rest.is_empty() {
            let distance = i64::try_from(read_varint(&mut rest)?).ok()?;
            let count = read_varint(&mut rest)?;
            let bucket = before.checked_add(distance)?;
            if count == 0 || (distance == 0 && !counts.is_empty()) {
                return None;
            }
            counts.push((i32::try_from(bucket).ok()?, count));
            before = bucket;
        }
        Some(Self { counts })
    }
}

fn bucket(duration: f64) -> i32 {
    if duration <= MIN_DURATION_MS {
        ZERO_BUCKET
    } else {
        (duration.min(MAX_DURATION_MS).ln() / GAMMA.ln()).ceil() as i32
    }
}

/// The value of a bucket with the same relative distance to both of its bounds, rounded to four digits, since more would
/// not be significant.
fn middle(bucket: i32) -> f64 {
    if bucket == ZERO_BUCKET { 0.0 } else { four_digits(2.0 * GAMMA.powi(bucket) / (GAMMA + 1.0)) }
}

fn four_digits(value: f64) -> f64 {
    let rounded = format!("{value:.3e}");
    rounded.parse().unwrap_or(value)
}

/// Appends a number with seven bits per byte, the lowest first; the highest bit is set if more bytes follow (LEB128).
fn write_varint(bytes: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
}

fn read_varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (first, rest) = bytes.split_first()?;
        *bytes = rest;
        let bits = u64::from(first & 0x7f);
        if bits << shift >> shift != bits {
            return None;
        }
        value |= bits << shift;
        if first & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Pseudorandom numbers that are the same in each run.
    fn random(seed: &mut u64) -> f64 {
        *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (*seed >> 11) as f64 / (1u64 << 53) as f64
    }

    fn exact(sorted: &[f64], part: f64) -> f64 {
        sorted[((part * sorted.len() as f64).ceil() as usize).clamp(1, sorted.len()) - 1]
    }

    fn of(values: &[f64]) -> Histogram {
        let mut histogram = Histogram::default();
        values.iter().for_each(|value| histogram.add(*value));
        histogram
    }

    #[test]
    fn a_percentile_is_off_by_no_more_than_the_stated_part() {
        let mut seed = 5;
        for spread in [0.1, 1.0, 5.0, 20.0] {
            let mut values: Vec<f64> =
                (0..10_000).map(|_| (spread * (random(&mut seed) - 0.5)).exp() * 40.0).collect();
            let histogram = of(&values);
            values.sort_by(f64::total_cmp);
            for part in [0.0, 0.001, 0.25, 0.5, 0.95, 0.99, 0.9999, 1.0] {
                let (found, expected) = (histogram.quantile(part).unwrap(), exact(&values, part));
                let error = (found - expected).abs() / expected;
                assert!(
                    error <= RELATIVE_ERROR * (1.0 + 1e-9),
                    "p{part} of spread {spread}: {found}, not {expected}"
                );
            }
        }
    }

    #[test]
    fn merging_is_as_counting_all() {
        let mut seed = 7;
        let values: Vec<f64> = (0..5_000).map(|_| random(&mut seed).powi(6) * 1e6).collect();
        let mut merged = Histogram::default();
        for part in values.chunks(700) {
            merged.merge(&of(part));
        }
        assert_eq!(merged, of(&values));
        assert_eq!(merged.count(), 5_000);
        merged.merge(&Histogram::default());
        assert_eq!(merged, of(&values));
    }

    #[test]
    fn what_is_kept_is_what_was_counted() {
        let values =
            [0.0, -3.0, 1e-9, 1e-5, 0.3, 1.0, 1.0, 17.0, 1e6, f64::MAX, f64::INFINITY, f64::NEG_INFINITY];
        for some in [&values[..], &values[4..], &[]] {
            let histogram = of(some);
            assert_eq!(Histogram::from_bytes(&histogram.to_bytes()), Some(histogram));
        }
        let day = of(&(0..100_000).map(|it| 1.0 + f64::from(it)).collect::<Vec<_>>());
        assert!(day.to_bytes().len() < 1200, "{} bytes", day.to_bytes().len());
    }

    #[test]
    fn what_is_no_histogram_is_refused() {
        let good = of(&[1.0, 500.0]).to_bytes();
        for cut in [0, 2, good.len() - 1] {
            assert_eq!(Histogram::from_bytes(&good[..cut]), None, "{cut}");
        }
        for bad in [
            &[2u8, 1, 1][..],
            &[1, 0, 0],
            &[1, 5, 1, 0, 1],
            &[1, 255, 255, 255, 255, 255, 255, 255, 255, 255, 127, 1],
        ] {
            assert_eq!(Histogram::from_bytes(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn odd_durations_have_their_place() {
        assert_eq!(Histogram::default().quantile(0.5), None);
        assert_eq!(of(&[f64::NAN]).count(), 0);
        assert_eq!(of(&[-5.0, 0.0]).quantile(1.0), Some(0.0));
        assert!(of(&[f64::INFINITY]).quantile(0.5).unwrap() >= MAX_DURATION_MS * 0.98);
        assert!(of(&[5.0]).quantile(f64::NAN).unwrap() > 4.9);
    }
}
