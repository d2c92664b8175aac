//! An INSERT of many rows into a table with a collection, compared with a table without one.
//!
//! The worker starts after the commit, and so after the measured time; TRUNCATE removes its work, and each
//! round waits until the worker has nothing left to do.

use crate::texts::{pieces, table, until_current};
use anyhow::Result;
use ragstone_benches::options::Options;
use ragstone_benches::report;
use ragstone_benches::timing::median;
use ragstone_tests::server::{self, Server};
use ragstone_tests::session::Session;
use std::time::Instant;
use tokio_postgres::types::ToSql;

/// Origin of the rows.
#[derive(Clone, Copy)]
enum Origin<'a> {
    /// The client, which sends them as parameters of the statement.
    Client(&'a [String]),
    /// Another table, in which PostgreSQL has compressed them already: they only have to be copied.
    Table,
}

pub async fn run(options: &Options) -> Result<()> {
    let (rows, rounds) = (options.size(10_000, 500), options.size(11, 3));
    report::part(&format!("INSERT of {rows} rows of 2 KB, fsync on"));
    let settings = server::Options::default().set("fsync", "on").set("max_wal_size", "8GB");
    let server = Server::start_with(settings.set("shared_buffers", "1GB")).await?;
    let session = server.session().await?;
    let texts = pieces(rows, 2048)?;
    table(&session, "origin", &texts).await?;
    for name in ["plain", "followed"] {
        table(&session, name, &[]).await?;
    }
    session.batch_execute("SELECT rag.create_collection('followed', 'followed', 'body')").await?;
    until_current(&session, "followed").await?;

    let [plain, followed] = play(&session, Origin::Client(&texts), rounds).await?;
    report::figure("from a client, without triggers", plain, "ms");
    report::figure("from a client, followed by a collection", followed, "ms");
    report::at_most("from a client, followed to without triggers", followed / plain, 1.3, "×");
    let [plain, followed] = play(&session, Origin::Table, rounds).await?;
    report::figure("copied from a table, without triggers", plain, "ms");
    report::figure("copied from a table, followed by a collection", followed, "ms");
    report::figure("copied from a table, followed to without triggers", followed / plain, "×");
    Ok(())
}

/// Medians in milliseconds, without triggers and with triggers. A first round warms up; both take turns in
/// starting.
async fn play(session: &Session, origin: Origin<'_>, rounds: usize) -> Result<[f64; 2]> {
    let mut seconds = [Vec::new(), Vec::new()];
    for round in 0..=rounds {
        for turn in [round % 2, 1 - round % 2] {
            let time = insert(session, ["plain", "followed"][turn], origin).await?;
            if round > 0 {
                seconds[turn].push(time);
            }
        }
    }
    Ok(seconds.map(|seconds| median(&seconds) * 1e3))
}

/// Seconds that the statement and its commit take.
async fn insert(session: &Session, into: &str, origin: Origin<'_>) -> Result<f64> {
    session.batch_execute("CHECKPOINT").await?;
    let (source, parameters): (_, Vec<&(dyn ToSql + Sync)>) = match &origin {
        Origin::Client(texts) => {
            ("SELECT n, text, 0 FROM unnest($1::text[]) WITH ORDINALITY t (text, n)", vec![texts])
        }
        Origin::Table => ("SELECT * FROM origin", Vec::new()),
    };
    let statement = session.prepare(&format!("INSERT INTO {into} {source}")).await?;
    let start = Instant::now();
    session.execute(&statement, &parameters).await?;
    let seconds = start.elapsed().as_secs_f64();
    session.batch_execute(&format!("TRUNCATE {into}")).await?;
    until_current(session, "followed").await?;
    Ok(seconds)
}
