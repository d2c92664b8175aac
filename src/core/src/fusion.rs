//! Fuses two rankings of the same chunks into one.

use std::collections::HashMap;

/// The constant of reciprocal rank fusion (Cormack, Clarke and Büttcher, SIGIR 2009, section 2).
const RANK_CONSTANT: f64 = 60.0;

/// How two rankings are fused.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Fusion {
    /// Scores of each ranking are scaled to 0…1 between its lowest and highest score, then summed by weight. The lowest score
    /// of a text ranking that contains all matches is 0, the score of chunks without a word of the query.
    MinMax {
        /// Weight of the vector ranking, 0…1; the text ranking has the remaining weight.
        vector_weight: f64,
    },
    /// `1 / (60 + rank)` in each ranking, summed.
    ReciprocalRank,
}

/// A chunk and its score in one ranking.
pub type Scored = (i64, f64);

/// A chunk in the fused ranking.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Fused {
    /// The chunk.
    pub chunk: i64,
    /// The fused score; higher is better.
    pub score: f64,
    /// Rank in the vector ranking, from 1.
    pub vector_rank: Option<u32>,
    /// Rank in the text ranking, from 1.
    pub text_rank: Option<u32>,
    /// Cosine similarity to the query; None if the chunk is not in the vector ranking.
    pub similarity: Option<f64>,
}

/// Fuses two rankings, each sorted best first. Chunks with equal scores are sorted by number, so that the same data give
/// the same result. `has_all_matches` is true if no other chunk has a word of the query.
pub fn fuse(vector: &[Scored], text: &[Scored], has_all_matches: bool, fusion: Fusion) -> Vec<Fused> {
    let (vector_share, text_share) = match fusion {
        Fusion::MinMax { vector_weight } if text.is_empty() => (vector_weight.max(1.0), 0.0),
        Fusion::MinMax { vector_weight } => (vector_weight, 1.0 - vector_weight),
        Fusion::ReciprocalRank => (1.0, 1.0),
    };
    let mut fused: HashMap<i64, Fused> = HashMap::with_capacity(vector.len() + text.len());
    for (ranking, share, is_vector) in [(vector, vector_share, true), (text, text_share, false)] {
        let lowest = match ranking.last() {
            Some(last) if is_vector || !has_all_matches => last.1,
            _ => 0.0,
        };
        let range = ranking.first().map_or(0.0, |first| first.1) - lowest;
        for (&(chunk, score), rank) in ranking.iter().zip(1..) {
            let scaled = match fusion {
                Fusion::ReciprocalRank => 1.0 / (RANK_CONSTANT + f64::from(rank)),
                Fusion::MinMax { .. } if range > 0.0 => (score - lowest) / range,
                Fusion::MinMax { .. } => 1.0,
            };
            let new = Fused { chunk, score: 0.0, vector_rank: None, text_rank: None, similarity: None };
            let entry = fused.entry(chunk).or_insert(new);
            entry.score += share * scaled;
            if is_vector {
                (entry.vector_rank, entry.similarity) = (Some(rank), Some(score));
            } else {
                entry.text_rank = Some(rank);
            }
        }
    }
    let mut fused: Vec<_> = fused.into_values().collect();
    fused.sort_by(|a, b| b.score.total_cmp(&a.score).then(a.chunk.cmp(&b.chunk)));
    fused
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(fused: &[Fused]) -> Vec<i64> {
        fused.iter().map(|f| f.chunk).collect()
    }

    #[test]
    fn min_max_weighs_the_two_sides() {
        let (vector, text) = ([(1, 0.9), (2, 0.5), (3, 0.1)], [(3, 12.0), (2, 7.0), (4, 2.0)]);
        let fused = fuse(&vector, &text, false, Fusion::MinMax { vector_weight: 0.25 });
        assert_eq!(order(&fused), [3, 2, 1, 4]);
        assert!((fused[0].score - 0.75).abs() < 1e-12);
        assert!((fused[1].score - (0.25 * 0.5 + 0.75 * 0.5)).abs() < 1e-12);
        assert_eq!((fused[1].vector_rank, fused[1].text_rank), (Some(2), Some(2)));
        let similarities: Vec<_> = fused.iter().map(|fused| fused.similarity).collect();
        assert_eq!(similarities, [Some(0.1), Some(0.5), Some(0.9), None]);
    }

    #[test]
    fn all_of_few_strong_matches_count() {
        let vector: Vec<Scored> = (1..=100).map(|chunk| (chunk, 1.0 - chunk as f64 / 100.0)).collect();
        let text = [(60, 9.0), (70, 8.1)];
        let ranks = |has_all_matches| {
            let fused = fuse(&vector, &text, has_all_matches, Fusion::MinMax { vector_weight: 0.5 });
            text.map(|(chunk, _)| order(&fused).iter().position(|other| *other == chunk).unwrap())
        };
        assert_eq!(ranks(true), [0, 1]);
        // The last of a longer ranking is as far from the first as the chunks behind it.
        assert_eq!(ranks(false), [0, 69]);
    }

    #[test]
    fn reciprocal_rank_prefers_what_both_found() {
        let fused = fuse(&[(1, 0.9), (2, 0.8)], &[(3, 5.0), (2, 4.0)], true, Fusion::ReciprocalRank);
        assert_eq!(order(&fused), [2, 1, 3]);
        assert!((fused[0].score - 2.0 / 62.0).abs() < 1e-12);
    }

    #[test]
    fn equal_scores_are_in_order_of_chunks() {
        let fused = fuse(&[(9, 0.5), (4, 0.5)], &[], true, Fusion::MinMax { vector_weight: 0.4 });
        assert_eq!(order(&fused), [4, 9]);
        assert_eq!(fused[0].score, 1.0);
    }

    #[test]
    fn one_empty_side_leaves_the_other_in_its_order() {
        let ranking = [(5, 3.0), (6, 2.0), (7, 1.0)];
        for fusion in [Fusion::MinMax { vector_weight: 0.3 }, Fusion::ReciprocalRank] {
            assert_eq!(order(&fuse(&ranking, &[], true, fusion)), [5, 6, 7]);
            assert_eq!(order(&fuse(&[], &ranking, true, fusion)), [5, 6, 7]);
        }
    }
}
