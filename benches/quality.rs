//! nDCG@10, recall@100 and MRR@10 of all modes on judged collections, with one chunk per document and with
//! default chunking. Also measures how well questions that a collection answers are told apart from questions
//! that it does not answer.
//!
//! `cargo bench -p ragstone-benches --bench quality -- [--full] [scifact] [cranfield] [anthropic-docs]
//! [manual]`

use anyhow::Result;
use ragstone_benches::options::Options;
use ragstone_benches::{program, report, world};
use ragstone_tests::asking::{self, ELSEWHERE};
use ragstone_tests::harness::NotRun;
use ragstone_tests::judged::{Collection, Question};
use ragstone_tests::searching::{Cut, Loaded, MODES};
use ragstone_tests::{beir, bookindex, metrics};
use std::process::ExitCode;

/// The collections, each with its splitter.
const COLLECTIONS: &[(&str, &str)] =
    &[("anthropic-docs", "markdown"), ("cranfield", "text"), ("scifact", "text"), ("manual", "markdown")];

fn main() -> ExitCode {
    program::run(run)
}

async fn run(options: &Options) -> Result<()> {
    let server = world::server("auto", false).await?;
    // A quick run measures only the smallest collection, but all of it, so its figures are valid.
    let wanted = COLLECTIONS.iter().filter(|(name, _)| options.wants(name));
    let count = if options.full || !options.parts.is_empty() { COLLECTIONS.len() } else { 1 };
    for (name, splitter) in wanted.take(count) {
        report::part(name);
        let judged = match load(name) {
            Ok(judged) => judged,
            Err(error) if error.is::<NotRun>() => {
                report::note(&error.to_string());
                continue;
            }
            Err(error) => return Err(error),
        };
        for (label, cut) in [("whole", Cut::Whole), ("chunked", Cut::Default(splitter))] {
            let session = server.session().await?;
            let loaded = Loaded::new(session, &name.replace('-', "_"), judged.clone(), cut).await?;
            tell(&loaded, label, &judged).await?;
            if label == "chunked" {
                asks(&loaded, name, &judged).await?;
            }
        }
    }
    Ok(())
}

/// Maximum number of questions of a collection.
const MOST_QUESTIONS: usize = 300;

/// The shares of a collection's own questions and of other questions that reach each threshold, and the
/// answers.
async fn asks(loaded: &Loaded, name: &str, judged: &Collection) -> Result<()> {
    let own: Vec<Question> = sample(&judged.questions);
    let similar = asking::similarities(loaded, &texts(&own)).await?;
    let shares = |similar: &[f64]| {
        let shares = asking::THRESHOLDS.map(|least| format!("{:.3}", asking::passing(similar, least)));
        shares.join("  ")
    };
    report::note(&format!("asked    least similarity       {:?}", asking::THRESHOLDS));
    report::note(&format!("asked    its own questions      {}", shares(&similar)));
    let others = COLLECTIONS.iter().map(|(other, _)| *other).filter(|other| *other != name);
    let mut elsewhere = vec![("general knowledge", ELSEWHERE.iter().map(|it| (*it).to_owned()).collect())];
    for other in others {
        if let Ok(judged) = load(other) {
            elsewhere.push((other, texts(&sample(&judged.questions))));
        }
    }
    for (other, questions) in elsewhere {
        let foreign = asking::similarities(loaded, &questions).await?;
        let area = asking::area(&similar, &foreign);
        report::note(&format!("asked    {other:<22} {}  area {area:.4}", shares(&foreign)));
    }
    let extracted = asking::extract(loaded, &own).await?;
    report::note(&format!("asked    {extracted:?}"));
    Ok(())
}

/// Questions from the whole of a list, evenly spaced.
fn sample(questions: &[Question]) -> Vec<Question> {
    questions.iter().step_by(questions.len().div_ceil(MOST_QUESTIONS).max(1)).cloned().collect()
}

fn texts(questions: &[Question]) -> Vec<String> {
    questions.iter().map(|question| question.text.clone()).collect()
}

fn load(name: &str) -> Result<Collection> {
    if name == "manual" { bookindex::load() } else { beir::load(name) }
}

async fn tell(loaded: &Loaded, label: &str, judged: &Collection) -> Result<()> {
    for mode in MODES {
        report::note(&format!("{label:<8} {mode:<12} {}", loaded.scores(mode).await?));
    }
    let run = loaded.run("hybrid", ", fusion => 'rrf'").await?;
    report::note(&format!("{label:<8} {:<12} {}", "hybrid, rrf", metrics::score(judged, &run)));
    Ok(())
}
