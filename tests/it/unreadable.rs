//! A row that cannot be read fails alone, even when all rows are compared with their source.

use anyhow::ensure;
use libtest_mimic::Trial;
use ragstone_tests::Result;
use ragstone_tests::server::shared;
use ragstone_tests::session::Session;
use ragstone_tests::wait;

pub fn tests() -> Vec<Trial> {
    ragstone_tests::tests![
        a_row_with_unreadable_metadata_is_one_failed_row_of_a_first_fill,
        a_comparison_of_all_rows_passes_over_unreadable_ones,
    ]
}

/// Waits until exactly these keys are listed as failed and `indexed` rows are searchable.
async fn failed(session: &Session, keys: &[&str], indexed: i64) -> Result<()> {
    wait::until("the other rows are searchable", async || {
        let sql = "SELECT coalesce(array_agg(key::text ORDER BY key), '{}') FROM rag.failed";
        let failed: Vec<String> = session.value(sql).await?;
        let chunks: i64 = session.value("SELECT count(DISTINCT key_1) FROM p_chunks").await?;
        Ok((failed == keys && chunks == indexed).then_some(()))
    })
    .await?;
    let error: Option<String> = session
        .value("SELECT CASE state WHEN 'failed' THEN reason END FROM rag.collections WHERE name = 'p'")
        .await?;
    ensure!(error.is_none(), "{error:?}");
    ensure!(session.value::<bool>("SELECT rag.wait_until_current('p', '60s')").await?);
    Ok(())
}

const CREATE: &str = "CREATE TABLE p (id int PRIMARY KEY, body text, meta json);
    INSERT INTO p SELECT g, 'Row ' || g, '{}' FROM generate_series(1, 300) g";

async fn a_row_with_unreadable_metadata_is_one_failed_row_of_a_first_fill() -> Result<()> {
    let session = shared().await?.session().await?;
    session.batch_execute(CREATE).await?;
    session
        .batch_execute(
            r#"UPDATE p SET meta = '{"a": "\u0000"}' WHERE id = 99; UPDATE p SET meta = '{"a": 1e200000}' WHERE id = 7;
               SELECT rag.create_collection('p', 'p', 'body', metadata => '{meta}')"#,
        )
        .await?;
    failed(&session, &["{7}", "{99}"], 298).await?;
    session.batch_execute("UPDATE p SET meta = '{}' WHERE id IN (7, 99)").await?;
    failed(&session, &[], 300).await
}

async fn a_comparison_of_all_rows_passes_over_unreadable_ones() -> Result<()> {
    let session = shared().await?.session().await?;
    session.batch_execute(CREATE).await?;
    session.batch_execute("SELECT rag.create_collection('p', 'p', 'body', metadata => '{meta}')").await?;
    failed(&session, &[], 300).await?;
    session.batch_execute(r#"INSERT INTO p VALUES (1000, 'x', '{"a": "\u0000"}')"#).await?;
    failed(&session, &["{1000}"], 300).await?;
    // Changes for which no trigger fires: a changed row, a deleted row, and a row that has lost its content.
    session
        .batch_execute(
            "ALTER TABLE p DISABLE TRIGGER USER; UPDATE p SET body = 'Changed' WHERE id = 5; DELETE FROM p WHERE id = 6;
             UPDATE p SET body = NULL WHERE id = 7; INSERT INTO p VALUES (301, 'New', '{}');
             ALTER TABLE p ENABLE TRIGGER USER; ALTER TABLE p ALTER body TYPE varchar",
        )
        .await?;
    failed(&session, &["{1000}"], 299).await?;
    let content: Vec<String> = session
        .value("SELECT array_agg(content ORDER BY key_1) FROM p_chunks WHERE key_1 IN (5, 6, 7, 301)")
        .await?;
    ensure!(content == ["Changed", "New"], "{content:?}");
    Ok(())
}
