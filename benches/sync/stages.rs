//! Cost of a row in each stage from the source to the chunk table, with a very cheap model: the times that the
//! worker itself logs for its own work.

use crate::texts::{pieces, table, until_current};
use anyhow::{Context, Result};
use ragstone_benches::options::Options;
use ragstone_benches::seeded::SEEDED;
use ragstone_benches::{report, world};
use ragstone_tests::server::{self, Server};
use ragstone_tests::session::Session;
use ragstone_tests::wait;
use std::time::{Duration, Instant};

/// Prefix of the worker's lines in the server log.
const LINE: &str = "milliseconds of work: ";

pub async fn run(options: &Options) -> Result<()> {
    let count = options.size(20_000, 500);
    report::part(&format!("{count} rows of 150 words by stage, with a model of next to no cost"));
    let server = world::server("auto", true).await?;
    server.configure(&server::Options::default().set("log_min_messages", "debug1"))?;
    let session = server.session().await?;
    session.batch_execute("SELECT pg_reload_conf()").await?;
    table(&session, "t", &pieces(count, 1000)?).await?;
    // After this the model is loaded and the worker runs.
    table(&session, "warm", &pieces(10, 1000)?).await?;
    for name in ["warm", "t"] {
        let seen = stages(&server)?;
        let start = Instant::now();
        let create = format!(
            "SELECT rag.create_collection('{name}', '{name}', 'body', metadata => '{{hits}}', model => '{SEEDED}')"
        );
        session.batch_execute(&create).await?;
        until_current(&session, name).await?;
        if name == "t" {
            let time = start.elapsed();
            until_idle(&session).await?;
            tell("filled", count, time, &seen, &server)?;
        }
    }
    let seen = stages(&server)?;
    let start = Instant::now();
    session.batch_execute("UPDATE t SET body = 'changed: ' || body").await?;
    until_current(&session, "t").await?;
    let time = start.elapsed();
    until_idle(&session).await?;
    tell("changed", count, time, &seen, &server)
}

/// Waits until the worker has logged its times.
async fn until_idle(session: &Session) -> Result<()> {
    let idle = "SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE backend_type = 'ragstone worker' AND state <> 'idle')";
    wait::until("the worker is idle", async || Ok(session.value::<bool>(idle).await?.then_some(()))).await
}

/// Prints the rate, and the microseconds of each stage per row.
fn tell(what: &str, rows: usize, time: Duration, seen: &[(String, f64)], server: &Server) -> Result<()> {
    report::figure(&format!("{what}, all of it"), rows as f64 / time.as_secs_f64(), "rows/s");
    for (stage, milliseconds) in stages(server)? {
        let before = seen.iter().find(|(name, _)| *name == stage).map_or(0.0, |(_, before)| *before);
        let each = (milliseconds - before) * 1e3 / rows as f64;
        report::figure(&format!("{what}: {stage}"), each, "µs a row");
    }
    Ok(())
}

/// The milliseconds of each stage in the log so far.
fn stages(server: &Server) -> Result<Vec<(String, f64)>> {
    let mut sums: Vec<(String, f64)> = Vec::new();
    for line in server.log()?.lines().filter_map(|line| line.split_once(LINE)) {
        for part in line.1.split(", ") {
            let (stage, time) = part.split_once(' ').context("a stage without a time")?;
            let time: f64 = time.trim().parse()?;
            match sums.iter_mut().find(|(name, _)| name == stage) {
                Some((_, sum)) => *sum += time,
                None => sums.push((stage.to_owned(), time)),
            }
        }
    }
    Ok(sums)
}
