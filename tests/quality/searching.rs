//! Collections of judged documents, and runs over their questions.

use anyhow::ensure;
use ragstone_tests::Result;
use ragstone_tests::searching::{Loaded, MODES};

/// Prints and returns the scores of a mode.
pub async fn ndcg(loaded: &Loaded, mode: &str) -> Result<f64> {
    ensure!(MODES.contains(&mode), "no such mode: {mode}");
    let scores = loaded.scores(mode).await?;
    eprintln!("{} {mode}: {scores}", loaded.name);
    Ok(scores.ndcg_10)
}
