//! Keeps the results of evaluations, as the owner of the extension's tables.

use crate::collections::catalog::collection::Collection;
use crate::evaluation::scored::{EvaluationRequest, QuestionRecord, VariantScores};
use pgrx::PgLogLevel;
use ragstone_core::metrics::RankingScores;
use ragstone_pg::bytes::Jsonb;
use ragstone_pg::error::{Error, Result};
use ragstone_pg::own_tables::as_config_owner;
use ragstone_pg::owner::Owner;
use ragstone_pg::spi::{Arg, run};
use ragstone_pg::transactions;
use serde_json::{Value as Json, json};

/// Number of questions that one statement inserts.
const MAX_INSERTED: usize = 1_000;

/// What is stored of an evaluation.
pub struct Stored<'a> {
    /// The evaluation.
    pub request: &'a EvaluationRequest,
    /// The collection that was searched.
    pub collection: &'a Collection,
    /// Name of the table of questions.
    pub table: &'a str,
    /// Beginning of the evaluation, microseconds since 1970.
    pub started_at: i64,
    /// The result of each variant.
    pub scores: &'a [VariantScores],
    /// The searches, by variant and question.
    pub records: &'a [Vec<QuestionRecord>],
}

/// Stores an evaluation for the current role. In a read-only transaction a NOTICE says that it is not stored.
pub fn store(stored: &Stored) -> Result<()> {
    if !transactions::may_write() {
        Error::information("the evaluation is not kept, because the transaction is read-only")
            .notice(PgLogLevel::NOTICE);
        return Ok(());
    }
    let owner = Owner::who_makes()?;
    as_config_owner(|| {
        let evaluation = insert_evaluation(&owner, stored)?;
        for (place, scores) in stored.scores.iter().enumerate() {
            let variant = insert_variant(evaluation, place, &stored.request.variants[place].options, scores)?;
            for records in stored.records[place].chunks(MAX_INSERTED) {
                insert_details(variant, records)?;
            }
        }
        Ok(())
    })
}

fn insert_evaluation(owner: &Owner, stored: &Stored) -> Result<i64> {
    let collection = stored.collection;
    let settings = json!({
        "model": collection.model,
        "fingerprint": collection.fingerprint,
        "chunk_size": collection.chunk_size,
        "chunk_overlap": collection.chunk_overlap,
        "splitter": collection.splitter.name(),
        "language": collection.language,
    });
    let settings = Jsonb::from_json(&settings.to_string())?;
    let rows = run(
        "INSERT INTO rag._evaluation (owner, collection, questions_table, k, settings, started_at)
         VALUES ($1, $2, $3, $4, $5, $6) RETURNING id",
        &[
            Arg::name(owner.name()),
            Arg::text(&collection.name),
            Arg::text(stored.table),
            Arg::new(stored.request.k as i32),
            Arg::optional_jsonb(Some(&settings)),
            Arg::timestamptz(stored.started_at),
        ],
    )?;
    rows.int8(0, 0).ok_or_else(|| Error::internal("an evaluation without a number"))
}

fn insert_variant(evaluation: i64, place: usize, options: &Json, scores: &VariantScores) -> Result<i64> {
    let options = Jsonb::from_json(&options.to_string())?;
    let mean = |of: fn(&RankingScores) -> f64| Arg::optional(scores.means.as_ref().map(of));
    let rows = run(
        "INSERT INTO rag._evaluation_variant (evaluation, place, variant, options, questions, ndcg, recall, mrr, map, hit_rate,
           no_answer_rate, p50_ms, p95_ms, ci_low, ci_high)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15) RETURNING id",
        &[
            Arg::new(evaluation),
            Arg::new(place as i32 + 1),
            Arg::text(&scores.variant),
            Arg::optional_jsonb(Some(&options)),
            Arg::new(scores.questions as i32),
            mean(|means| means.ndcg),
            mean(|means| means.recall),
            mean(|means| means.reciprocal_rank),
            mean(|means| means.average_precision),
            mean(|means| means.hit),
            Arg::new(scores.no_answer_rate),
            Arg::new(scores.p50_ms),
            Arg::new(scores.p95_ms),
            Arg::optional(scores.interval.map(|(low, _)| low)),
            Arg::optional(scores.interval.map(|(_, high)| high)),
        ],
    )?;
    rows.int8(0, 0).ok_or_else(|| Error::internal("a variant without a number"))
}

fn insert_details(variant: i64, records: &[QuestionRecord]) -> Result<()> {
    let details = records.iter().map(|record| {
        json!({
            "question": record.question,
            "relevant": record.ranks,
            "found": record.found,
            "ndcg": record.scores.map(|scores| scores.ndcg),
            "recall": record.scores.map(|scores| scores.recall),
            "reciprocal_rank": record.scores.map(|scores| scores.reciprocal_rank),
            "average_precision": record.scores.map(|scores| scores.average_precision),
            "ms": record.ms,
        })
    });
    let details = Jsonb::from_json(&Json::Array(details.collect()).to_string())?;
    run(
        "INSERT INTO rag._evaluation_detail
           (variant, question, relevant, found, ndcg, recall, reciprocal_rank, average_precision, ms)
         SELECT $1, question, relevant, found, ndcg, recall, reciprocal_rank, average_precision, ms
         FROM jsonb_to_recordset($2) AS r (question text, relevant jsonb, found int, ndcg float8, recall float8,
           reciprocal_rank float8, average_precision float8, ms float8)",
        &[Arg::new(variant), Arg::optional_jsonb(Some(&details))],
    )?;
    Ok(())
}

/// Deletes an evaluation of the current role.
///
/// # Errors
/// 42704 if the role has no such evaluation.
pub fn delete_evaluation(evaluation: i64) -> Result<()> {
    let owner = Owner::current()?;
    let deleted = as_config_owner(|| {
        run(
            "DELETE FROM rag._evaluation WHERE id = $1 AND owner = $2",
            &[Arg::new(evaluation), Arg::name(owner.name())],
        )
    })?;
    if deleted.count == 0 {
        return Err(Error::undefined(format!("evaluation {evaluation} does not exist"))
            .hint("rag.evaluations has yours."));
    }
    Ok(())
}
