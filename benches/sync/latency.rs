//! Time from the commit of one changed row until its chunk can be found, on a server without other work.

use crate::texts::{pieces, table, until_current};
use anyhow::Result;
use ragstone_benches::options::Options;
use ragstone_benches::timing::Times;
use ragstone_benches::{report, world};
use ragstone_tests::session::Session;
use ragstone_tests::wait;
use std::time::Instant;

pub async fn run(options: &Options) -> Result<()> {
    let (rows, rounds) = (options.size(2_000, 50), options.size(200, 10));
    report::part(&format!("one changed row of {rows}, until it is found"));
    let server = world::server("auto", false).await?;
    let session = server.session().await?;
    table(&session, "t", &pieces(rows, 500)?).await?;
    session.batch_execute("SELECT rag.create_collection('t', 't', 'body')").await?;
    until_current(&session, "t").await?;
    let change = session.prepare("UPDATE t SET body = $2 WHERE id = $1").await?;
    let look = session.prepare("SELECT FROM t_chunks WHERE key_1 = $1 AND content = $2").await?;
    let search = "SELECT source_key ->> 'id' FROM rag.search('t', $1, k => 1)";
    let mut times = Times::default();
    for round in 0..rounds {
        idle(&session).await?;
        let id = (round * 37 % rows) as i32;
        let body = format!("Change number {round}: the lighthouse keeper counts {round} ships before dawn.");
        session.execute(&change, &[&id, &body]).await?;
        let start = Instant::now();
        while session.query(&look, &[&id, &body]).await?.is_empty() {
            tokio::task::yield_now().await;
        }
        times.push(start.elapsed());
        let found: String = session.value_of(search, &[&body]).await?;
        anyhow::ensure!(found == id.to_string(), "row {found} was found, expected {id}");
    }
    report::figure("commit to found, p50", times.p50(), "ms");
    report::at_most("commit to found, p95", times.p95(), 250.0, "ms");
    Ok(())
}

/// Waits until the worker sleeps.
async fn idle(session: &Session) -> Result<()> {
    let sql =
        "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'ragstone worker' AND state = 'idle'";
    wait::until("the worker is idle", async || Ok((session.value::<i64>(sql).await? == 1).then_some(())))
        .await
}
