//! Quality measures of a ranking.

use crate::judged::{Collection, Question, Run};
use std::collections::HashSet;
use std::fmt;

/// Means over the questions of a collection.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Scores {
    /// Normalised discounted cumulative gain of the first ten results.
    pub ndcg_10: f64,
    /// Share of the relevant documents that are among the first hundred results.
    pub recall_100: f64,
    /// Mean reciprocal rank of the first relevant document; 0 if it is not among the first ten results.
    pub mrr_10: f64,
}

impl fmt::Display for Scores {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { ndcg_10, recall_100, mrr_10 } = self;
        write!(formatter, "nDCG@10 {ndcg_10:.4}  recall@100 {recall_100:.4}  MRR@10 {mrr_10:.4}")
    }
}

/// Scores of a run; a question without a ranking counts as 0.
pub fn score(collection: &Collection, run: &Run) -> Scores {
    let mut sum = Scores::default();
    for question in &collection.questions {
        let ranking = run.get(&question.id).map_or(&[][..], Vec::as_slice);
        let ranking = distinct(ranking);
        sum.ndcg_10 += ndcg(question, &ranking, 10);
        sum.recall_100 += recall(question, &ranking, 100);
        sum.mrr_10 += reciprocal_rank(question, &ranking, 10);
    }
    let count = collection.questions.len().max(1) as f64;
    Scores { ndcg_10: sum.ndcg_10 / count, recall_100: sum.recall_100 / count, mrr_10: sum.mrr_10 / count }
}

/// nDCG@k as computed by trec_eval, and therefore BEIR: the gain is the grade itself, the discount log2 of
/// the rank plus one (Järvelin and Kekäläinen, Cumulated gain-based evaluation of IR techniques, TOIS 2002).
pub fn ndcg(question: &Question, ranking: &[&str], k: usize) -> f64 {
    let gain = |grades: &mut dyn Iterator<Item = u32>| -> f64 {
        grades.take(k).enumerate().map(|(index, grade)| f64::from(grade) / ((index + 2) as f64).log2()).sum()
    };
    let mut best: Vec<u32> = question.grades.values().copied().collect();
    best.sort_unstable_by(|a, b| b.cmp(a));
    let ideal = gain(&mut best.into_iter());
    if ideal == 0.0 {
        return 0.0;
    }
    gain(&mut ranking.iter().map(|id| grade(question, id))) / ideal
}

/// Share of the relevant documents among the first `k`.
pub fn recall(question: &Question, ranking: &[&str], k: usize) -> f64 {
    let relevant = question.grades.values().filter(|&&grade| grade > 0).count();
    let found = ranking.iter().take(k).filter(|id| grade(question, id) > 0).count();
    if relevant == 0 { 0.0 } else { found as f64 / relevant as f64 }
}

/// The reciprocal rank of the first relevant document among the first `k`; 0 if there is none.
pub fn reciprocal_rank(question: &Question, ranking: &[&str], k: usize) -> f64 {
    let first = ranking.iter().take(k).position(|id| grade(question, id) > 0);
    first.map_or(0.0, |index| 1.0 / (index + 1) as f64)
}

fn grade(question: &Question, id: &str) -> u32 {
    question.grades.get(id).copied().unwrap_or(0)
}

/// Removes repeated documents: a document that was found by two of its chunks counts at its first rank.
fn distinct(ranking: &[String]) -> Vec<&str> {
    let mut seen = HashSet::new();
    ranking.iter().map(String::as_str).filter(|id| seen.insert(*id)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn question(grades: &[(&str, u32)]) -> Question {
        let grades = grades.iter().map(|(id, grade)| ((*id).to_owned(), *grade)).collect();
        Question { id: "q".into(), text: String::new(), grades }
    }

    fn close(actual: f64, expected: f64) {
        assert!((actual - expected).abs() < 1e-9, "{actual} is not {expected}");
    }

    #[test]
    fn ndcg_of_binary_grades() {
        // Relevant documents at rank 1 and rank 3: (1 + 1/2) / (1 + 1/log2(3)).
        let question = question(&[("a", 1), ("b", 1)]);
        close(ndcg(&question, &["a", "x", "b"], 10), 1.5 / (1.0 + 1.0 / 3f64.log2()));
        close(ndcg(&question, &["b", "a"], 10), 1.0);
        close(ndcg(&question, &["x"], 10), 0.0);
    }

    #[test]
    fn ndcg_of_graded_grades() {
        // Gains 1, 3 compared with the ideal order 3, 1.
        let question = question(&[("a", 3), ("b", 1)]);
        close(ndcg(&question, &["b", "a"], 10), (1.0 + 3.0 / 3f64.log2()) / (3.0 + 1.0 / 3f64.log2()));
    }

    #[test]
    fn ndcg_looks_at_the_first_k_only() {
        let question = question(&[("a", 1)]);
        close(ndcg(&question, &["x", "y", "a"], 2), 0.0);
    }

    #[test]
    fn the_ideal_has_more_than_k_relevant_documents() {
        let question = question(&[("a", 1), ("b", 1), ("c", 1)]);
        close(ndcg(&question, &["a", "b"], 2), 1.0);
    }

    #[test]
    fn recall_and_reciprocal_rank() {
        let question = question(&[("a", 1), ("b", 2), ("c", 0)]);
        close(recall(&question, &["c", "x", "b"], 100), 0.5);
        close(reciprocal_rank(&question, &["c", "x", "b"], 10), 1.0 / 3.0);
        close(reciprocal_rank(&question, &["c", "x", "b"], 2), 0.0);
    }

    #[test]
    fn a_document_found_twice_counts_once() {
        let collection =
            Collection { documents: Vec::new(), questions: vec![question(&[("a", 1), ("b", 1)])] };
        let run = Run::from([("q".to_owned(), vec!["a".to_owned(), "a".to_owned(), "b".to_owned()])]);
        close(score(&collection, &run).ndcg_10, 1.0);
        close(score(&collection, &Run::new()).recall_100, 0.0);
    }
}
