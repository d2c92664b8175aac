//! The worker's memory after many changes, beside that after a tenth of them.

use crate::texts::{pieces, table, until_current};
use anyhow::Result;
use ragstone_benches::options::Options;
use ragstone_benches::seeded::SEEDED;
use ragstone_benches::{report, world};
use ragstone_tests::process::Process;

/// Most memory in MB that a worker may have more after the changes than after a tenth of them.
const BOUND: f64 = 5.0;

pub async fn run(options: &Options) -> Result<()> {
    let (rows, tenth) = (options.size(10_000, 500), options.size(100_000, 2_000));
    report::part(&format!("the worker's memory after {tenth} and {} changes", tenth * 10));
    let server = world::server("auto", true).await?;
    let session = server.session().await?;
    table(&session, "t", &pieces(rows, 300)?).await?;
    let create = format!("SELECT rag.create_collection('t', 't', 'body', model => '{SEEDED}')");
    session.batch_execute(&create).await?;
    until_current(&session, "t").await?;
    let sql = "SELECT pid FROM pg_stat_activity WHERE backend_type = 'ragstone worker'";
    let worker = Process(session.value(sql).await?);
    let mut after = Vec::new();
    let (mut changes, mut round) = (0, 0);
    for goal in [tenth, tenth * 10] {
        while changes < goal {
            session.batch_execute(&format!("UPDATE t SET body = '{round} ' || substr(body, 3)")).await?;
            (changes, round) = (changes + rows, (round + 1) % 10);
            until_current(&session, "t").await?;
        }
        after.push(worker.anonymous_bytes()? as f64 / 1e6);
        report::figure(&format!("after {changes} changes"), after[after.len() - 1], "MB");
    }
    report::at_most("more after all of them", after[1] - after[0], BOUND, "MB");
    Ok(())
}
