//! nDCG@10, recall@100 and MRR@10 of all modes on judged collections, whole and with default chunking.
//!
//! `cargo bench -p ragstone-benches --bench quality -- [--full] [scifact] [cranfield] [anthropic-docs] [manual]`

use anyhow::Result;
use ragstone_benches::options::Options;
use ragstone_benches::{program, report, world};
use ragstone_tests::harness::NotRun;
use ragstone_tests::judged::Collection;
use ragstone_tests::searching::{Cut, Loaded, MODES};
use ragstone_tests::{beir, bookindex, metrics};
use std::process::ExitCode;

/// The collections, and whether their texts are Markdown.
const COLLECTIONS: &[(&str, &str)] =
    &[("anthropic-docs", "markdown"), ("cranfield", "text"), ("scifact", "text"), ("manual", "markdown")];

fn main() -> ExitCode {
    program::run(run)
}

async fn run(options: &Options) -> Result<()> {
    let server = world::server("auto", false).await?;
    // A quick run measures the smallest collection only; its figures are real.
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
        }
    }
    Ok(())
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
