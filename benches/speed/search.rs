//! `rag.search` on 100,000 chunks, compared with hand-written SQL.

use crate::handwritten;
use anyhow::Result;
use ragstone_benches::contest::{Contestant, play};
use ragstone_benches::dictionaries::Corpus;
use ragstone_benches::options::Options;
use ragstone_benches::{report, world};
use ragstone_tests::install::DEFAULT_MODEL;

pub async fn run(options: &Options) -> Result<()> {
    let rows = options.size(100_000, 1_000);
    report::part(&format!("rag.search on {rows} dictionary entries"));
    let corpus = Corpus::load(rows)?;
    let server = world::server("auto", false).await?;
    let owner = server.session().await?;
    let seconds = world::collection(&owner, "dict", &corpus, rows, DEFAULT_MODEL).await?;
    report::figure("making the collection", seconds, "s");
    report::figure("making the collection", rows as f64 / seconds, "rows/s");

    owner.batch_execute("CREATE ROLE reader LOGIN; GRANT SELECT ON dict TO reader").await?;
    let database: String = owner.value("SELECT current_database()::text").await?;
    let reader = server.connect_as("reader", &database).await?;
    let mut contestants = Vec::new();
    for mode in ["vector", "text", "hybrid"] {
        contestants.push(Contestant::new(format!("rag.search, {mode}"), &reader, &ours(mode)).await?);
    }
    contestants.push(Contestant::new("rag.search, hybrid, with a filter".into(), &reader, FILTERED).await?);
    contestants
        .push(Contestant::new("hand-written, vector".into(), &owner, &handwritten::vector("dict")).await?);
    owner.batch_execute(&handwritten::prepare_text("dict")).await?;
    contestants.push(
        Contestant::new("hand-written, text (ts_rank_cd)".into(), &owner, &handwritten::text("dict")).await?,
    );
    let embed = "SELECT rag.embed($1, kind => 'query')";
    contestants.push(Contestant::new("rag.embed of the query alone".into(), &reader, embed).await?);
    play(&mut contestants, &corpus.queries, options.size(3, 1)).await?;

    for Contestant { name, times, .. } in &contestants {
        report::figure(&format!("{name}, p50"), times.p50(), "ms");
        report::figure(&format!("{name}, p95"), times.p95(), "ms");
    }
    let p95 = |place: usize| contestants[place].times.p95();
    report::at_most("rag.search to hand-written SQL, vector mode, p95", p95(0) / p95(4), 1.25, "×");
    report::at_most("hybrid to vector mode, p95", p95(2) / p95(0), 2.0, "×");
    Ok(())
}

const FILTERED: &str = "SELECT * FROM rag.search('dict', $1, filter => '{\"dictionary\": \"wn\"}')";

fn ours(mode: &str) -> String {
    format!("SELECT * FROM rag.search('dict', $1, mode => '{mode}')")
}
