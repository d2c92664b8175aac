//! One short query through SQL, compared with the tokenizer and ONNX Runtime alone.

use anyhow::Result;
use pgvector::Vector;
use ragstone_benches::bare::Bare;
use ragstone_benches::options::Options;
use ragstone_benches::timing::Times;
use ragstone_benches::{report, world};
use std::time::Instant;

/// Questions of 4 to 9 words.
pub const QUESTIONS: &[&str] = &[
    "how do I take a base backup",
    "which index type suits a jsonb column",
    "what does vacuum freeze do to old rows",
    "set the time zone of a session",
    "why is my sequential scan not parallel",
    "grant select on all tables in a schema",
    "log statements slower than one second",
];

pub async fn run(options: &Options) -> Result<()> {
    report::part("one short query");
    let server = world::server("onnxruntime", false).await?;
    let session = server.session().await?;
    let mut bare = Bare::load(&server.install, world::processors())?;
    let statement = session.prepare("SELECT rag.embed($1, kind => 'query')").await?;
    let (mut through_sql, mut alone) = (Times::default(), Times::default());
    let (warm_up, rounds) = (20, options.size(2000, 100));
    for round in 0..warm_up + rounds {
        let question = QUESTIONS[round % QUESTIONS.len()];
        let start = Instant::now();
        session.query_one(&statement, &[&question]).await?.get::<_, Vector>(0);
        let sql = start.elapsed();
        let start = Instant::now();
        bare.run(&[question])?;
        let bare = start.elapsed();
        if round >= warm_up {
            through_sql.push(sql);
            alone.push(bare);
        }
    }
    report::figure("rag.embed(text) through SQL, p50", through_sql.p50(), "ms");
    report::figure("tokenizer and ONNX Runtime alone, p50", alone.p50(), "ms");
    report::figure("rag.embed(text) through SQL, p95", through_sql.p95(), "ms");
    report::at_most("SQL above the bare run, p50", through_sql.p50() - alone.p50(), 0.3, "ms");
    Ok(())
}
