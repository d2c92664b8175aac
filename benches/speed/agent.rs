//! Runs of an agent, as a function and as a job: the time that a step adds to its provider's time. A step is
//! one call of the model and the tool call that it requests. The provider is a stub on this host.

use crate::providers::Bare;
use anyhow::{Context, Result, ensure};
use ragstone_benches::options::Options;
use ragstone_benches::report;
use ragstone_benches::timing::Times;
use ragstone_tests::provider::{Provider, Reply, Seen};
use ragstone_tests::server::Server;
use ragstone_tests::session::Session;
use std::time::{Duration, Instant};

/// Steps of a run; the last one has no tool call.
const STEPS: usize = 8;

/// The goal for a step, in ms.
const GOAL: f64 = 3.0;

const SETTING: &str = "
    CREATE TABLE orders (id int PRIMARY KEY, status text);
    INSERT INTO orders SELECT g, 'shipped' FROM generate_series(1, 1000) g;
    CREATE FUNCTION order_status(id int) RETURNS text STABLE LANGUAGE sql
      AS 'SELECT o.status FROM orders o WHERE o.id = order_status.id';
    COMMENT ON FUNCTION order_status IS 'where an order is';
    SELECT rag.create_tool('order_status(int)');
    SELECT rag.create_agent('support', 'You help customers.', 'stub', ARRAY['order_status'], max_steps => 20);";

pub async fn run(options: &Options) -> Result<()> {
    report::part("agents");
    let server = Server::start().await?;
    let database = server.database().await?;
    let session = server.connect(&database).await?;
    let provider = Provider::start([Reply::by(calls_then_answers)])?;
    let create = "SELECT rag.create_provider('stub', kind => 'compatible', base_url => $1, model => 'm')";
    session.execute(create, &[&provider.url()]).await?;
    session.batch_execute(SETTING).await?;
    let provider_ms = bare(&session, &provider, options).await?;
    report::figure("a request over a bare connection, p50", provider_ms, "ms");
    function(&session, provider_ms, options).await?;
    job(&session, provider_ms, options).await
}

/// A model that requests one order after the other, up to the number of steps, and then answers.
fn calls_then_answers(seen: &Seen) -> Reply {
    // The system and the user message, and two messages for each earlier step.
    let step = seen.body["messages"].as_array().map_or(0, |messages| messages.len() / 2);
    let arguments = format!(r#"{{"id": {step}}}"#);
    if step < STEPS { Reply::calls(&[("order_status", &arguments)]) } else { Reply::chat("All are shipped.") }
}

/// The provider's own time for a request from the middle of a run.
async fn bare(session: &Session, provider: &Provider, options: &Options) -> Result<f64> {
    session.execute(RUN, &[]).await?;
    let requests = provider.requests();
    let body = requests.get(STEPS / 2).context("nothing was asked")?.body.to_string();
    let mut bare = Bare::connect(&provider.url(), &body)?;
    let mut times = Times::default();
    for _ in 0..options.size(1000, 50) {
        let begin = Instant::now();
        bare.ask()?;
        times.push(begin.elapsed());
    }
    Ok(times.p50())
}

const RUN: &str = "SELECT status, steps FROM rag.run_agent('support', 'Where are my orders?')";

async fn function(session: &Session, provider_ms: f64, options: &Options) -> Result<()> {
    let statement = session.prepare(RUN).await?;
    let mut times = Times::default();
    for _ in 0..options.size(300, 5) {
        let begin = Instant::now();
        let row = session.query_one(&statement, &[]).await?;
        let took = begin.elapsed();
        ensure!(row.get::<_, String>(0) == "done" && row.get::<_, i32>(1) == STEPS as i32, "{row:?}");
        times.push(took / STEPS as u32);
    }
    report::figure("rag.run_agent, a step with its provider, p50", times.p50(), "ms");
    report::at_most("rag.run_agent, a step without its provider, p50", times.p50() - provider_ms, GOAL, "ms");
    report::figure("rag.run_agent, a step without its provider, p95", times.p95() - provider_ms, "ms");
    Ok(())
}

/// The same as a job, from the start of the run to its end, with each step committed. The time until a worker
/// runs is a separate figure.
async fn job(session: &Session, provider_ms: f64, options: &Options) -> Result<()> {
    let (mut times, mut begun) = (Times::default(), Times::default());
    for _ in 0..options.size(100, 3) {
        let submit = r#"SELECT rag.submit('agent', '{"agent": "support", "input": "Where are my orders?"}')"#;
        let job: i64 = session.value(submit).await?;
        session.batch_execute(&format!("CALL rag.wait_for_job({job}, '60s')")).await?;
        let row = session
            .query_one(
                "SELECT r.status, extract(epoch FROM r.finished - r.started)::float8,
                        extract(epoch FROM r.started - j.submitted_at)::float8
                 FROM rag.runs r JOIN rag.jobs j ON j.id = r.job WHERE r.job = $1",
                &[&job],
            )
            .await?;
        ensure!(row.get::<_, String>(0) == "done", "{row:?}");
        times.push(Duration::from_secs_f64(row.get::<_, f64>(1)) / STEPS as u32);
        begun.push(Duration::from_secs_f64(row.get::<_, f64>(2)));
    }
    report::figure("a job's run, a step with its provider, p50", times.p50(), "ms");
    report::at_most("a job's run, a step without its provider, p50", times.p50() - provider_ms, GOAL, "ms");
    report::figure("from rag.submit to the beginning of the run, p50", begun.p50(), "ms");
    Ok(())
}
