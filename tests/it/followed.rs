//! A table with a collection that follows it, for tests of synchronisation.

use anyhow::ensure;
use ragstone_tests::Result;
use ragstone_tests::session::Session;

/// Makes the table `t` of `rows` short texts and the collection `c` of it, and waits until it is filled.
pub async fn make(session: &Session, rows: i32, options: &str) -> Result<()> {
    session
        .batch_execute(&format!(
            "CREATE TABLE t (id int PRIMARY KEY, body text, title text, seen int DEFAULT 0);
             INSERT INTO t SELECT i, 'text number ' || i, 'title' FROM generate_series(1, {rows}) i"
        ))
        .await?;
    create(session, options).await
}

/// Makes the collection `c` of the table `t`, and waits until it is filled.
pub async fn create(session: &Session, options: &str) -> Result<()> {
    session
        .batch_execute(&format!("SELECT rag.create_collection('c', 't', 'body', title => 'title' {options})"))
        .await?;
    current(session).await
}

/// Waits until the collection is current.
pub async fn current(session: &Session) -> Result<()> {
    let current: bool = session.value("SELECT rag.wait_until_current('c', '5min')").await?;
    ensure!(current, "the collection is not current after five minutes");
    Ok(())
}

/// Fails unless the chunks match the current rows; each row must be short enough for one chunk.
pub async fn same(session: &Session) -> Result<()> {
    let different: Option<String> = session
        .value(
            "SELECT string_agg(side || ' ' || key || ': ' || text, ', ') FROM (
               (SELECT 'missing' AS side, id::text AS key, body AS text FROM t WHERE body ~ '\\S'
                EXCEPT SELECT 'missing', key_1::text, content FROM c_chunks)
               UNION ALL
               (SELECT 'superfluous', key_1::text, content FROM c_chunks
                EXCEPT SELECT 'superfluous', id::text, body FROM t)) d",
        )
        .await?;
    ensure!(different.is_none(), "{different:?}");
    let twice: i64 = session.value("SELECT count(*) - count(DISTINCT key_1) FROM c_chunks").await?;
    ensure!(twice == 0, "{twice} rows have more than one chunk");
    Ok(())
}

/// Waits until the collection is current, and fails unless it matches its source.
pub async fn converged(session: &Session) -> Result<()> {
    let notices = session.take_notices();
    ensure!(!notices.iter().any(|notice| notice.message.contains("could not follow")), "{notices:?}");
    current(session).await?;
    same(session).await
}

/// Number of texts that the engine has embedded as documents or queries since its start.
pub async fn embedded(session: &Session) -> Result<i64> {
    session.value("SELECT coalesce(sum(texts), 0)::int8 FROM rag.stat_engine").await
}
