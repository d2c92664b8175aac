//! The rate of a large first fill from its start to its end, with a very cheap model: dictionary entries, and
//! statistics as autovacuum collects them.

use anyhow::Result;
use ragstone_benches::dictionaries::Corpus;
use ragstone_benches::options::Options;
use ragstone_benches::seeded::SEEDED;
use ragstone_benches::{report, world};
use ragstone_tests::copy::copy_rows;
use ragstone_tests::session::Session;
use ragstone_tests::wait;
use std::time::{Duration, Instant};

/// Maximum time for one part.
const LIMIT: Duration = Duration::from_secs(1800);

pub async fn run(options: &Options) -> Result<()> {
    let (rows, part) = (options.size(1_450_000, 3_000), options.size(100_000, 1_000));
    report::part(&format!("a first fill of {rows} dictionary entries, by {part} chunks"));
    let corpus = Corpus::load(rows)?;
    let server = world::server("auto", true).await?;
    let session = server.session().await?;
    session.batch_execute("CREATE TABLE t (id int PRIMARY KEY, word text, body text)").await?;
    let lines = corpus.entries.iter().enumerate();
    let lines = lines.map(|(id, entry)| vec![id.to_string(), entry.word.clone(), entry.text.clone()]);
    copy_rows(&session, "t", lines).await?;
    let create =
        format!("SELECT rag.create_collection('t', 't', 'body', title => 'word', model => '{SEEDED}')");
    session.batch_execute(&create).await?;
    let mut seconds = Vec::new();
    let mut since = Instant::now();
    for goal in (1..=rows / part).map(|number| number * part) {
        // The last part may have fewer chunks than rows, if entries are empty.
        if !written(&session, goal).await? {
            break;
        }
        seconds.push(since.elapsed().as_secs_f64());
        report::figure(
            &format!("up to chunk {goal}"),
            part as f64 / since.elapsed().as_secs_f64(),
            "chunks/s",
        );
        since = Instant::now();
    }
    if let [first, .., last] = seconds[..] {
        report::at_most("time for the last part to that for the first", last / first, 1.0, "times");
    }
    Ok(())
}

/// Waits until `goal` chunks are written, or until the queue is empty. Returns true in the first case.
async fn written(session: &Session, goal: usize) -> Result<bool> {
    wait::until_within(LIMIT, "chunks are written", async || {
        let sql = "SELECT n_tup_ins FROM pg_stat_user_tables WHERE relname = 't_chunks'";
        let count: i64 = session.value(sql).await?;
        let is_left =
            || session.value("SELECT EXISTS (SELECT FROM rag._queue) OR NOT filled FROM rag.collection");
        Ok(if count >= goal as i64 {
            Some(true)
        } else if is_left().await? {
            None
        } else {
            Some(false)
        })
    })
    .await
}
