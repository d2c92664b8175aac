//! Text mode with a million chunks compared with a hundred thousand chunks. The figures do not depend on
//! vectors, so both collections use a cheap model with random vectors.

use anyhow::Result;
use ragstone_benches::contest::{Contestant, play};
use ragstone_benches::dictionaries::Corpus;
use ragstone_benches::options::Options;
use ragstone_benches::seeded::SEEDED;
use ragstone_benches::{report, world};

pub async fn run(options: &Options) -> Result<()> {
    let rows = options.size(1_000_000, 30_000);
    report::part(&format!("text mode at {rows} dictionary entries, beside {}", rows / 10));
    let corpus = Corpus::load(rows)?;
    let server = world::server("onnxruntime", true).await?;
    let session = server.session().await?;
    let small = world::collection(&session, "small", &corpus, rows / 10, SEEDED).await?;
    report::figure(&format!("making the collection of {} rows", rows / 10), small, "s");
    let large = world::collection(&session, "large", &corpus, rows, SEEDED).await?;
    report::figure(&format!("making the collection of {rows} rows"), large, "s");
    let chunks: i64 = session.value("SELECT chunks FROM rag.collections WHERE name = 'large'").await?;
    report::figure("chunks of the larger", chunks as f64, "");

    let mut contestants = Vec::new();
    for name in ["small", "large"] {
        let sql = format!("SELECT * FROM rag.search('{name}', $1, mode => 'text')");
        contestants.push(Contestant::new(name.to_owned(), &session, &sql).await?);
    }
    play(&mut contestants, &corpus.queries, options.size(3, 1)).await?;
    for (contestant, rows) in contestants.iter().zip([rows / 10, rows]) {
        report::figure(&format!("rag.search, text, {rows} rows, p50"), contestant.times.p50(), "ms");
        report::figure(&format!("rag.search, text, {rows} rows, p95"), contestant.times.p95(), "ms");
    }
    let ratio = contestants[1].times.p95() / contestants[0].times.p95();
    report::at_most("ten times the chunks, p95", ratio, 3.0, "×");
    Ok(())
}
