//! Filling a collection in the background, compared with `rag.embed(text[])` of the same texts.

use crate::texts::until_current;
use anyhow::Result;
use pgvector::Vector;
use ragstone_benches::options::Options;
use ragstone_benches::timing::median;
use ragstone_benches::{report, world};
use ragstone_tests::copy::copy_rows;
use ragstone_tests::session::Session;
use ragstone_tests::{manual, wait};
use std::time::{Duration, Instant};

/// Longer than any part of this bench takes.
const LIMIT: Duration = Duration::from_secs(3600);

const CREATE: &str = "SELECT rag.create_collection('pages', 'pages', 'body', title => 'title')";

pub async fn run(options: &Options) -> Result<()> {
    let (count, rounds) = (options.size(500, 20), options.size(3, 1));
    report::part(&format!("filling a collection of {count} pages of the manual"));
    let server = world::server("auto", false).await?;
    let session = server.session().await?;
    session.execute("SELECT rag.embed('the model is loaded')", &[]).await?;
    load(&session, count).await?;

    let (mut filling, mut without_index, mut embedding) = (Vec::new(), Vec::new(), Vec::new());
    let mut chunks = 0;
    for _ in 0..rounds {
        let (written, current) = fill(&session).await?;
        without_index.push(written);
        filling.push(current);
        let texts = texts(&session).await?;
        chunks = texts.len();
        embedding.push(embed(&session, &texts).await?);
        session.batch_execute("SELECT rag.drop_collection('pages')").await?;
    }
    let rate = |seconds: &[f64]| chunks as f64 / median(seconds);
    report::figure("distinct chunks", chunks as f64, "");
    report::figure("rag.embed(text[]) of their texts alone", rate(&embedding), "chunks/s");
    report::figure("filling, without the indexes that search uses", rate(&without_index), "chunks/s");
    report::figure("filling, all of it", rate(&filling), "chunks/s");
    report::figure(
        "filling without those indexes to rag.embed alone",
        rate(&without_index) / rate(&embedding),
        "×",
    );
    report::at_least("filling to rag.embed alone", rate(&filling) / rate(&embedding), 0.9, "×");
    Ok(())
}

/// Loads pages that are spread over the whole manual.
async fn load(session: &Session, count: usize) -> Result<()> {
    let pages = manual::pages()?;
    let step = (pages.len() / count).max(1);
    session.batch_execute("CREATE TABLE pages (id int PRIMARY KEY, title text, body text)").await?;
    let rows = pages.into_iter().step_by(step).take(count).enumerate();
    copy_rows(session, "pages", rows.map(|(id, page)| vec![id.to_string(), page.title, page.body])).await?;
    session.batch_execute("VACUUM ANALYZE pages").await?;
    Ok(())
}

/// Seconds from the creation until all chunks are written, and until the collection is current.
async fn fill(session: &Session) -> Result<(f64, f64)> {
    let start = Instant::now();
    session.batch_execute(CREATE).await?;
    wait::until_within(LIMIT, "all chunks are written", async || {
        let left = session.value::<bool>("SELECT EXISTS (SELECT FROM rag._queue)").await?;
        Ok((!left).then_some(()))
    })
    .await?;
    let written = start.elapsed().as_secs_f64();
    until_current(session, "pages").await?;
    Ok((written, start.elapsed().as_secs_f64()))
}

/// The embedded texts, in the order in which they were stored.
async fn texts(session: &Session) -> Result<Vec<String>> {
    let sql = "SELECT text FROM (
                 SELECT DISTINCT ON (content_hash) c.chunk_id, content_hash,
                        concat_ws(E'\\n', s.title, c.heading, c.content) AS text
                 FROM pages_chunks c JOIN pages s ON s.id = c.key_1) t
               WHERE sha256(convert_to(text, 'UTF8')) = content_hash
               ORDER BY chunk_id";
    let texts: Vec<String> = session.query(sql, &[]).await?.iter().map(|row| row.get(0)).collect();
    let distinct: i64 = session.value("SELECT count(DISTINCT content_hash) FROM pages_chunks").await?;
    anyhow::ensure!(texts.len() as i64 == distinct, "{} texts of {distinct} chunks are known", texts.len());
    Ok(texts)
}

async fn embed(session: &Session, texts: &[String]) -> Result<f64> {
    let start = Instant::now();
    let vectors: Vec<Vector> = session.value_of("SELECT rag.embed($1::text[])", &[&texts]).await?;
    anyhow::ensure!(vectors.len() == texts.len());
    Ok(start.elapsed().as_secs_f64())
}
