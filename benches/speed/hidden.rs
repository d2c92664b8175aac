//! `rag.search` under row-level security, compared with the same search by a role that may read all rows.

use anyhow::Result;
use ragstone_benches::contest::{Contestant, play};
use ragstone_benches::dictionaries::Corpus;
use ragstone_benches::options::Options;
use ragstone_benches::seeded::SEEDED;
use ragstone_benches::{report, world};

/// Percentages of the rows that tenants own.
const SHARES: [u32; 3] = [1, 10, 50];

const MODES: [&str; 3] = ["vector", "text", "hybrid"];

pub async fn run(options: &Options) -> Result<()> {
    let rows = options.size(100_000, 3_000);
    report::part(&format!("rag.search under row-level security on {rows} dictionary entries"));
    let corpus = Corpus::load(rows)?;
    let server = world::server("onnxruntime", true).await?;
    let owner = server.session().await?;
    world::collection(&owner, "dict", &corpus, rows, SEEDED).await?;
    owner
        .batch_execute(
            "ALTER TABLE dict ADD tenant int;
             UPDATE dict SET tenant = CASE WHEN id % 100 < 1 THEN 1 WHEN id % 100 < 11 THEN 10
                                           WHEN id % 100 < 61 THEN 50 ELSE 0 END;
             CREATE INDEX ON dict (tenant); ANALYZE dict;
             ALTER TABLE dict ENABLE ROW LEVEL SECURITY;
             CREATE POLICY own ON dict USING (tenant = current_setting('app.tenant')::int);
             CREATE ROLE reader LOGIN; GRANT SELECT ON dict TO reader;
             CREATE ROLE auditor LOGIN BYPASSRLS; GRANT SELECT ON dict TO auditor",
        )
        .await?;
    let database: String = owner.value("SELECT current_database()::text").await?;
    let auditor = server.connect_as("auditor", &database).await?;
    let mut readers = Vec::new();
    for share in SHARES {
        let reader = server.connect_as("reader", &database).await?;
        reader.batch_execute(&format!("SET app.tenant = {share}")).await?;
        readers.push(reader);
    }
    for mode in MODES {
        let sql = format!("SELECT * FROM rag.search('dict', $1, mode => '{mode}')");
        let mut contestants = vec![Contestant::new("all".into(), &auditor, &sql).await?];
        for reader in &readers {
            contestants.push(Contestant::new("share".into(), reader, &sql).await?);
        }
        play(&mut contestants, &corpus.queries, options.size(3, 1)).await?;
        let all = contestants[0].times.p95();
        report::figure(&format!("{mode}, all rows are visible, p95"), all, "ms");
        for (share, contestant) in SHARES.iter().zip(&contestants[1..]) {
            report::figure(&format!("{mode}, {share} % are visible, p95"), contestant.times.p95(), "ms");
            let name = format!("{mode}, {share} % to all rows visible, p95");
            report::at_most(&name, contestant.times.p95() / all, 2.0, "×");
        }
    }
    Ok(())
}
