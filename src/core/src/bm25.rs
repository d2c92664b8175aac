//! Okapi BM25 (Robertson and Zaragoza, "The Probabilistic Relevance Framework: BM25 and Beyond", 2009, section 3).
//!
//! A chunk's score for a query is the sum of [`term_score`] over the query's terms.

/// How soon further occurrences of a term stop to count.
const K1: f64 = 0.9;

/// How much a chunk's length counts against it.
const B: f64 = 0.4;

/// Weight of a term that `docs` of `chunks` chunks hold; never negative.
pub fn idf(chunks: u64, docs: u64) -> f64 {
    let (chunks, docs) = (chunks.max(docs) as f64, docs as f64);
    ((chunks - docs + 0.5) / (docs + 0.5)).ln_1p()
}

/// The length normalisation in the denominator of [`term_score`], for a chunk of `words` words; `average` is the mean length.
#[inline]
pub fn length_factor(words: u32, average: f64) -> f64 {
    K1 * (1.0 - B + B * f64::from(words) / average.max(1.0))
}

/// The contribution of a term to the score of a chunk that contains it `frequency` times. It grows with the frequency and
/// with decreasing length, even after rounding.
#[inline]
pub fn term_score(idf: f64, frequency: u32, length_factor: f64) -> f64 {
    let frequency = f64::from(frequency);
    idf * frequency * (K1 + 1.0) / (frequency + length_factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn idf_is_never_negative() {
        assert!(idf(10, 10) > 0.0);
        assert!(idf(10, 12) > 0.0, "counts may be stale");
        assert!(idf(1_000_000, 1) > idf(1_000_000, 2));
    }

    #[test]
    fn known_value() {
        // Two of ten chunks contain the term; it occurs 3 times in a chunk of 20 words, where the mean is 10.
        let expected = (1.0_f64 + 8.5 / 2.5).ln() * 3.0 * 1.9 / (3.0 + 0.9 * (0.6 + 0.4 * 2.0));
        assert!((term_score(idf(10, 2), 3, length_factor(20, 10.0)) - expected).abs() < 1e-12);
    }
}
