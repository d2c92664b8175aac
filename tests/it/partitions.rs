//! Sources that are partitioned, or from which other tables inherit.

use crate::followed::{converged, create};
use anyhow::ensure;
use libtest_mimic::Trial;
use ragstone_tests::Result;
use ragstone_tests::server::shared;

pub fn tests() -> Vec<Trial> {
    ragstone_tests::tests![writes_to_leaves_and_children_are_followed, a_dropped_partition_is_followed]
}

async fn writes_to_leaves_and_children_are_followed() -> Result<()> {
    let session = shared().await?.session().await?;
    session
        .batch_execute(
            "CREATE TABLE t (id int PRIMARY KEY, body text, title text) PARTITION BY RANGE (id);
             CREATE TABLE t_low PARTITION OF t FOR VALUES FROM (0) TO (100);
             INSERT INTO t VALUES (1, 'one')",
        )
        .await?;
    create(&session, "").await?;
    session
        .batch_execute(
            "INSERT INTO t_low VALUES (2, 'two, by the leaf');
             CREATE TABLE t_high PARTITION OF t FOR VALUES FROM (100) TO (200);
             INSERT INTO t_high VALUES (101, 'by a new leaf');
             UPDATE t SET id = id + 150 WHERE id = 1",
        )
        .await?;
    converged(&session).await?;
    session
        .batch_execute(
            "CREATE TABLE apart (title text, body text, gone int, id int PRIMARY KEY);
             ALTER TABLE apart DROP COLUMN gone;
             INSERT INTO apart VALUES ('t', 'attached', 301);
             ALTER TABLE t ATTACH PARTITION apart FOR VALUES FROM (300) TO (400)",
        )
        .await?;
    converged(&session).await?;
    session.batch_execute("INSERT INTO apart (id, body) VALUES (302, 'to the attached leaf')").await?;
    converged(&session).await?;
    session
        .batch_execute("ALTER TABLE t DETACH PARTITION apart; INSERT INTO apart VALUES ('t', 'apart', 303)")
        .await?;
    converged(&session).await?;
    let left: i64 =
        session.value("SELECT count(*) FROM pg_trigger WHERE tgrelid = 'apart'::regclass").await?;
    ensure!(left == 0, "a detached table has {left} triggers");
    session.batch_execute("TRUNCATE t_low").await?;
    converged(&session).await
}

async fn a_dropped_partition_is_followed() -> Result<()> {
    let session = shared().await?.session().await?;
    session
        .batch_execute(
            "CREATE TABLE t (id int PRIMARY KEY, body text, title text) PARTITION BY RANGE (id);
             CREATE TABLE low PARTITION OF t FOR VALUES FROM (0) TO (100);
             CREATE TABLE high PARTITION OF t FOR VALUES FROM (100) TO (200);
             INSERT INTO t SELECT i, 'text number ' || i FROM generate_series(95, 104) i",
        )
        .await?;
    create(&session, "").await?;
    // A trigger of this name on another role's table does not cause a comparison of the collection's rows.
    let id: i64 = session.value("SELECT id FROM rag.collection WHERE name = 'c'").await?;
    session
        .batch_execute(&format!(
            "CREATE ROLE stranger_to_t; GRANT CREATE ON SCHEMA public TO stranger_to_t; SET ROLE stranger_to_t;
             CREATE TABLE strange (); CREATE FUNCTION strange() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
             CREATE TRIGGER ragstone_{id}_truncate AFTER TRUNCATE ON strange EXECUTE FUNCTION strange();
             DROP TABLE strange; RESET ROLE"
        ))
        .await?;
    let queued: i64 = session.value("SELECT count(*) FROM rag._queue").await?;
    ensure!(queued == 0, "a stranger had {queued} comparisons queued");
    session.batch_execute("DROP TABLE high").await?;
    converged(&session).await?;
    ensure!(
        session.value::<i64>("SELECT count(*) FROM c_chunks").await? == 5,
        "chunks of the partition are left"
    );
    Ok(())
}
