//! `rag.wait_until_current`: which state it checks, and which collections will never be current.

use crate::capture::{away, back};
use crate::followed::{converged, make, same};
use anyhow::ensure;
use futures_util::future::join;
use libtest_mimic::Trial;
use ragstone_tests::Result;
use ragstone_tests::server::{Server, shared};
use ragstone_tests::wait;

pub fn tests() -> Vec<Trial> {
    ragstone_tests::tests![
        every_isolation_level_waits_for_the_newest_state,
        a_wait_under_serializable_can_be_cancelled,
        a_manual_collection_is_not_waited_for,
        a_source_that_is_dropped_during_the_wait_ends_it,
        what_was_dropped_is_the_error_of_the_collection,
        a_column_that_is_dropped_with_its_type_is_noticed,
    ]
}

const LEVELS: [&str; 3] = ["READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE"];

async fn every_isolation_level_waits_for_the_newest_state() -> Result<()> {
    let server = shared().await?;
    let session = server.session().await?;
    make(&session, 3, "").await?;
    let waiting = server.connect_beside(&session).await?;
    for (number, level) in LEVELS.into_iter().enumerate() {
        waiting.batch_execute(&format!("SET default_transaction_isolation = '{level}'")).await?;
        waiting.batch_execute(&format!("INSERT INTO t VALUES ({}, 'its own')", 10 * number + 4)).await?;
        converged(&waiting).await?;
        // The transaction's own snapshot shows neither the row nor its chunk.
        waiting.batch_execute("BEGIN; SELECT count(*) FROM t").await?;
        session.batch_execute(&format!("INSERT INTO t VALUES ({}, 'another''s')", 10 * number + 5)).await?;
        ensure!(waiting.value::<bool>("SELECT rag.wait_until_current('c', '60 s')").await?, "{level}");
        same(&session).await?;
        waiting.batch_execute("COMMIT").await?;
    }
    Ok(())
}

async fn a_wait_under_serializable_can_be_cancelled() -> Result<()> {
    let server = Server::start().await?;
    let session = server.session().await?;
    make(&session, 3, "").await?;
    away(&server, &session).await?;
    session.batch_execute("INSERT INTO t VALUES (4, 'waits'); SET statement_timeout = '300ms'").await?;
    session.batch_execute("SET default_transaction_isolation = 'serializable'").await?;
    session.refusal("SELECT rag.wait_until_current('c')").await?.expect("57014", "statement timeout", "")?;
    session.batch_execute("RESET statement_timeout").await?;
    back(&server, &session).await?;
    converged(&session).await
}

async fn a_manual_collection_is_not_waited_for() -> Result<()> {
    let session = shared().await?.session().await?;
    session
        .batch_execute(
            "CREATE TABLE t (id int PRIMARY KEY, body text); INSERT INTO t VALUES (1, 'one');
             SELECT rag.create_collection('c', 't', 'body', sync => 'manual');
             INSERT INTO t VALUES (2, 'two')",
        )
        .await?;
    let refusal = session.refusal("SELECT rag.wait_until_current('c', '60 s')").await?;
    refusal.expect("55000", "collection \"c\" is manual", "rag.refresh_collection")
}

async fn a_source_that_is_dropped_during_the_wait_ends_it() -> Result<()> {
    let server = Server::start().await?;
    let session = server.session().await?;
    make(&session, 3, "").await?;
    away(&server, &session).await?;
    session.batch_execute("INSERT INTO t VALUES (4, 'waits')").await?;
    let waiting = server.connect_beside(&session).await?;
    waiting.batch_execute("SET default_transaction_isolation = 'repeatable read'").await?;
    let dropping = async {
        wait::until("the other session waits", async || {
            let active: i64 = session
                .value("SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query LIKE '%wait_until_current(''c'')%'")
                .await?;
            Ok((active > 0).then_some(()))
        })
        .await?;
        session.batch_execute("DROP TABLE t").await?;
        Ok::<_, anyhow::Error>(())
    };
    let (refusal, dropped) = join(waiting.refusal("SELECT rag.wait_until_current('c')"), dropping).await;
    dropped?;
    refusal?.expect("42P01", "the source of collection \"c\" no longer exists", "rag.drop_collection")
}

/// Objects to drop, and the part that the collection lacks afterwards.
const DROPPED: [(&str, &str); 6] = [
    ("DROP TABLE t CASCADE", "source"),
    ("DROP SCHEMA s CASCADE", "source"),
    ("DROP MATERIALIZED VIEW m", "source"),
    (
        "SET session_replication_role = replica; DROP TABLE t CASCADE; RESET session_replication_role",
        "source",
    ),
    ("DROP TABLE c_chunks", "chunk table"),
    ("DROP TABLE c_terms", "terms table"),
];

async fn what_was_dropped_is_the_error_of_the_collection() -> Result<()> {
    let session = shared().await?.session().await?;
    for (drop, missing) in DROPPED {
        session
            .batch_execute(
                "DROP SCHEMA IF EXISTS s CASCADE; CREATE SCHEMA s; SET search_path = s, public;
                 CREATE TABLE t (id int PRIMARY KEY, body text); INSERT INTO t VALUES (1, 'one');
                 CREATE MATERIALIZED VIEW m AS SELECT * FROM t; CREATE UNIQUE INDEX ON m (id);
                 SET search_path = public",
            )
            .await?;
        let source = if drop.contains("VIEW") { "s.m" } else { "s.t" };
        session.batch_execute(&format!("SELECT rag.create_collection('c', '{source}', 'body')")).await?;
        ensure!(session.value::<bool>("SELECT rag.wait_until_current('c', '60 s')").await?);
        session
            .batch_execute(&format!("SET search_path = s, public; {drop}; SET search_path = public"))
            .await?;
        let row = session.query_one("SELECT state, reason FROM rag.collections", &[]).await?;
        let wanted = format!("the {missing} no longer exists");
        ensure!(
            row.get::<_, &str>(0) == "failed" && row.get::<_, &str>(1).contains(&wanted),
            "{drop}: {row:?}"
        );
        // The condition of the alert RagstoneCollectionBroken.
        let broken: i32 = session
            .value("SELECT (state = 'failed')::int FROM rag.stat_collection WHERE collection = 'c'")
            .await?;
        ensure!(broken == 1, "{drop}");
        let refusal = session.refusal("SELECT rag.wait_until_current('c', '60 s')").await?;
        let message = format!("the {missing} of collection \"c\" no longer exists");
        refusal.expect("42P01", &message, "rag.drop_collection")?;
        session.batch_execute("SELECT rag.drop_collection('c')").await?;
        let left: i64 = session.value("SELECT count(*) FROM rag.collections").await?;
        ensure!(left == 0, "{drop}");
    }
    Ok(())
}

async fn a_column_that_is_dropped_with_its_type_is_noticed() -> Result<()> {
    let session = shared().await?.session().await?;
    session
        .batch_execute(
            "CREATE TYPE kind AS ENUM ('page', 'note'); CREATE TABLE t (id int PRIMARY KEY, body text, kind kind);
             INSERT INTO t VALUES (1, 'one', 'page');
             SELECT rag.create_collection('c', 't', 'body', metadata => '{kind}')",
        )
        .await?;
    converged(&session).await?;
    session.batch_execute("DROP TYPE kind CASCADE").await?;
    let row = session.query_one("SELECT state, reason FROM rag.collections", &[]).await?;
    ensure!(row.get::<_, &str>(0) == "failed", "{row:?}");
    ensure!(
        row.get::<_, &str>(1).contains("column \"kind\" of the source of collection \"c\" no longer exists"),
        "{row:?}"
    );
    session.take_notices();
    session.batch_execute("INSERT INTO t VALUES (2, 'two')").await?;
    let notices = session.take_notices();
    ensure!(notices.is_empty(), "a write complains: {notices:?}");
    session.batch_execute("ALTER TABLE t ADD COLUMN kind text DEFAULT 'is back'").await?;
    converged(&session).await
}
