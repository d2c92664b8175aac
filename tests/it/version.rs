//! A library with SQL objects of another version.

use anyhow::ensure;
use libtest_mimic::Trial;
use ragstone_tests::Result;
use ragstone_tests::server::shared;
use ragstone_tests::session::Session;

pub fn tests() -> Vec<Trial> {
    ragstone_tests::tests![
        sql_objects_of_another_version_are_refused_until_they_are_updated,
        an_update_is_noticed_by_sessions_that_run,
        applications_go_on_writing_before_the_update,
    ]
}

const CALLS: &[&str] = &[
    "SELECT rag.embed('a')",
    "SELECT rag.embed(ARRAY['a'])",
    "SELECT rag.embed_batch('a') OVER ()",
    "SELECT * FROM rag.chunk('a')",
    "SELECT * FROM rag.search('c', 'a')",
    "SELECT * FROM rag.models()",
];

async fn installed(session: &Session) -> Result<String> {
    session.value("SELECT extversion FROM pg_extension WHERE extname = 'ragstone'").await
}

async fn create_collection(session: &Session) -> Result<()> {
    session.batch_execute("CREATE TABLE t (id int PRIMARY KEY, body text)").await?;
    session.execute("SELECT rag.create_collection('c', 't', 'body')", &[]).await?;
    Ok(())
}

async fn set_version(session: &Session, version: &str) -> Result<()> {
    let update = format!("UPDATE pg_extension SET extversion = '{version}' WHERE extname = 'ragstone'");
    Ok(session.batch_execute(&update).await?)
}

async fn expect_refusal(session: &Session, call: &str) -> Result<()> {
    let hint = "Run ALTER EXTENSION ragstone UPDATE, or reconnect.";
    session.refusal(call).await?.expect("55000", "the extension is version 0.0.0, but", hint)
}

async fn sql_objects_of_another_version_are_refused_until_they_are_updated() -> Result<()> {
    let session = shared().await?.session().await?;
    let right = installed(&session).await?;
    create_collection(&session).await?;
    let database: String = session.value("SELECT current_database()::text").await?;
    let other = shared().await?.connect(&database).await?;
    set_version(&session, "0.0.0").await?;
    for call in CALLS {
        expect_refusal(&other, call).await?;
    }
    set_version(&session, &right).await?;
    for call in CALLS {
        other.execute(*call, &[]).await?;
    }
    Ok(())
}

/// An update script is a transaction that changes functions and the version.
async fn an_update_is_noticed_by_sessions_that_run() -> Result<()> {
    let session = shared().await?.session().await?;
    let database: String = session.value("SELECT current_database()::text").await?;
    let other = shared().await?.connect(&database).await?;
    for session in [&session, &other] {
        session.execute("SELECT rag.embed('a')", &[]).await?;
    }
    session.batch_execute("BEGIN").await?;
    session.batch_execute("CREATE FUNCTION rag.added() RETURNS int LANGUAGE sql AS 'SELECT 1'").await?;
    set_version(&session, "0.0.0").await?;
    other.execute("SELECT rag.embed('a')", &[]).await?;
    session.batch_execute("COMMIT").await?;
    for session in [&session, &other] {
        expect_refusal(session, "SELECT rag.embed('a')").await?;
    }
    session
        .batch_execute("BEGIN; DROP EXTENSION ragstone CASCADE; CREATE EXTENSION ragstone; COMMIT")
        .await?;
    for session in [&session, &other] {
        let vector: Option<pgvector::Vector> = session.value("SELECT rag.embed('a')").await?;
        ensure!(vector.is_some());
    }
    Ok(())
}

/// The state between `make install` and ALTER EXTENSION UPDATE.
async fn applications_go_on_writing_before_the_update() -> Result<()> {
    let session = shared().await?.session().await?;
    let right = installed(&session).await?;
    create_collection(&session).await?;
    let database: String = session.value("SELECT current_database()::text").await?;
    let other = shared().await?.connect(&database).await?;
    set_version(&session, "0.0.0").await?;
    for call in [
        "SELECT rag.create_collection('d', 't', 'body')",
        "SELECT rag.refresh_collection('c')",
        "SELECT rag.drop_collection('c')",
        "SELECT rag.wait_until_current('c', '60s')",
    ] {
        expect_refusal(&other, call).await?;
    }
    // Writers are not affected, and the status views still work.
    other.batch_execute("INSERT INTO t VALUES (1, 'one'); ALTER TABLE t ADD COLUMN title text").await?;
    other.batch_execute("SELECT * FROM rag.status(); SELECT * FROM rag.stat_engine").await?;
    ensure!(other.take_notices().is_empty());
    set_version(&session, &right).await?;
    ensure!(other.value::<bool>("SELECT rag.wait_until_current('c', '60s')").await?);
    ensure!(other.value::<i64>("SELECT count(*) FROM c_chunks").await? == 1);
    Ok(())
}
