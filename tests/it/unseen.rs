//! Changes that are not made by a statement of a session.

use crate::followed::{converged, create, make, same};
use libtest_mimic::Trial;
use ragstone_tests::Result;
use ragstone_tests::server::{Options, Server};
use ragstone_tests::session::Session;
use ragstone_tests::wait;

pub fn tests() -> Vec<Trial> {
    ragstone_tests::tests![
        keys_are_compared_now_and_then,
        a_subscriber_is_followed,
        drop_database_ends_a_statement_of_the_worker,
    ]
}

async fn same_at_last(session: &Session) -> Result<()> {
    wait::until("the collection is as its source", async || Ok(same(session).await.ok())).await
}

async fn keys_are_compared_now_and_then() -> Result<()> {
    let server = Server::start_with(Options::default().set("rag.sync_compare_interval", "1s")).await?;
    let session = server.session().await?;
    make(&session, 20, "").await?;
    // No trigger fires for this, and enabling the triggers again reports nothing.
    session
        .batch_execute(
            "ALTER EVENT TRIGGER ragstone_follow_ddl DISABLE; ALTER TABLE t DISABLE TRIGGER USER;
             INSERT INTO t VALUES (100, 'unseen'); DELETE FROM t WHERE id = 3;
             ALTER TABLE t ENABLE TRIGGER USER",
        )
        .await?;
    same_at_last(&session).await
}

async fn a_subscriber_is_followed() -> Result<()> {
    let publisher = Server::start_with(Options::default().set("wal_level", "logical")).await?;
    let source = publisher.session().await?;
    let table = "CREATE TABLE t (id int PRIMARY KEY, body text, title text, seen int)";
    source.batch_execute(table).await?;
    source
        .batch_execute("INSERT INTO t VALUES (1, 'copied at first'); CREATE PUBLICATION p FOR TABLE t")
        .await?;
    let database: String = source.value("SELECT current_database()::text").await?;

    let subscriber = Server::start().await?;
    let session = subscriber.session().await?;
    session.batch_execute(table).await?;
    create(&session, "").await?;
    let from = format!("host={} port=5432 user=postgres dbname={database}", publisher.folder().display());
    session.batch_execute(&format!("CREATE SUBSCRIPTION s CONNECTION '{from}' PUBLICATION p")).await?;
    arrived(&session, "copied at first").await?;
    source
        .batch_execute(
            "INSERT INTO t VALUES (2, 'applied'), (3, 'gone'); UPDATE t SET body = 'changed' WHERE id = 1",
        )
        .await?;
    source.batch_execute("DELETE FROM t WHERE id = 3; INSERT INTO t VALUES (4, 'the last')").await?;
    arrived(&session, "the last").await?;
    converged(&session).await?;
    session.batch_execute("DROP SUBSCRIPTION s").await?;
    Ok(())
}

async fn arrived(session: &Session, body: &str) -> Result<()> {
    wait::until("the row has arrived", async || {
        let there: i64 = session.value_of("SELECT count(*) FROM t WHERE body = $1", &[&body]).await?;
        Ok((there == 1).then_some(()))
    })
    .await
}

async fn drop_database_ends_a_statement_of_the_worker() -> Result<()> {
    let server = Server::start().await?;
    let session = server.session().await?;
    let database: String = session.value("SELECT current_database()::text").await?;
    make(&session, 3, "").await?;
    session
        .batch_execute(
            "CREATE FUNCTION dawdle() RETURNS boolean LANGUAGE plpgsql AS
               $$ BEGIN PERFORM pg_sleep(600); RETURN true; END $$;
             ALTER TABLE c_chunks ADD CHECK (dawdle()) NOT VALID;
             INSERT INTO t VALUES (4, 'takes long')",
        )
        .await?;
    wait::until("the worker is in the middle of a statement", async || {
        let sleeping: i64 = session
            .value(
                "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'ragstone worker' AND wait_event = 'PgSleep'",
            )
            .await?;
        Ok((sleeping == 1).then_some(()))
    })
    .await?;
    session.close().await?;
    let admin = server.connect("postgres").await?;
    // PostgreSQL raises an error after five seconds.
    admin.batch_execute(&format!("DROP DATABASE {database}")).await?;
    Ok(())
}
