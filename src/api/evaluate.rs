//! `rag.evaluate` and `rag.delete_evaluation`.

use crate::api::variants::parse_variants;
use crate::evaluation;
use crate::evaluation::{EvaluationRequest, MAX_EVALUATED_K, VariantScores};
use crate::search::parse_k_up_to;
use pgrx::iter::TableIterator;
use pgrx::{default, extension_sql_file, name, pg_extern};
use ragstone_pg::bytes::Jsonb;
use ragstone_pg::error::{Result, or_raise};
use ragstone_pg::identifier::RegClass;
use ragstone_pg::sqlstate::given;
use ragstone_pg::text::{Utf8, required};
use ragstone_pg::version;

// Not parallel safe, as rag.search.
#[pg_extern(volatile, parallel_unsafe, cost = 10000000)]
#[allow(clippy::type_complexity, reason = "the columns of the SQL function")]
fn evaluate(
    collection: Option<Utf8>,
    questions: Option<RegClass>,
    k: default!(Option<i32>, 10),
    variants: default!(Option<Jsonb>, "NULL"),
) -> TableIterator<
    'static,
    (
        name!(variant, Utf8),
        name!(questions, i32),
        name!(ndcg, Option<f64>),
        name!(recall, Option<f64>),
        name!(mrr, Option<f64>),
        name!(map, Option<f64>),
        name!(hit_rate, Option<f64>),
        name!(no_answer_rate, f64),
        name!(p50_ms, f64),
        name!(p95_ms, f64),
        name!(ci_low, Option<f64>),
        name!(ci_high, Option<f64>),
    ),
> {
    version::check();
    let mut request = or_raise(request(collection, questions, k, variants));
    let scores = or_raise(evaluation::evaluate(&mut request));
    TableIterator::new(scores.into_iter().map(|scores: VariantScores| {
        let means = scores.means;
        (
            Utf8(scores.variant),
            scores.questions as i32,
            means.map(|means| means.ndcg),
            means.map(|means| means.recall),
            means.map(|means| means.reciprocal_rank),
            means.map(|means| means.average_precision),
            means.map(|means| means.hit),
            scores.no_answer_rate,
            scores.p50_ms,
            scores.p95_ms,
            scores.interval.map(|(low, _)| low),
            scores.interval.map(|(_, high)| high),
        )
    }))
}

fn request(
    collection: Option<Utf8>,
    questions: Option<RegClass>,
    k: Option<i32>,
    variants: Option<Jsonb>,
) -> Result<EvaluationRequest> {
    let collection = required(collection, "collection")?;
    let questions = given(questions, "questions")?.0;
    let k = k.unwrap_or(10);
    let hits = parse_k_up_to(MAX_EVALUATED_K, k)?;
    let variants = parse_variants(variants.as_ref(), &collection, k)?;
    Ok(EvaluationRequest { collection, questions, k: hits, variants })
}

#[pg_extern(volatile, parallel_unsafe)]
fn delete_evaluation(evaluation: Option<i64>) {
    version::check();
    or_raise(given(evaluation, "evaluation").and_then(evaluation::delete_evaluation));
}

extension_sql_file!(
    "../../sql/evaluate.sql",
    name = "evaluate",
    requires = [evaluate, delete_evaluation, "accounting"]
);
