//! Measures of rankings with judged rows, with the definitions of trec_eval (<https://github.com/usnistgov/trec_eval>).

pub mod bootstrap;

/// The measures of one ranking, each from 0 to 1.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct RankingScores {
    /// Normalised discounted cumulative gain, with the grade as gain (`ndcg_cut`).
    pub ndcg: f64,
    /// Share of the relevant rows that were found (`recall`).
    pub recall: f64,
    /// 1 divided by the rank of the first relevant row; 0 if none was found (`recip_rank`).
    pub reciprocal_rank: f64,
    /// Precision at the rank of each relevant row, averaged over all relevant rows (`map_cut`).
    pub average_precision: f64,
    /// 1 if a relevant row was found, otherwise 0 (`success`).
    pub hit: f64,
}

/// The measures of the first `k` rows of a ranking. `found` has the grade of each found row, best first, and `relevant`
/// the grades of all relevant rows. A grade of 0 or less means that a row is not relevant. None if no row is relevant.
pub fn ranking_scores(found: &[f64], relevant: &[f64], k: usize) -> Option<RankingScores> {
    let mut ideal: Vec<f64> = relevant.iter().copied().filter(|grade| *grade > 0.0).collect();
    if ideal.is_empty() {
        return None;
    }
    ideal.sort_by(|a, b| b.total_cmp(a));
    let total = ideal.len() as f64;
    let mut scores = RankingScores { ndcg: gain(found, k) / gain(&ideal, k), ..RankingScores::default() };
    let mut hits = 0.0;
    for (grade, rank) in found.iter().take(k).zip(1..) {
        if *grade <= 0.0 {
            continue;
        }
        hits += 1.0;
        scores.average_precision += hits / f64::from(rank) / total;
        if scores.hit == 0.0 {
            (scores.hit, scores.reciprocal_rank) = (1.0, 1.0 / f64::from(rank));
        }
    }
    scores.recall = hits / total;
    Some(scores)
}

/// The means of the measures; None if there are no rankings.
pub fn mean_scores(scores: &[RankingScores]) -> Option<RankingScores> {
    let mean = |of: fn(&RankingScores) -> f64| scores.iter().map(of).sum::<f64>() / scores.len() as f64;
    (!scores.is_empty()).then(|| RankingScores {
        ndcg: mean(|scores| scores.ndcg),
        recall: mean(|scores| scores.recall),
        reciprocal_rank: mean(|scores| scores.reciprocal_rank),
        average_precision: mean(|scores| scores.average_precision),
        hit: mean(|scores| scores.hit),
    })
}

/// The value below which this share of the values lies, interpolated between two neighbours like PostgreSQL's
/// `percentile_cont`; None without values.
pub fn percentile(values: &[f64], share: f64) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let last = sorted.len().checked_sub(1)?;
    let place = share.clamp(0.0, 1.0) * last as f64;
    let (below, above) = (sorted.get(place.floor() as usize)?, sorted.get(place.ceil() as usize)?);
    Some(below + (above - below) * place.fract())
}

/// The discounted cumulative gain of the first `k` grades (Järvelin and Kekäläinen, TOIS 2002, with the discount
/// `log2(rank + 1)`).
fn gain(grades: &[f64], k: usize) -> f64 {
    let discounted =
        grades.iter().take(k).zip(1..).map(|(grade, rank)| grade.max(0.0) / f64::from(rank + 1).log2());
    discounted.sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Grades of the found rows, and of all relevant rows: ties, a grade below zero, relevant rows that are not found,
    /// and a ranking without a relevant row.
    const RANKINGS: [(&[f64], &[f64]); 4] = [
        (&[2.0, 0.0, 3.0, -1.0, 1.0, 0.0], &[3.0, 2.0, 1.0, 0.0, -1.0]),
        (&[0.0, 0.0, 0.0, 2.0, 0.0, 1.0], &[1.0, 2.0, 2.0]),
        (&[0.0, 0.0], &[1.0]),
        (&[1.0, 1.0, 0.0, 1.0, 0.0, 0.0, 1.0], &[1.0, 1.0, 1.0, 1.0]),
    ];

    fn scores(k: usize) -> Vec<RankingScores> {
        RANKINGS.iter().filter_map(|(found, relevant)| ranking_scores(found, relevant, k)).collect()
    }

    fn rounded(scores: RankingScores) -> [f64; 5] {
        let all = [scores.ndcg, scores.recall, scores.reciprocal_rank, scores.average_precision, scores.hit];
        all.map(|score| (score * 10_000.0).round() / 10_000.0)
    }

    /// The expected values are those of ir-measures 0.4.3 with pytrec_eval: nDCG, R, RR, AP and Success at k.
    #[test]
    fn measures_are_those_of_trec_eval() {
        let expected = [
            (3, [[0.735, 0.6667, 1.0, 0.5556, 1.0], [0.0; 5], [0.0; 5], [0.7654, 0.5, 1.0, 0.5, 1.0]]),
            (
                5,
                [
                    [0.8162, 1.0, 1.0, 0.7556, 1.0],
                    [0.229, 0.3333, 0.25, 0.0833, 1.0],
                    [0.0; 5],
                    [0.8048, 0.75, 1.0, 0.6875, 1.0],
                ],
            ),
            (
                10,
                [
                    [0.8162, 1.0, 1.0, 0.7556, 1.0],
                    [0.3237, 0.6667, 0.25, 0.1944, 1.0],
                    [0.0; 5],
                    [0.9349, 1.0, 1.0, 0.8304, 1.0],
                ],
            ),
        ];
        for (k, expected) in expected {
            let found: Vec<_> = scores(k).into_iter().map(rounded).collect();
            assert_eq!(found, expected, "k = {k}");
        }
    }

    #[test]
    fn means_are_those_of_trec_eval() {
        let expected = [
            (3, [0.3751, 0.2917, 0.5, 0.2639, 0.5]),
            (5, [0.4625, 0.5208, 0.5625, 0.3816, 0.75]),
            (10, [0.5187, 0.6667, 0.5625, 0.4451, 0.75]),
        ];
        for (k, expected) in expected {
            assert_eq!(mean_scores(&scores(k)).map(rounded), Some(expected), "k = {k}");
        }
        assert_eq!(mean_scores(&[]), None);
    }

    #[test]
    fn a_ranking_without_relevant_rows_has_no_scores() {
        assert_eq!(ranking_scores(&[0.0], &[], 10), None);
        assert_eq!(ranking_scores(&[], &[0.0, -2.0], 10), None);
        assert_eq!(ranking_scores(&[], &[1.0], 10), Some(RankingScores::default()));
    }

    #[test]
    fn percentiles_are_interpolated() {
        let values = [4.0, 1.0, 3.0, 2.0];
        assert_eq!(percentile(&values, 0.5), Some(2.5));
        assert_eq!(percentile(&values, 0.95).map(|value| (value * 100.0).round()), Some(385.0));
        assert_eq!(percentile(&values, 1.0), Some(4.0));
        assert_eq!(percentile(&[], 0.5), None);
    }
}
