//! The PostgreSQL manual and its back-of-book index.

use crate::searching::ndcg;
use anyhow::ensure;
use libtest_mimic::Trial;
use ragstone_tests::Result;
use ragstone_tests::bookindex;
use ragstone_tests::searching::{Cut, Loaded};
use ragstone_tests::server::shared;

pub fn tests() -> Vec<Trial> {
    ragstone_tests::tests![; alone: chunked_pages_are_found_by_the_entries_of_the_index]
}

/// What chunked pages reached when this was written, less a margin for another release of the manual.
const LEAST: [(&str, f64); 3] = [("vector", 0.74), ("text", 0.745), ("hybrid", 0.795)];

async fn chunked_pages_are_found_by_the_entries_of_the_index() -> Result<()> {
    let judged = bookindex::load()?;
    let questions = judged.questions.len();
    ensure!((1200..1500).contains(&questions), "{questions} questions, expected about 1,360");
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
    Ok(())
}
