//! A publication for all tables must not prevent writes: the extension's own tables and those of collections
//! have a replica identity.

use crate::followed::{converged, make};
use anyhow::ensure;
use libtest_mimic::Trial;
use ragstone_tests::Result;
use ragstone_tests::server::shared;
use ragstone_tests::wait;

pub fn tests() -> Vec<Trial> {
    ragstone_tests::tests![a_publication_for_all_tables_stops_nothing]
}

/// Tables in which no rows could be updated or deleted with a publication for all tables.
const WITHOUT_IDENTITY: &str = "
    SELECT coalesce(string_agg(t.oid::regclass::text, ', '), '')
    FROM pg_class t LEFT JOIN pg_index i ON i.indrelid = t.oid AND i.indisprimary
    WHERE t.relkind = 'r' AND t.relnamespace IN ('rag'::regnamespace, 'public'::regnamespace)
      AND t.relreplident = 'd' AND i.indexrelid IS NULL";

async fn a_publication_for_all_tables_stops_nothing() -> Result<()> {
    let session = shared().await?.session().await?;
    session.batch_execute("CREATE PUBLICATION everything FOR ALL TABLES").await?;
    make(&session, 3, "").await?;
    session
        .batch_execute(
            "SELECT rag.create_collection('direct', 't', 'body', sync => 'immediate');
             SELECT rag.create_collection('manual', 't', 'body', sync => 'manual');
             UPDATE t SET body = 'changed' WHERE id = 1; DELETE FROM t WHERE id = 2; SELECT rag.refresh_collection('manual')",
        )
        .await?;
    converged(&session).await?;
    let without: String = session.value(WITHOUT_IDENTITY).await?;
    ensure!(without.is_empty(), "no replica identity: {without}");
    session
        .batch_execute(
            "SET rag.log_durability = 'autonomous';
             BEGIN; SELECT rag.start_run('a'); SELECT rag.log_step(1, 'tool', 'undone'); ROLLBACK;
             SELECT rag.start_run('a'); SELECT rag.log_step(2, 'tool', 'kept'); SELECT rag.finish_run(2)",
        )
        .await?;
    wait::until("the step is in the reports, and what was rolled back is settled", async || {
        let settled = "SELECT coalesce((SELECT sum(steps) > 0 FROM rag.agent_daily), false)
                       AND NOT EXISTS (SELECT FROM rag._uncommitted_row)";
        Ok(session.value::<bool>(settled).await?.then_some(()))
    })
    .await
}
