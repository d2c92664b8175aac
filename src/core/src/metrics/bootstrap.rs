//! A paired bootstrap: whether the difference of two rankings' means is more than chance (Sakai, SIGIR 2006).

use crate::metrics::percentile;

/// Number of resamples.
const RESAMPLES: usize = 2_000;

/// Seed of the random numbers. It is fixed, so that the same differences give the same interval.
const SEED: u64 = 0x5261_6773_746f_6e65;

/// The 95 % confidence interval of the mean of these differences, one for each question; None without differences.
/// `tick` is called after each resample: a caller can handle interrupts there.
pub fn interval(differences: &[f64], mut tick: impl FnMut()) -> Option<(f64, f64)> {
    let count = differences.len();
    let mut state = SEED;
    let mut means = Vec::with_capacity(RESAMPLES);
    for _ in 0..RESAMPLES {
        let sum: f64 = (0..count).map(|_| differences[index(&mut state, count)]).sum();
        means.push(sum / count.max(1) as f64);
        tick();
    }
    if count == 0 {
        return None;
    }
    percentile(&means, 0.025).zip(percentile(&means, 0.975))
}

/// A random index below `count`, by Lemire's multiplication.
fn index(state: &mut u64, count: usize) -> usize {
    ((u128::from(random(state)) * count as u128) >> 64) as usize
}

/// SplitMix64 (Steele, Lea and Flood, OOPSLA 2014).
fn random(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut mixed = *state;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn random_numbers_are_those_of_splitmix64() {
        // The first values of the reference implementation for the seed 1234567.
        let mut state = 1_234_567;
        assert_eq!(
            [random(&mut state), random(&mut state)],
            [6_457_827_717_110_365_317, 3_203_168_211_198_807_973]
        );
    }

    #[test]
    fn equal_rankings_do_not_differ() {
        assert_eq!(interval(&[0.0; 50], || ()), Some((0.0, 0.0)));
        assert_eq!(interval(&[], || ()), None);
    }

    #[test]
    fn an_interval_has_the_width_of_the_normal_approximation() {
        // 400 differences with a mean of 0.1 and a standard deviation of 0.5: 0.1 ± 1.96 · 0.5 / 20.
        let differences: Vec<f64> = (0..400).map(|place| if place % 2 == 0 { 0.6 } else { -0.4 }).collect();
        let (low, high) = interval(&differences, || ()).unwrap();
        assert!((low - 0.051).abs() < 0.006 && (high - 0.149).abs() < 0.006, "{low} to {high}");
        assert_eq!(interval(&differences, || ()), Some((low, high)));
    }
}
