//! Delay of other work while tables of 100,000 rows are indexed, one in the same database and one in another:
//! the start of a job, and a changed row of a small collection.

use crate::texts::{pieces, table, until_current};
use anyhow::Result;
use ragstone_benches::options::Options;
use ragstone_benches::timing::Times;
use ragstone_benches::{report, world};
use ragstone_tests::session::Session;
use ragstone_tests::wait;
use std::time::{Duration, Instant};

/// Number of rows of each large table. Indexing them takes longer than the measurement.
const ROWS: usize = 100_000;

pub async fn run(options: &Options) -> Result<()> {
    let rounds = options.size(100, 10);
    report::part(&format!("a job and a changed row, while {ROWS} rows are indexed in each of two databases"));
    let server = world::server("auto", false).await?;
    let session = server.session().await?;
    table(&session, "small", &pieces(200, 500)?).await?;
    session.batch_execute("SELECT rag.create_collection('small', 'small', 'body')").await?;
    until_current(&session, "small").await?;
    measure(&session, rounds, "alone", None).await?;
    let texts = pieces(ROWS, 500)?;
    fill(&session, &texts).await?;
    let other = server.session().await?;
    fill(&other, &texts).await?;
    measure(&session, rounds, "beside both", Some((200.0, 1000.0))).await?;
    for (session, what) in [(&session, "in the same database"), (&other, "in the other one")] {
        let left: bool = session.value("SELECT EXISTS (SELECT FROM rag._queue)").await?;
        anyhow::ensure!(left, "the rows {what} were indexed before everything was measured");
    }
    Ok(())
}

/// Starts to index a large table.
async fn fill(session: &Session, texts: &[String]) -> Result<()> {
    table(session, "large", texts).await?;
    session.batch_execute("SELECT rag.create_collection('large', 'large', 'body')").await?;
    wait::until("the first rows are indexed", async || {
        Ok(session.value::<bool>("SELECT EXISTS (SELECT FROM large_chunks)").await?.then_some(()))
    })
    .await
}

async fn measure(session: &Session, rounds: usize, when: &str, goals: Option<(f64, f64)>) -> Result<()> {
    let (mut jobs, mut changes) = (Times::default(), Times::default());
    for round in 0..rounds {
        jobs.push(job(session).await?);
        changes.push(change(session, round).await?);
    }
    let figure = |what: &str, times: &Times, goal: Option<f64>| {
        report::figure(&format!("{what}, {when}, p50"), times.p50(), "ms");
        let p95 = format!("{what}, {when}, p95");
        match goal {
            Some(goal) => report::at_most(&p95, times.p95(), goal, "ms"),
            None => report::figure(&p95, times.p95(), "ms"),
        }
    };
    figure("commit to the begin of a job", &jobs, goals.map(|goals| goals.0));
    figure("commit to a changed row being found", &changes, goals.map(|goals| goals.1));
    Ok(())
}

/// Submits a job and waits for its end. Returns the time until it started, by the server's clock.
async fn job(session: &Session) -> Result<Duration> {
    let id: i64 = session.value(r#"SELECT rag.submit('embed', '{"input": "a short text"}')"#).await?;
    session.batch_execute(&format!("CALL rag.wait_for_job({id})")).await?;
    let seconds: f64 = session
        .value_of(
            "SELECT extract(epoch FROM started_at - submitted_at)::float8 FROM rag.jobs WHERE id = $1",
            &[&id],
        )
        .await?;
    Ok(Duration::from_secs_f64(seconds.max(0.0)))
}

/// Changes a row of the small collection. Returns the time until its chunk is stored.
async fn change(session: &Session, round: usize) -> Result<Duration> {
    let id = (round * 37 % 200) as i32;
    let body = format!("Change number {round}: the lighthouse keeper counts {round} ships at ");
    session.execute("UPDATE small SET body = $2 || clock_timestamp() WHERE id = $1", &[&id, &body]).await?;
    let start = Instant::now();
    let look = "SELECT EXISTS (SELECT FROM small_chunks c JOIN small s ON s.id = c.key_1 WHERE s.id = $1 AND c.content = s.body)";
    wait::until("the change is found", async || {
        Ok(session.value_of::<bool>(look, &[&id]).await?.then_some(()))
    })
    .await?;
    Ok(start.elapsed())
}
