//! An evaluation: what is searched, and the scores.

use crate::search::SearchRequest;
use pgrx::pg_sys;
use ragstone_core::metrics::RankingScores;
use serde_json::Value as Json;

/// Maximum number of hits of each search of an evaluation.
pub const MAX_EVALUATED_K: i32 = 1_000;

/// An evaluation.
#[derive(Debug)]
pub struct EvaluationRequest {
    /// Name of the collection.
    pub collection: String,
    /// The table of questions.
    pub questions: pg_sys::Oid,
    /// Number of hits of each search that count.
    pub k: usize,
    /// The searches that are compared. The others are compared with the first one.
    pub variants: Vec<Variant>,
}

/// A way to search.
#[derive(Debug)]
pub struct Variant {
    /// Name of the variant.
    pub name: String,
    /// The options that differ from those of `rag.search`.
    pub options: Json,
    /// The search. Its query is replaced by each question.
    pub request: SearchRequest,
}

/// The result of a variant.
#[derive(Debug)]
pub struct VariantScores {
    /// Name of the variant.
    pub variant: String,
    /// Number of questions that were searched for.
    pub questions: usize,
    /// Means over the questions with relevant rows; None if there are none.
    pub means: Option<RankingScores>,
    /// Share of all questions for which nothing was found.
    pub no_answer_rate: f64,
    /// Median time of a search, milliseconds.
    pub p50_ms: f64,
    /// 95th percentile of the times of the searches, milliseconds.
    pub p95_ms: f64,
    /// 95 % confidence interval of the difference of the mean nDCG from that of the first variant; None for the first
    /// one, and without questions that have relevant rows.
    pub interval: Option<(f64, f64)>,
}

/// The search for one question with one variant.
#[derive(Debug)]
pub struct QuestionRecord {
    /// The question.
    pub question: String,
    /// Its scores; None if it has no relevant row.
    pub scores: Option<RankingScores>,
    /// Number of rows that were found.
    pub found: usize,
    /// Time of the search, milliseconds.
    pub ms: f64,
    /// The relevant rows: key, grade, and rank if it was found.
    pub ranks: Vec<Json>,
}
