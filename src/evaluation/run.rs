//! Runs the searches of an evaluation, and scores them.

use crate::evaluation::changes::notice_change;
use crate::evaluation::questions::{JudgedQuestion, read_questions};
use crate::evaluation::relevant_rows::{JudgedRows, judged_rows};
use crate::evaluation::scored::{EvaluationRequest, QuestionRecord, VariantScores};
use crate::evaluation::store::{Stored, store};
use crate::search::{notice_queued, open_collection, search};
use pgrx::PgLogLevel;
use ragstone_core::metrics::bootstrap;
use ragstone_core::metrics::{RankingScores, mean_scores, percentile, ranking_scores};
use ragstone_pg::clock;
use ragstone_pg::error::{Error, Result};
use ragstone_pg::spi::connect;
use ragstone_pg::switch_user::with_settings;
use ragstone_pg::wait::serve_interrupts;
use serde_json::json;
use std::time::Instant;

/// Searches for each question with each variant, and stores and returns the scores.
///
/// # Errors
/// Those of a search and of [`read_questions`].
pub fn evaluate(request: &mut EvaluationRequest) -> Result<Vec<VariantScores>> {
    connect(|| {
        let started_at = clock::now();
        let collection = open_collection(&request.collection)?;
        let (questions, table) = read_questions(request.questions)?;
        let judged = judged_rows(&collection, &questions)?;
        notice_unjudged(&judged);
        notice_queued(&collection)?;
        let records = search_for_all(request, &questions, &judged)?;
        let scores: Vec<_> = (0..request.variants.len())
            .map(|place| scores_of(&request.variants[place].name, &records[place], &records[0], place > 0))
            .collect();
        notice_change(&collection)?;
        store(&Stored {
            request,
            collection: &collection,
            table: &table,
            started_at,
            scores: &scores,
            records: &records,
        })?;
        Ok(scores)
    })
}

/// A record of each search, by variant and question.
fn search_for_all(
    request: &mut EvaluationRequest,
    questions: &[JudgedQuestion],
    judged: &[JudgedRows],
) -> Result<Vec<Vec<QuestionRecord>>> {
    let count = request.variants.len();
    let mut records: Vec<Vec<QuestionRecord>> = (0..count).map(|_| Vec::new()).collect();
    for (number, (question, judged)) in questions.iter().zip(judged).enumerate() {
        // Each variant is the first one for as many questions as the others, since the first search for a question
        // reads pages that the others find in memory.
        for place in (0..count).map(|place| (place + number) % count) {
            serve_interrupts();
            let variant = &mut request.variants[place].request;
            variant.query.clone_from(&question.text);
            let began = Instant::now();
            // What a search says about the collection is said once.
            let hits = if number == 0 {
                search(variant)?
            } else {
                with_settings(&[("client_min_messages", "warning")], || search(variant))?
            };
            let ms = began.elapsed().as_secs_f64() * 1_000.0;
            let found: Vec<&[u8]> = hits.iter().map(|hit| hit.chunk.row.key.0.as_slice()).collect();
            records[place].push(record(question, judged, &found, request.k, ms));
        }
    }
    Ok(records)
}

fn record(
    question: &JudgedQuestion,
    judged: &JudgedRows,
    found: &[&[u8]],
    k: usize,
    ms: f64,
) -> QuestionRecord {
    let grades: Vec<f64> = found.iter().map(|key| judged.get(*key).map_or(0.0, |row| row.grade)).collect();
    let relevant: Vec<f64> = judged.values().map(|row| row.grade).collect();
    let rank_of = |key: &[u8]| found.iter().position(|other| *other == key).map(|place| place + 1);
    let mut ranks: Vec<_> = judged
        .iter()
        .filter(|(_, row)| row.grade > 0.0)
        .map(|(key, row)| (rank_of(key), row.key.to_string(), row))
        .collect();
    ranks.sort_by(|a, b| (a.0.unwrap_or(usize::MAX), &a.1).cmp(&(b.0.unwrap_or(usize::MAX), &b.1)));
    let ranks = ranks.iter().map(|(rank, _, row)| json!({"key": row.key, "grade": row.grade, "rank": rank}));
    QuestionRecord {
        question: question.text.clone(),
        scores: ranking_scores(&grades, &relevant, k),
        found: found.len(),
        ms,
        ranks: ranks.collect(),
    }
}

fn scores_of(
    name: &str,
    records: &[QuestionRecord],
    first: &[QuestionRecord],
    is_compared: bool,
) -> VariantScores {
    let scores: Vec<RankingScores> = records.iter().filter_map(|record| record.scores).collect();
    let times: Vec<f64> = records.iter().map(|record| record.ms).collect();
    let without = records.iter().filter(|record| record.found == 0).count();
    let pairs = records.iter().zip(first).filter_map(|(record, first)| record.scores.zip(first.scores));
    let differences: Vec<f64> = pairs.map(|(scores, first)| scores.ndcg - first.ndcg).collect();
    VariantScores {
        variant: name.to_owned(),
        questions: records.len(),
        means: mean_scores(&scores),
        no_answer_rate: without as f64 / records.len().max(1) as f64,
        p50_ms: percentile(&times, 0.5).unwrap_or(0.0),
        p95_ms: percentile(&times, 0.95).unwrap_or(0.0),
        interval: is_compared.then(|| bootstrap::interval(&differences, serve_interrupts)).flatten(),
    }
}

/// Says how many questions have no relevant row.
fn notice_unjudged(judged: &[JudgedRows]) {
    let unjudged = judged.iter().filter(|rows| rows.values().all(|row| row.grade <= 0.0)).count();
    if unjudged > 0 {
        Error::information(format!("{unjudged} of {} questions have no relevant row", judged.len()))
            .detail("They count in no_answer_rate, p50_ms and p95_ms only.")
            .notice(PgLogLevel::NOTICE);
    }
}
