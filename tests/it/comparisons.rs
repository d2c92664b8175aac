//! Which changes of a source's definition make the worker compare all rows with it.

use crate::followed::{converged, current};
use anyhow::ensure;
use libtest_mimic::Trial;
use ragstone_tests::Result;
use ragstone_tests::server::shared;
use ragstone_tests::session::Session;

pub fn tests() -> Vec<Trial> {
    ragstone_tests::tests![
        commands_that_change_no_rows_compare_none,
        commands_that_may_change_rows_compare_all
    ]
}

/// Number of comparisons of all rows that commands queue, in a transaction that is rolled back.
async fn comparisons(session: &Session, commands: &str) -> Result<i64> {
    session.batch_execute("BEGIN").await?;
    session.batch_execute(commands).await?;
    let queued = session.value("SELECT count(*) FROM rag._queue WHERE key IS NULL").await?;
    session.batch_execute("ROLLBACK").await?;
    Ok(queued)
}

const PARTITIONED: &str =
    "CREATE TABLE t (id int PRIMARY KEY, body text, title text, price int) PARTITION BY RANGE (id);
     CREATE TABLE t_1 PARTITION OF t FOR VALUES FROM (0) TO (10);
     INSERT INTO t VALUES (1, 'the first text', 'one', 1);
     SELECT rag.create_collection('c', 't', 'body', title => 'title', metadata => '{price}')";

async fn commands_that_change_no_rows_compare_none() -> Result<()> {
    let session = shared().await?.session().await?;
    session.batch_execute(PARTITIONED).await?;
    current(&session).await?;
    for commands in [
        "ALTER TABLE t_1 SET (fillfactor = 90)",
        "ALTER TABLE t ADD COLUMN other int DEFAULT 1",
        "ALTER TABLE t ADD COLUMN other int; ALTER TABLE t RENAME COLUMN other TO another; ALTER TABLE t DROP COLUMN another",
        "ALTER TABLE t ALTER COLUMN body SET DEFAULT 'none', ALTER COLUMN body SET STATISTICS 500",
        "ALTER TABLE t ALTER COLUMN title SET NOT NULL, ADD CHECK (price > 0)",
        "ALTER TABLE t RENAME TO u",
        "CREATE TABLE t_2 PARTITION OF t FOR VALUES FROM (10) TO (20)",
        "CREATE TABLE elsewhere (id serial PRIMARY KEY, body text)",
        "CREATE INDEX ON t (price)",
    ] {
        let queued = comparisons(&session, commands).await?;
        ensure!(queued == 0, "{queued} comparisons after {commands}");
    }
    // Rows of a new partition are captured although nothing was compared.
    session
        .batch_execute(
            "CREATE TABLE t_2 PARTITION OF t FOR VALUES FROM (10) TO (20);
             INSERT INTO t_2 VALUES (11, 'the second text', 'two', 2)",
        )
        .await?;
    converged(&session).await
}

async fn commands_that_may_change_rows_compare_all() -> Result<()> {
    let session = shared().await?.session().await?;
    session.batch_execute(PARTITIONED).await?;
    current(&session).await?;
    for commands in [
        "ALTER TABLE t RENAME COLUMN price TO cost",
        "ALTER TABLE t ALTER COLUMN price TYPE numeric",
        "ALTER TABLE t DISABLE TRIGGER USER",
        "ALTER TABLE t_1 SET (fillfactor = 90), DISABLE TRIGGER USER",
        "ALTER TABLE t DETACH PARTITION t_1",
        "CREATE TABLE t_2 (LIKE t INCLUDING ALL); ALTER TABLE t ATTACH PARTITION t_2 FOR VALUES FROM (10) TO (20)",
        "ALTER TABLE t ENABLE ROW LEVEL SECURITY",
        "ALTER TABLE t OWNER TO CURRENT_USER",
    ] {
        let queued = comparisons(&session, commands).await?;
        ensure!(queued > 0, "no comparison after {commands}");
    }
    // A trigger that was dropped is created again by the next command, after which all rows are compared.
    let drop = "DO $$ BEGIN EXECUTE (SELECT format('DROP TRIGGER %I ON t_1', tgname) FROM pg_trigger
                WHERE tgrelid = 't_1'::regclass AND tgname LIKE '%update'); END $$";
    let queued = comparisons(
        &session,
        &format!("{drop}; CREATE TABLE t_2 PARTITION OF t FOR VALUES FROM (10) TO (20)"),
    )
    .await?;
    ensure!(queued > 0, "no comparison after a trigger was created again");
    Ok(())
}
