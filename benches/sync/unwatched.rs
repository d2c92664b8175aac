//! An UPDATE of a column that the collection does not use, compared with the same UPDATE of an identical
//! table without a collection.

use crate::texts::{pieces, table, until_current};
use anyhow::Result;
use ragstone_benches::options::Options;
use ragstone_benches::timing::Times;
use ragstone_benches::{report, world};
use std::time::Instant;

pub async fn run(options: &Options) -> Result<()> {
    let (rows, rounds) = (options.size(1_000, 100), options.size(30_000, 300));
    report::part("UPDATE of one row that touches no watched column");
    let server = world::server("auto", false).await?;
    let session = server.session().await?;
    let texts = pieces(rows, 2000)?;
    let mut statements = Vec::new();
    for name in ["plain", "followed"] {
        table(&session, name, &texts).await?;
        statements.push(session.prepare(&format!("UPDATE {name} SET hits = hits + 1 WHERE id = $1")).await?);
    }
    // A current collection causes no work, so its fill is not included in the measurement.
    session.batch_execute("SELECT rag.create_collection('followed', 'followed', 'body')").await?;
    until_current(&session, "followed").await?;
    session.batch_execute("SET synchronous_commit = off").await?;

    let mut times = [Times::default(), Times::default()];
    let warm_up = rounds / 10;
    for round in 0..warm_up + rounds {
        let id = (round * 7 % rows) as i32;
        for turn in [round % 2, 1 - round % 2] {
            let start = Instant::now();
            session.execute(&statements[turn], &[&id]).await?;
            if round >= warm_up {
                times[turn].push(start.elapsed());
            }
        }
    }
    let [plain, followed] = times;
    report::figure("without triggers, p50", plain.p50() * 1e3, "µs");
    report::figure("followed by a collection, p50", followed.p50() * 1e3, "µs");
    report::at_most("more of it, p50", (followed.p50() - plain.p50()) * 1e3, 30.0, "µs");
    report::figure("more of it, mean", (followed.mean() - plain.mean()) * 1e3, "µs");
    Ok(())
}
