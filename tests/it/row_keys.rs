//! Rows whose keys are not unique, or are NULL: no row is skipped silently.

use anyhow::ensure;
use libtest_mimic::Trial;
use ragstone_tests::Result;
use ragstone_tests::server::shared;
use ragstone_tests::session::Session;
use ragstone_tests::wait;

pub fn tests() -> Vec<Trial> {
    ragstone_tests::tests![
        rows_that_come_to_share_a_key_are_one_failed_row,
        a_refresh_refuses_rows_that_share_a_key,
        rows_without_a_key_are_failed_rows,
    ]
}

/// Waits until exactly these keys are listed as failed, with this SQLSTATE.
async fn failed(session: &Session, sqlstate: &str, keys: &[&str]) -> Result<()> {
    let sql = format!(
        "SELECT coalesce(array_agg(key::text ORDER BY key), '{{}}') FROM rag.failed WHERE sqlstate = '{sqlstate}'"
    );
    wait::until(&format!("{keys:?} have failed"), async || {
        let failed: Vec<String> = session.value(&sql).await?;
        Ok((failed == keys).then_some(()))
    })
    .await
}

async fn hits(session: &Session, query: &str) -> Result<Vec<String>> {
    let sql = format!("SELECT ARRAY(SELECT content FROM rag.search('c', '{query}', mode => 'text'))");
    session.value(&sql).await
}

async fn rows_that_come_to_share_a_key_are_one_failed_row() -> Result<()> {
    for sync in ["background", "immediate"] {
        let session = shared().await?.session().await?;
        session
            .batch_execute(&format!(
                "CREATE TABLE t (id int, body text); CREATE UNIQUE INDEX t_id ON t (id);
                 INSERT INTO t VALUES (1, 'a boat'), (2, 'a lake');
                 SELECT rag.create_collection('c', 't', 'body', key => '{{id}}', sync => '{sync}')"
            ))
            .await?;
        ensure!(session.value::<bool>("SELECT rag.wait_until_current('c', '60s')").await?);
        session.batch_execute("DROP INDEX t_id; INSERT INTO t VALUES (1, 'some bread')").await?;
        failed(&session, "23505", &["{1}"]).await?;
        session.batch_execute("DELETE FROM t WHERE body = 'some bread'").await?;
        failed(&session, "23505", &[]).await?;
        ensure!(session.value::<bool>("SELECT rag.wait_until_current('c', '60s')").await?);
        let found = hits(&session, "boat").await?;
        ensure!(found == ["a boat"], "{sync}: {found:?}");
    }
    Ok(())
}

async fn a_refresh_refuses_rows_that_share_a_key() -> Result<()> {
    let session = shared().await?.session().await?;
    session
        .batch_execute(
            "CREATE TABLE t (id int, part text, body text); CREATE UNIQUE INDEX t_id ON t (id, part);
             INSERT INTO t VALUES (1, 'a', 'a boat'), (2, 'a', 'a lake');
             SELECT rag.create_collection('c', 't', 'body', key => '{id,part}', sync => 'manual');
             DROP INDEX t_id; INSERT INTO t VALUES (1, 'a', 'some bread'), (1, 'b', 'some butter')",
        )
        .await?;
    let refusal = session.refusal("SELECT rag.refresh_collection('c')").await?;
    refusal.expect("23505", "several rows", "unique index")?;
    ensure!(refusal.detail.contains(r#"{"id": 1, "part": "a"}"#), "{refusal:?}");
    session.batch_execute("DELETE FROM t WHERE body = 'some bread'").await?;
    session.batch_execute("SELECT rag.refresh_collection('c')").await?;
    // A unique index of a table does not cover the rows of tables that inherit from it.
    session
        .batch_execute(
            "CREATE UNIQUE INDEX t_id ON t (id, part); CREATE TABLE more () INHERITS (t);
             INSERT INTO more VALUES (2, 'a', 'some milk')",
        )
        .await?;
    session.refusal("SELECT rag.refresh_collection('c')").await?.expect(
        "23505",
        "several rows",
        "unique index",
    )?;
    Ok(())
}

async fn rows_without_a_key_are_failed_rows() -> Result<()> {
    for sync in ["background", "immediate"] {
        let session = shared().await?.session().await?;
        session
            .batch_execute(&format!(
                "CREATE TABLE t (id int, part text, body text); CREATE UNIQUE INDEX ON t (id, part);
                 INSERT INTO t VALUES (1, 'a', 'a boat'), (2, NULL, 'a lake'), (NULL, NULL, 'a river'), (3, NULL, '');
                 SELECT rag.create_collection('c', 't', 'body', key => '{{id,part}}', sync => '{sync}')"
            ))
            .await?;
        failed(&session, "23502", &["{2,NULL}", "{NULL,NULL}"]).await?;
        ensure!(session.value::<bool>("SELECT rag.wait_until_current('c', '60s')").await?);
        session
            .batch_execute(
                "INSERT INTO t VALUES (NULL, 'x', 'a pond'), (NULL, NULL, 'a brook');
                 UPDATE t SET part = 'a' WHERE id = 2",
            )
            .await?;
        failed(&session, "23502", &["{NULL,x}", "{NULL,NULL}"]).await?;
        // Two rows have the same columns in their keys, and one of them is not deleted.
        session.batch_execute("DELETE FROM t WHERE body = 'a brook' OR part = 'x'").await?;
        failed(&session, "23502", &["{NULL,NULL}"]).await?;
        ensure!(session.value::<bool>("SELECT rag.wait_until_current('c', '60s')").await?);
        let found = hits(&session, "lake").await?;
        ensure!(found == ["a lake"], "{sync}: {found:?}");
        session.batch_execute("SELECT rag.retry_failed('c')").await?;
        failed(&session, "23502", &["{NULL,NULL}"]).await?;
        session.batch_execute("TRUNCATE t").await?;
        failed(&session, "23502", &[]).await?;
    }
    Ok(())
}
