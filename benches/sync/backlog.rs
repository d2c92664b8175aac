//! Single-row INSERTs while a million changes are queued, compared with an empty queue, and the worker's
//! memory when it starts to process them.
//!
//! The engine is unavailable meanwhile, as in an outage, so that the queues keep their sizes: triggers queue
//! the changes, and the worker only checks now and then whether the engine is back.

use crate::texts::{table, until_current};
use anyhow::Result;
use ragstone_benches::options::Options;
use ragstone_benches::timing::Times;
use ragstone_benches::{report, world};
use ragstone_tests::process::Process;
use ragstone_tests::server::{self, Server};
use ragstone_tests::session::Session;
use ragstone_tests::wait;
use std::time::{Duration, Instant};

/// Maximum private memory of a worker, in MB.
const BOUND: f64 = 64.0;

pub async fn run(options: &Options) -> Result<()> {
    let (keys, rounds) = (options.size(1_000_000, 20_000), options.size(20_000, 300));
    report::part(&format!("a queue of {keys} keys"));
    let server = world::server("auto", false).await?;
    // Two databases, each with a queue of its own.
    let (idle, busy) = (followed(&server).await?, followed(&server).await?);
    for session in [&idle, &busy] {
        engine(&server, session, "/nowhere").await?;
    }
    let fill = format!("INSERT INTO t SELECT -g, 'row ' || g FROM generate_series(1, {keys}) g");
    busy.batch_execute(&fill).await?;
    for settle in ["VACUUM ANALYZE", "CHECKPOINT"] {
        busy.batch_execute(settle).await?;
    }
    let queued: i64 = busy.value("SELECT count(*) FROM rag._queue").await?;
    anyhow::ensure!(queued >= keys as i64, "{queued} keys are queued, expected {keys}");

    let [none, all] = inserts([&idle, &busy], rounds).await?;
    report::figure("INSERT of one row, nothing queued, p50", none.p50() * 1e3, "µs");
    report::figure("INSERT of one row, all queued, p50", all.p50() * 1e3, "µs");
    report::figure("INSERT of one row, nothing queued, p95", none.p95() * 1e3, "µs");
    report::figure("INSERT of one row, all queued, p95", all.p95() * 1e3, "µs");
    report::at_most("all queued to nothing queued, p95", all.p95() / none.p95(), 1.2, "×");

    engine(&server, &busy, "").await?;
    let time = options.size(Duration::from_secs(120), Duration::from_secs(5));
    let (most, done) = memory(&busy, time).await?;
    report::figure("rows done in the time that the worker was watched", done as f64, "");
    report::at_most("the worker's private memory while it worked", most, BOUND, "MB");
    Ok(())
}

/// A database with a collection that is current.
async fn followed(server: &Server) -> Result<Session> {
    let session = server.session().await?;
    table(&session, "t", &[]).await?;
    session.batch_execute("SELECT rag.create_collection('t', 't', 'body')").await?;
    until_current(&session, "t").await?;
    session.batch_execute("SET synchronous_commit = off").await?;
    Ok(session)
}

/// Sets the engine's program, and waits until the setting has an effect on the worker.
async fn engine(server: &Server, session: &Session, program: &str) -> Result<()> {
    server.configure(&server::Options::default().set("rag.engine_path", program))?;
    session.batch_execute("SELECT pg_reload_conf()").await?;
    let wanted = !program.is_empty();
    wait::until("the engine ends or starts", async || {
        let outcome = session.execute("SELECT rag.embed('is it there?')", &[]).await;
        Ok((outcome.is_err() == wanted).then_some(()))
    })
    .await
}

/// INSERTs in both databases in turn, so that other work of the machine slows both.
async fn inserts(sessions: [&Session; 2], rounds: usize) -> Result<[Times; 2]> {
    let mut statements = Vec::new();
    for session in sessions {
        statements.push(session.prepare("INSERT INTO t VALUES ($1, 'one row')").await?);
    }
    let mut times = [Times::default(), Times::default()];
    let warm_up = rounds / 10;
    for round in 0..warm_up + rounds {
        for turn in [round % 2, 1 - round % 2] {
            let start = Instant::now();
            sessions[turn].execute(&statements[turn], &[&(round as i32)]).await?;
            if round >= warm_up {
                times[turn].push(start.elapsed());
            }
        }
    }
    Ok(times)
}

/// The maximum private memory of the worker in this time, in MB, and the number of rows that it has
/// processed.
async fn memory(session: &Session, time: Duration) -> Result<(f64, i64)> {
    let left = "SELECT count(*) FROM rag._queue";
    let before: i64 = session.value(left).await?;
    let sql = "SELECT pid FROM pg_stat_activity
               WHERE backend_type = 'ragstone worker' AND datname = current_database()";
    let worker = wait::until("a worker runs", async || {
        Ok(session.query_opt(sql, &[]).await?.map(|row| Process(row.get(0))))
    })
    .await?;
    let (start, mut most) = (Instant::now(), 0.0_f64);
    wait::until_within(time * 2, "the time is over", async || {
        most = most.max(worker.anonymous_bytes()? as f64 / 1e6);
        Ok((start.elapsed() >= time).then_some(()))
    })
    .await?;
    Ok((most, before - session.value::<i64>(left).await?))
}
