//! Shares of the engine: a short query together with bulk work, and two databases that are filled at the same
//! time.

use crate::query::QUESTIONS;
use anyhow::Result;
use futures_util::future::{join, try_join};
use pgvector::Vector;
use ragstone_benches::options::Options;
use ragstone_benches::timing::{Times, median};
use ragstone_benches::{report, world};
use ragstone_tests::copy::copy_rows;
use ragstone_tests::manual;
use ragstone_tests::server::Server;
use ragstone_tests::session::Session;
use ragstone_tests::wait;
use std::cell::Cell;
use std::time::{Duration, Instant};

/// Maximum duration of a batch of bulk work, in ms.
const BATCH_MS: f64 = 50.0;

/// Longer than any part of this bench takes.
const LIMIT: Duration = Duration::from_secs(3600);

pub async fn run(options: &Options) -> Result<()> {
    let server = world::server("auto", false).await?;
    query_beside_bulk(&server, options).await?;
    two_fills(&server, options).await
}

/// Passages of about 200 tokens.
pub fn passages(count: usize) -> Result<Vec<String>> {
    let prose: String = manual::pages()?.into_iter().flat_map(|page| [page.body, "\n".to_owned()]).collect();
    let prose: Vec<u8> = prose.bytes().filter(u8::is_ascii).collect();
    let pieces = prose.chunks_exact(800).map(|piece| String::from_utf8_lossy(piece).into_owned());
    Ok(pieces.take(count).collect())
}

async fn query_beside_bulk(server: &Server, options: &Options) -> Result<()> {
    report::part("a short query beside bulk work of another session");
    let database = server.database().await?;
    let (asking, filling) = (server.connect(&database).await?, server.connect(&database).await?);
    let texts = passages(500)?;
    let (rounds, queries) = options.size((5, 200), (1, 30));
    let (mut idle, mut beside, mut alone, mut disturbed) =
        (Times::default(), Times::default(), Vec::new(), Vec::new());
    embed(&filling, &texts).await?;
    for _ in 0..rounds {
        ask(&asking, &mut idle, |asked| asked == queries).await?;
        alone.push(embed(&filling, &texts).await?);
        let done = Cell::new(false);
        let asked = ask(&asking, &mut beside, |_| done.get());
        let embedded = async {
            let rate = embed(&filling, &texts).await;
            done.set(true);
            rate
        };
        disturbed.push(try_join(asked, embedded).await?.1);
    }
    report::figure("a query on an idle engine, p50", idle.p50(), "ms");
    report::figure("a query on an idle engine, p95", idle.p95(), "ms");
    report::figure("a query beside bulk, p50", beside.p50(), "ms");
    report::at_most("a query beside bulk, p95", beside.p95(), idle.p95() + BATCH_MS, "ms");
    report::figure("bulk alone", median(&alone), "texts/s");
    report::figure("bulk beside queries", median(&disturbed), "texts/s");
    Ok(())
}

/// Embeds one query after the other until `done` returns true for their number.
async fn ask(session: &Session, times: &mut Times, done: impl Fn(usize) -> bool) -> Result<()> {
    let statement = session.prepare("SELECT rag.embed($1, kind => 'query')").await?;
    let mut asked = 0;
    while !done(asked) {
        let start = Instant::now();
        session.query_one(&statement, &[&QUESTIONS[asked % QUESTIONS.len()]]).await?.get::<_, Vector>(0);
        times.push(start.elapsed());
        asked += 1;
    }
    Ok(())
}

/// Embeds texts and returns the rate in texts per second.
pub async fn embed(session: &Session, texts: &[String]) -> Result<f64> {
    let start = Instant::now();
    let vectors: Vec<Vector> = session.value_of("SELECT rag.embed($1::text[])", &[&texts]).await?;
    anyhow::ensure!(vectors.len() == texts.len());
    Ok(texts.len() as f64 / start.elapsed().as_secs_f64())
}

async fn two_fills(server: &Server, options: &Options) -> Result<()> {
    report::part("two databases that are filled at the same time");
    let window = options.size(Duration::from_secs(30), Duration::from_secs(3));
    let rows = passages(usize::MAX)?;
    let (mut sessions, mut shares) = (Vec::new(), Vec::new());
    for _ in 0..2 {
        sessions.push(filling(server, &rows).await?);
    }
    let chunks = async || {
        let (first, second) = join(written(&sessions[0]), written(&sessions[1])).await;
        anyhow::Ok([first?, second?])
    };
    wait::until_within(LIMIT, "both are filled", async || {
        Ok(chunks().await?.iter().all(|chunks| *chunks > 0).then_some(()))
    })
    .await?;
    let mut before = chunks().await?;
    for _ in 0..options.size(3, 1) {
        tokio::time::sleep(window).await;
        let now = chunks().await?;
        let [first, second] = [now[0] - before[0], now[1] - before[1]].map(|more| more as f64);
        report::figure("both together", (first + second) / window.as_secs_f64(), "chunks/s");
        shares.push(first.min(second) / (first + second));
        before = now;
    }
    report::at_least("the smaller share of the two", median(&shares), 0.4, "");
    Ok(())
}

/// A database with a collection whose fill has just started.
async fn filling(server: &Server, rows: &[String]) -> Result<Session> {
    let session = server.session().await?;
    session.batch_execute("CREATE TABLE t (id int PRIMARY KEY, body text)").await?;
    let rows = rows.iter().enumerate().map(|(id, body)| vec![id.to_string(), body.clone()]);
    copy_rows(&session, "t", rows).await?;
    session.batch_execute("SELECT rag.create_collection('t', 't', 'body')").await?;
    Ok(session)
}

async fn written(session: &Session) -> Result<i64> {
    session.value("SELECT count(*) FROM t_chunks").await
}
