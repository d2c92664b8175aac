//! Okapi BM25 (Robertson and Zaragoza, "The Probabilistic Relevance Framework: BM25 and Beyond", 2009, section 3).
//!
//! A chunk's score for a query is the sum over the query's terms of `idf * impact`. The impact of a term that occurs
//! `tf` times in a chunk of `words` is `tf (k1 + 1) / (tf + k1 (1 - b + b words / average))`. With the *density*
//! `r = tf / (1 - b + b words / average)` it is `r (k1 + 1) / (r + k1)`, which grows with `r` towards `k1 + 1`.

use crate::tsvector::Lexemes;

/// How soon further occurrences of a term stop to count.
pub const K1: f64 = 0.9;

/// How much a chunk's length counts against it.
pub const B: f64 = 0.4;

/// Densities at which the levels 1, 2, … begin, relative to the collection's reference length. One word in a chunk of average
/// length has density 1, and one word in the shortest chunk 1.67.
const LEVEL_STARTS: [f64; 3] = [1.3, 2.0, 3.5];

/// Number of levels, with level 0 for the lightest.
pub const LEVELS: usize = LEVEL_STARTS.len() + 1;

/// Weight of a term that `docs` of `chunks` chunks hold; never negative.
pub fn idf(chunks: u64, docs: u64) -> f64 {
    let (chunks, docs) = (chunks.max(docs) as f64, docs as f64);
    ((chunks - docs + 0.5) / (docs + 0.5)).ln_1p()
}

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

/// A query as the bytes that travel to the scoring function: `f64` average, then for each term `f64` idf, `u16` length and
/// lexeme, all in the machine's own order.
pub fn encode_query<'a>(average: f64, terms: impl IntoIterator<Item = (&'a [u8], f64)>) -> Vec<u8> {
    let mut bytes = average.to_ne_bytes().to_vec();
    for (lexeme, idf) in terms {
        bytes.extend(idf.to_ne_bytes());
        bytes.extend((lexeme.len() as u16).to_ne_bytes());
        bytes.extend(lexeme);
    }
    bytes
}

/// The score of a chunk of `words` for a query made by [`encode_query`], or nothing if the query is malformed.
#[inline]
pub fn score(lexemes: &Lexemes, words: u32, query: &[u8]) -> Option<f64> {
    let (average, mut rest) = query.split_first_chunk()?;
    let average = f64::from_ne_bytes(*average);
    let length_factor = K1 * (1.0 - B + B * f64::from(words) / average.max(1.0));
    let mut score = 0.0;
    while !rest.is_empty() {
        let (idf, tail) = rest.split_first_chunk()?;
        let (length, tail) = tail.split_first_chunk()?;
        let (lexeme, tail) = tail.split_at_checked(usize::from(u16::from_ne_bytes(*length)))?;
        let frequency = f64::from(lexemes.frequency(lexeme));
        score += f64::from_ne_bytes(*idf) * frequency * (K1 + 1.0) / (frequency + length_factor);
        rest = tail;
    }
    Some(score)
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
        // Two of ten chunks hold the term; it occurs 3 times in a chunk of 20 words where 10 are usual.
        let expected = (1.0_f64 + 8.5 / 2.5).ln() * 3.0 * 1.9 / (3.0 + 0.9 * (0.6 + 0.4 * 2.0));
        assert!((idf(10, 2) * impact(density(3, 20, 10.0)) - expected).abs() < 1e-12);
    }

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

    #[test]
    fn a_malformed_query_has_no_score() {
        let lexemes = Lexemes::new(&[0; 4]).unwrap();
        let query = encode_query(10.0, [(&b"backup"[..], 2.0)]);
        assert_eq!(score(&lexemes, 5, &query), Some(0.0));
        assert_eq!(score(&lexemes, 5, &query[..query.len() - 1]), None);
    }
}
