//! How much one term can weigh in a chunk, and the levels into which chunks are sorted by it.
//!
//! The impact of a term that occurs `tf` times in a chunk of `words` is `tf (k1 + 1) / (tf + k1 (1 - b + b words / average))`.
//! With the *density* `r = tf / (1 - b + b words / average)` it is `r (k1 + 1) / (r + k1)`, which grows with `r` towards `k1 + 1`.
//! A level is a range of densities.

/// How soon further occurrences of a term stop to count.
pub const K1: f64 = 0.9;

/// How much a chunk's length counts against it.
pub const B: f64 = 0.4;

/// Densities at which the levels 1, 2, … begin, relative to the collection's reference length. One word in a chunk of average
/// length has density 1, and one word in the shortest chunk 1.67.
const LEVEL_STARTS: [f64; 3] = [1.3, 2.0, 3.5];

/// Number of levels, with level 0 for the lightest.
pub const LEVELS: usize = LEVEL_STARTS.len() + 1;

/// What a term adds to a score, relative to its idf, at a density.
pub fn impact(density: f64) -> f64 {
    if density.is_finite() { density * (K1 + 1.0) / (density + K1) } else { K1 + 1.0 }
}

/// Occurrences of a term for the length of its chunk, both words.
pub fn density(frequency: u32, words: u32, average: f64) -> f64 {
    f64::from(frequency) / (1.0 - B + B * f64::from(words) / average.max(1.0))
}

/// In which of the [`LEVELS`] a term stands in a chunk.
pub fn level(frequency: u32, words: u32, reference: f64) -> usize {
    let density = density(frequency, words, reference);
    LEVEL_STARTS.iter().take_while(|start| density >= **start).count()
}

/// The largest impact that a term of this level can have, now that chunks have `average` words and not `reference`.
///
/// A density grows at most in the ratio in which the average does.
pub fn largest_impact(level: usize, average: f64, reference: f64) -> f64 {
    let growth = (average.max(1.0) / reference.max(1.0)).max(1.0);
    impact(LEVEL_STARTS.get(level).map_or(f64::INFINITY, |next| next * growth))
}

/// An impact that is usual for this level. Only guesses depend on it.
pub fn usual_impact(level: usize) -> f64 {
    let start = level.checked_sub(1).map_or(0.8, |i| LEVEL_STARTS[i]);
    let end = LEVEL_STARTS.get(level).copied().unwrap_or(start * 1.5);
    impact((start + end) / 2.0)
}

/// The key under which the chunks are found that hold a lexeme in this level, which is over 0, or a higher one.
pub fn levelled(lexeme: &[u8], level: usize) -> Vec<u8> {
    let mut key = lexeme.to_vec();
    key.push(level as u8);
    key
}

/// Whether a lexeme is the key of a level. No text search parser gives words that end in a control character.
pub fn is_levelled(lexeme: &[u8]) -> bool {
    lexeme.last().is_some_and(|last| (1..=LEVEL_STARTS.len() as u8).contains(last))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_impact_is_over_the_bound_of_its_level() {
        for (average, reference) in [(10.0, 10.0), (25.0, 10.0), (4.0, 10.0)] {
            for frequency in 1..40 {
                for words in frequency..200 {
                    let bound = largest_impact(level(frequency, words, reference), average, reference);
                    let actual = impact(density(frequency, words, average));
                    assert!(actual <= bound + 1e-12, "{frequency} of {words}: {actual} over {bound}");
                }
            }
        }
    }
}
