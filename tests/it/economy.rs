//! Work that must not be repeated each time that a process checks something.

use crate::log_durability::{AUTONOMOUS, begun, log, steps};
use anyhow::{Context, ensure};
use libtest_mimic::Trial;
use ragstone_tests::Result;
use ragstone_tests::preload;
use ragstone_tests::server::{Options, Server};
use ragstone_tests::wait;
use std::fs;
use std::time::Instant;

pub fn tests() -> Vec<Trial> {
    ragstone_tests::tests![
        sessions_that_look_at_the_engine_open_no_more_connections,
        a_coordinator_that_writes_looks_for_jobs_at_intervals,
    ]
}

async fn sessions_that_look_at_the_engine_open_no_more_connections() -> Result<()> {
    let (server, connections) =
        preload::start("connections", "RAGSTONE_CONNECTIONS", Options::default()).await?;
    let session = server.session().await?;
    session.batch_execute(AUTONOMOUS).await?;
    let pid: i32 = session.value("SELECT pg_backend_pid()").await?;
    let count = || -> Result<usize> {
        let all = fs::read_to_string(&connections)?;
        Ok(all.lines().filter(|line| line.starts_with(&format!("{pid} "))).count())
    };
    let look = async || {
        session.batch_execute("SELECT FROM rag.status(); SELECT FROM rag.stat_log").await?;
        session.execute("SELECT rag.start_run('agent')", &[]).await
    };
    // One connection for requests, which it tried to open while the engine was starting, and one for the log.
    session.execute("SELECT rag.embed('a')", &[]).await?;
    look().await?;
    let at_first = count()?;
    ensure!(at_first > 0, "no connection was counted");
    for _ in 0..20 {
        look().await?;
    }
    let more = count()? - at_first;
    ensure!(more == 0, "the session opened {more} more connections");
    Ok(())
}

/// Number of times that the coordinator has checked for jobs.
const LOOKS: &str = "SELECT coalesce(sum(calls), 0)::bigint FROM pg_stat_statements WHERE query LIKE '%PARTITION BY submitter%'";

async fn a_coordinator_that_writes_looks_for_jobs_at_intervals() -> Result<()> {
    let options = Options::default().set("shared_preload_libraries", "pg_stat_statements");
    let server = Server::start_with(options).await?;
    let (session, run) = begun(&server).await?;
    session.batch_execute("CREATE EXTENSION pg_stat_statements; SELECT pg_stat_statements_reset()").await?;
    let (start, mut names) = (Instant::now(), Vec::new());
    loop {
        let name = names.len().to_string();
        session.batch_execute(&log(run, &name)).await?;
        names.push(name);
        // The coordinator's loop makes at least one pass for each step.
        let (wanted, mut found) = (names.join(" "), String::new());
        wait::until("the step is written", async || {
            found = steps(&session).await?;
            Ok((found == wanted).then_some(()))
        })
        .await
        .with_context(|| format!("{found} instead of {wanted}"))?;
        let looks: i64 = session.value(LOOKS).await?;
        let most = 2 + start.elapsed().as_secs() as i64;
        ensure!(looks <= most, "{looks} looks in {:?}", start.elapsed());
        if looks > 0 && names.len() >= 30 {
            return Ok(());
        }
    }
}
