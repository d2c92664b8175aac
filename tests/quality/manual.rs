//! The PostgreSQL manual and its back-of-book index.

use crate::searching::ndcg;
use anyhow::ensure;
use libtest_mimic::Trial;
use ragstone_core::ask::relevance::MIN_SIMILARITY;
use ragstone_tests::Result;
use ragstone_tests::asking::{ELSEWHERE, extract, passing, similarities};
use ragstone_tests::bookindex;
use ragstone_tests::judged::Question;
use ragstone_tests::searching::{Cut, Loaded};
use ragstone_tests::server::shared;

pub fn tests() -> Vec<Trial> {
    ragstone_tests::tests![; alone: chunked_pages_are_found_by_the_entries_of_the_index]
}

/// Minimum nDCG@10: the values that chunked pages reached when this was written, less a margin for another
/// release of the manual.
const LEAST: [(&str, f64); 3] = [("vector", 0.74), ("text", 0.745), ("hybrid", 0.795)];

/// Minimum share of answers whose first citation is a page of the index entry.
const LEAST_RIGHT: f64 = 0.6;

/// Every seventh question of the index is asked.
const EVERY: usize = 7;

async fn chunked_pages_are_found_by_the_entries_of_the_index() -> Result<()> {
    let judged = bookindex::load()?;
    let questions = judged.questions.len();
    ensure!((1200..1500).contains(&questions), "{questions} questions, expected about 1,360");
    let asked: Vec<_> = judged.questions.iter().step_by(EVERY).cloned().collect();
    let session = shared().await?.session().await?;
    let loaded = Loaded::new(session, "manual", judged, Cut::Default("markdown")).await?;
    let mut reached = Vec::new();
    for (mode, least) in LEAST {
        let actual = ndcg(&loaded, mode).await?;
        ensure!(actual >= least, "{mode} mode reaches {actual:.4}, expected at least {least}");
        reached.push(actual);
    }
    let [vector, text, hybrid] = reached[..] else { anyhow::bail!("three modes were measured") };
    ensure!(
        hybrid >= vector.max(text),
        "hybrid {hybrid:.4} is below the better of {vector:.4} and {text:.4}"
    );
    questions_are_answered_where_there_is_an_answer(&loaded, &asked).await
}

/// Part of the same test, because filling the collection takes most of the time.
async fn questions_are_answered_where_there_is_an_answer(loaded: &Loaded, asked: &[Question]) -> Result<()> {
    let texts: Vec<String> = asked.iter().map(|question| question.text.clone()).collect();
    let elsewhere: Vec<String> = ELSEWHERE.iter().map(|question| (*question).to_owned()).collect();
    let own = passing(&similarities(loaded, &texts).await?, MIN_SIMILARITY);
    let foreign = passing(&similarities(loaded, &elsewhere).await?, MIN_SIMILARITY);
    eprintln!("manual: {own:.3} of its own questions pass, {foreign:.3} of others");
    ensure!(own >= 0.94, "{own:.3} of the manual's own questions pass, expected 0.96");
    ensure!(foreign <= 0.1, "{foreign:.3} of the questions about other subjects pass, expected 0.07");
    let extracted = extract(loaded, asked).await?;
    eprintln!("manual: {extracted:?}");
    ensure!(extracted.answered >= 0.93, "{extracted:?}");
    ensure!(extracted.first_right >= LEAST_RIGHT, "{extracted:?}, expected {LEAST_RIGHT} at least");
    Ok(())
}
