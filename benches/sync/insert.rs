//! An INSERT of many rows into a table that a collection follows, beside a table that nobody follows.
//!
//! The worker begins when the transaction has committed, which is after the measured time; what it would then do is taken
//! away again by TRUNCATE, and each round waits until it has nothing left to do.

use crate::texts::{pieces, table, until_current};
use anyhow::Result;
use ragstone_benches::options::Options;
use ragstone_benches::report;
use ragstone_benches::timing::median;
use ragstone_tests::server::{self, Server};
use ragstone_tests::session::Session;
use std::time::Instant;

pub async fn run(options: &Options) -> Result<()> {
    let (rows, rounds) = (options.size(10_000, 500), options.size(11, 3));
    report::part(&format!("INSERT of {rows} rows of 2 KB, fsync on"));
    let settings = server::Options::default().set("fsync", "on").set("max_wal_size", "8GB");
    let server = Server::start_with(settings.set("shared_buffers", "1GB")).await?;
    let session = server.session().await?;
    table(&session, "origin", &pieces(rows, 2000)?).await?;
    for name in ["plain", "followed"] {
        table(&session, name, &[]).await?;
    }
    session.batch_execute("SELECT rag.create_collection('followed', 'followed', 'body')").await?;
    until_current(&session, "followed").await?;

    let (mut plain, mut followed) = (Vec::new(), Vec::new());
    // A first round warms up; who begins alternates.
    for round in 0..=rounds {
        let mut seconds = [0.0; 2];
        for turn in [round % 2, 1 - round % 2] {
            seconds[turn] = insert(&session, ["plain", "followed"][turn]).await?;
        }
        if round > 0 {
            plain.push(seconds[0]);
            followed.push(seconds[1]);
        }
    }
    report::figure("without triggers", median(&plain) * 1e3, "ms");
    report::figure("followed by a collection", median(&followed) * 1e3, "ms");
    report::at_most("followed to without triggers", median(&followed) / median(&plain), 1.3, "×");
    Ok(())
}

async fn insert(session: &Session, into: &str) -> Result<f64> {
    session.batch_execute("CHECKPOINT").await?;
    let sql = format!("INSERT INTO {into} SELECT * FROM origin");
    let start = Instant::now();
    session.batch_execute(&sql).await?;
    let seconds = start.elapsed().as_secs_f64();
    session.batch_execute(&format!("TRUNCATE {into}")).await?;
    until_current(session, "followed").await?;
    Ok(seconds)
}
