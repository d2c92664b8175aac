//! Okapi BM25 (Robertson and Zaragoza, "The Probabilistic Relevance Framework: BM25 and Beyond", 2009, section 3).
//!
//! A chunk's score for a query is the sum over the query's terms of `idf * impact`; [`crate::levels`] has the impact.

use crate::levels::{B, K1};
use crate::tsvector::Lexemes;

/// Weight of a term that `docs` of `chunks` chunks hold; never negative.
pub fn idf(chunks: u64, docs: u64) -> f64 {
    let (chunks, docs) = (chunks.max(docs) as f64, docs as f64);
    ((chunks - docs + 0.5) / (docs + 0.5)).ln_1p()
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
    use crate::levels::{density, impact};

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
    fn a_malformed_query_has_no_score() {
        let lexemes = Lexemes::new(&[0; 4]).unwrap();
        let query = encode_query(10.0, [(&b"backup"[..], 2.0)]);
        assert_eq!(score(&lexemes, 5, &query), Some(0.0));
        assert_eq!(score(&lexemes, 5, &query[..query.len() - 1]), None);
    }
}
