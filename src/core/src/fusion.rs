//! Two rankings of the same chunks made into one.

use std::collections::HashMap;

/// The constant of reciprocal rank fusion (Cormack, Clarke and Büttcher, SIGIR 2009, section 2).
const RANK_CONSTANT: f64 = 60.0;

/// How two rankings become one.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Fusion {
    /// Scores of each ranking scaled to 0…1 between its lowest and its highest, then summed by weight.
    MinMax {
        /// Weight of the vector ranking, 0…1; the text ranking has the rest.
        vector_weight: f64,
    },
    /// `1 / (60 + rank)` in each ranking, summed.
    ReciprocalRank,
}

/// A chunk and how it scored in one ranking.
pub type Scored = (i64, f64);

/// A chunk in the fused ranking.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Fused {
    /// The chunk.
    pub chunk: i64,
    /// Higher is better.
    pub score: f64,
    /// Place in the vector ranking, from 1.
    pub vector_rank: Option<u32>,
    /// Place in the text ranking, from 1.
    pub text_rank: Option<u32>,
}

/// Fuses two rankings, each best first. Chunks of equal score are in the order of their numbers, so that the same data give
/// the same answer.
pub fn fuse(vector: &[Scored], text: &[Scored], fusion: Fusion) -> Vec<Fused> {
    let (vector_share, text_share) = match fusion {
        Fusion::MinMax { vector_weight } if text.is_empty() => (vector_weight.max(1.0), 0.0),
        Fusion::MinMax { vector_weight } => (vector_weight, 1.0 - vector_weight),
        Fusion::ReciprocalRank => (1.0, 1.0),
    };
    let mut fused: HashMap<i64, Fused> = HashMap::with_capacity(vector.len() + text.len());
    for (ranking, share, is_vector) in [(vector, vector_share, true), (text, text_share, false)] {
        let lowest = ranking.last().map_or(0.0, |last| last.1);
        let range = ranking.first().map_or(0.0, |first| first.1) - lowest;
        for (&(chunk, score), rank) in ranking.iter().zip(1..) {
            let scaled = match fusion {
                Fusion::ReciprocalRank => 1.0 / (RANK_CONSTANT + f64::from(rank)),
                Fusion::MinMax { .. } if range > 0.0 => (score - lowest) / range,
                Fusion::MinMax { .. } => 1.0,
            };
            let entry =
                fused.entry(chunk).or_insert(Fused { chunk, score: 0.0, vector_rank: None, text_rank: None });
            entry.score += share * scaled;
            *if is_vector { &mut entry.vector_rank } else { &mut entry.text_rank } = Some(rank);
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
        let fused = fuse(&vector, &text, Fusion::MinMax { vector_weight: 0.25 });
        assert_eq!(order(&fused), [3, 2, 1, 4]);
        assert!((fused[0].score - 0.75).abs() < 1e-12);
        assert!((fused[1].score - (0.25 * 0.5 + 0.75 * 0.5)).abs() < 1e-12);
        assert_eq!((fused[1].vector_rank, fused[1].text_rank), (Some(2), Some(2)));
    }

    #[test]
    fn reciprocal_rank_prefers_what_both_found() {
        let fused = fuse(&[(1, 0.9), (2, 0.8)], &[(3, 5.0), (2, 4.0)], Fusion::ReciprocalRank);
        assert_eq!(order(&fused), [2, 1, 3]);
        assert!((fused[0].score - 2.0 / 62.0).abs() < 1e-12);
    }

    #[test]
    fn equal_scores_are_in_order_of_chunks() {
        let fused = fuse(&[(9, 0.5), (4, 0.5)], &[], Fusion::MinMax { vector_weight: 0.4 });
        assert_eq!(order(&fused), [4, 9]);
        assert_eq!(fused[0].score, 1.0);
    }

    #[test]
    fn one_empty_side_leaves_the_other_in_its_order() {
        let ranking = [(5, 3.0), (6, 2.0), (7, 1.0)];
        for fusion in [Fusion::MinMax { vector_weight: 0.3 }, Fusion::ReciprocalRank] {
            assert_eq!(order(&fuse(&ranking, &[], fusion)), [5, 6, 7]);
            assert_eq!(order(&fuse(&[], &ranking, fusion)), [5, 6, 7]);
        }
    }
}
