//! The life cycle of a database's worker, and its handling of failures.

use crate::capture::{away, back};
use crate::followed::{converged, current, make, same};
use anyhow::ensure;
use libtest_mimic::Trial;
use nix::sys::signal::Signal;
use ragstone_tests::Result;
use ragstone_tests::server::{Options, Server, shared};
use ragstone_tests::session::Session;
use ragstone_tests::wait;
use std::time::{Duration, Instant};

pub fn tests() -> Vec<Trial> {
    ragstone_tests::tests![
        create_returns_before_the_collection_is_filled,
        one_failing_row_among_many_is_listed_and_stops_nothing,
        a_failed_row_comes_back_when_it_changes,
        a_minute_without_an_engine_charges_nothing_and_loses_nothing,
        two_workers_fill_one_collection,
        workers_leave_slots_to_others,
        a_worker_that_only_waits_leaves_its_slot,
        drop_database_succeeds_under_load,
        drop_extension_waits_for_no_worker,
        drop_table_pg_dump_and_vacuum_are_not_blocked,
        an_idle_worker_holds_nothing_and_leaves,
        a_preloaded_server_starts_its_workers,
        a_row_that_another_session_changes_is_left_for_later,
        a_row_deleted_while_it_is_embedded_leaves_no_chunk,
        current_is_notified,
        stat_collection_says_how_far_it_is_behind,
        a_standby_is_not_written_to,
        waiting_can_be_cancelled,
    ]
}

const WORKERS: &str = "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'ragstone worker'";

async fn create_returns_before_the_collection_is_filled() -> Result<()> {
    let server = Server::start().await?;
    let session = server.session().await?;
    make(&session, 3, "").await?;
    away(&server, &session).await?;
    session
        .batch_execute(
            "CREATE TABLE u (id int PRIMARY KEY, body text); INSERT INTO u VALUES (1, 'one'), (2, 'two');",
        )
        .await?;
    // The statement only describes the model, for which it needs an engine.
    back(&server, &session).await?;
    session.batch_execute("BEGIN; SELECT rag.create_collection('d', 'u', 'body')").await?;
    let state: String = session.value("SELECT state FROM rag.collections WHERE name = 'd'").await?;
    ensure!(state == "filling", "{state}");
    let found: i64 = session.value("SELECT count(*) FROM rag.search('d', 'one')").await?;
    ensure!(found == 0);
    let notices = session.take_notices();
    ensure!(notices.iter().any(|notice| notice.message.contains("is being filled")), "{notices:?}");
    session.batch_execute("COMMIT").await?;
    ensure!(session.value::<bool>("SELECT rag.wait_until_current('d', '60s')").await?);
    Ok(())
}

const REFUSING: &str = "CREATE FUNCTION refuse(content text) RETURNS boolean LANGUAGE plpgsql AS
      $$ BEGIN IF content LIKE '%poison%' THEN RAISE 'no poison here'; END IF; RETURN true; END $$;
    ALTER TABLE c_chunks ADD CONSTRAINT refuse CHECK (refuse(content)) NOT VALID;";

async fn one_failing_row_among_many_is_listed_and_stops_nothing() -> Result<()> {
    let server = Server::start_with(Options::default().set("rag.sync_max_attempts", "2")).await?;
    let session = server.session().await?;
    make(&session, 3, "").await?;
    session.batch_execute(REFUSING).await?;
    session
        .batch_execute(
            "INSERT INTO t SELECT i, CASE WHEN i = 5000 THEN 'poison' ELSE 'row ' || i % 100 END
             FROM generate_series(4, 10000) i",
        )
        .await?;
    wait::until("the row is given up", async || {
        let row = session
            .query_opt("SELECT key::text, attempts, message, retry_at::text FROM rag.failed", &[])
            .await?;
        Ok(row.filter(|row| row.get::<_, Option<String>>(3).is_none()))
    })
    .await?;
    current(&session).await?;
    let row = session.query_one("SELECT key::text, attempts, sqlstate, message FROM rag.failed", &[]).await?;
    ensure!(row.get::<_, String>(0) == "{5000}" && row.get::<_, i32>(1) == 2, "{row:?}");
    ensure!(row.get::<_, String>(2) == "P0001" && row.get::<_, String>(3) == "no poison here", "{row:?}");
    ensure!(session.value::<i64>("SELECT count(*) FROM c_chunks").await? == 9999);
    session.batch_execute("ALTER TABLE c_chunks DROP CONSTRAINT refuse").await?;
    ensure!(session.value::<i64>("SELECT rag.retry_failed('c')").await? == 1);
    converged(&session).await?;
    ensure!(session.value::<i64>("SELECT count(*) FROM rag.failed").await? == 0);
    Ok(())
}

async fn a_failed_row_comes_back_when_it_changes() -> Result<()> {
    let server = Server::start_with(Options::default().set("rag.sync_max_attempts", "1")).await?;
    let session = server.session().await?;
    make(&session, 3, "").await?;
    session.batch_execute(REFUSING).await?;
    session.batch_execute("INSERT INTO t VALUES (4, 'poison')").await?;
    current(&session).await?;
    ensure!(session.value::<i64>("SELECT count(*) FROM rag.failed").await? == 1);
    session.batch_execute("UPDATE t SET body = 'honey' WHERE id = 4").await?;
    converged(&session).await?;
    ensure!(session.value::<i64>("SELECT count(*) FROM rag.failed").await? == 0);
    Ok(())
}

/// Long enough for more failures than a row may have; the pauses grow to 10 s.
const OUTAGE: Duration = Duration::from_secs(60);

async fn a_minute_without_an_engine_charges_nothing_and_loses_nothing() -> Result<()> {
    let server = Server::start_with(Options::default().set("rag.request_timeout", "300ms")).await?;
    let session = server.session().await?;
    session.batch_execute("SET rag.request_timeout = '60s'; SELECT rag.embed('the model is loaded')").await?;
    make(&session, 3, "").await?;
    away(&server, &session).await?;
    let (start, mut rows) = (Instant::now(), 3);
    while start.elapsed() < OUTAGE {
        let insert = format!(
            "INSERT INTO t SELECT i, 'row ' || i FROM generate_series({}, {}) i",
            rows + 1,
            rows + 20
        );
        session.batch_execute(&insert).await?;
        rows += 20;
        ensure!(
            !session.value::<bool>("SELECT rag.wait_until_current('c', '1s')").await?,
            "without an engine"
        );
    }
    wait::until("the worker backs off", async || {
        let activity: i64 = session
            .value("SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'ragstone: waiting % after a failure'")
            .await?;
        Ok((activity == 1).then_some(()))
    })
    .await?;
    ensure!(session.value::<i64>("SELECT count(*) FROM rag._failure").await? == 0, "a row was charged");
    let queued: i64 = session.value("SELECT count(*) FROM rag._queue").await?;
    ensure!(queued == rows - 3, "{queued} changes are queued, expected {}", rows - 3);
    ensure!(session.value::<String>("SELECT state FROM rag.collections").await? != "failed");
    session.batch_execute("ALTER SYSTEM SET rag.request_timeout = '60s'").await?;
    back(&server, &session).await?;
    converged(&session).await?;
    let chunks: i64 = session.value("SELECT count(*) FROM c_chunks").await?;
    ensure!(chunks == rows, "{chunks} chunks, expected {rows}");
    Ok(())
}

async fn two_workers_fill_one_collection() -> Result<()> {
    let server = Server::start_with(Options::default().set("rag.sync_workers", "2")).await?;
    let session = server.session().await?;
    make(&session, 3, "").await?;
    session
        .batch_execute("INSERT INTO t SELECT i, 'text of row ' || i FROM generate_series(4, 3000) i")
        .await?;
    wait::until("two workers work", async || {
        let workers: i64 = session.value(WORKERS).await?;
        Ok((workers == 2).then_some(()))
    })
    .await?;
    session
        .batch_execute(
            "UPDATE t SET body = body || ' changed' WHERE id % 3 = 0; DELETE FROM t WHERE id % 7 = 0",
        )
        .await?;
    converged(&session).await
}

fn one_worker() -> Options {
    Options::default().set("rag.max_sync_workers", "1").set("max_worker_processes", "3")
}

async fn a_worker_that_only_waits_leaves_its_slot() -> Result<()> {
    let server = Server::start_with(one_worker()).await?;
    let waiting = server.session().await?;
    make(&waiting, 3, "").await?;
    waiting.batch_execute("CREATE ROLE o; ALTER TABLE t OWNER TO o; UPDATE t SET body = 'new'").await?;
    make(&server.session().await?, 3, "").await
}

async fn workers_leave_slots_to_others() -> Result<()> {
    let server = Server::start_with(one_worker()).await?;
    let mut sessions = Vec::new();
    for _ in 0..4 {
        let session = server.session().await?;
        make(&session, 3, "").await?;
        ensure!(session.value::<i64>(WORKERS).await? <= 1);
        sessions.push(session);
    }
    for session in &sessions {
        session.batch_execute("INSERT INTO t VALUES (4, 'one more')").await?;
    }
    for session in &sessions {
        converged(session).await?;
    }
    Ok(())
}

async fn drop_database_succeeds_under_load() -> Result<()> {
    let server = shared().await?;
    let session = server.session().await?;
    let database: String = session.value("SELECT current_database()::text").await?;
    make(&session, 3, "").await?;
    session.batch_execute("INSERT INTO t SELECT i, 'row ' || i FROM generate_series(4, 20000) i").await?;
    session.close().await?;
    let admin = server.connect("postgres").await?;
    // PostgreSQL raises an error after five seconds.
    admin.batch_execute(&format!("DROP DATABASE {database}")).await?;
    Ok(())
}

/// Number of rows of `t` that the worker has indexed.
const CHUNKED: &str = "SELECT count(*) FROM c_chunks";

async fn drop_extension_waits_for_no_worker() -> Result<()> {
    let session = shared().await?.session().await?;
    make(&session, 3, "").await?;
    session.batch_execute("INSERT INTO t SELECT i, 'row ' || i FROM generate_series(4, 5000) i").await?;
    session.batch_execute("DROP EXTENSION ragstone CASCADE").await?;
    ensure!(session.value::<i64>(CHUNKED).await? < 5000, "the worker's work was waited for");
    session.batch_execute("INSERT INTO t VALUES (0, 'nobody notes this')").await?;
    wait::until("the worker has exited", async || {
        let workers: i64 = session.value(&format!("{WORKERS} AND datname = current_database()")).await?;
        Ok((workers == 0).then_some(()))
    })
    .await
}

async fn drop_table_pg_dump_and_vacuum_are_not_blocked() -> Result<()> {
    let server = shared().await?;
    let session = server.session().await?;
    make(&session, 3, "").await?;
    session.batch_execute("INSERT INTO t SELECT i, 'row ' || i FROM generate_series(4, 5000) i").await?;
    let database: String = session.value("SELECT current_database()::text").await?;
    let dump = server.client("pg_dump")?.args(["--dbname", &database]).output()?;
    ensure!(dump.status.success());
    session.batch_execute("SET lock_timeout = '60s'").await?;
    for table in ["t", "c_chunks", "rag._queue"] {
        session.batch_execute(&format!("VACUUM {table}")).await?;
    }
    session.batch_execute("DROP TABLE t").await?;
    ensure!(session.value::<i64>(CHUNKED).await? < 5000, "the worker's work was waited for");
    Ok(())
}

async fn an_idle_worker_holds_nothing_and_leaves() -> Result<()> {
    let server = Server::start_with(Options::default().set("rag.sync_idle_timeout", "2s")).await?;
    let session = server.session().await?;
    make(&session, 3, "").await?;
    wait::until("the worker is idle", async || {
        let idle: i64 = session.value(&format!("{WORKERS} AND state = 'idle'")).await?;
        Ok((idle == 1).then_some(()))
    })
    .await?;
    let held: i64 = session
        .value(
            "SELECT count(*) FROM pg_stat_activity a LEFT JOIN pg_locks l USING (pid)
             WHERE backend_type = 'ragstone worker' AND (backend_xmin IS NOT NULL OR xact_start IS NOT NULL OR l.pid IS NOT NULL)",
        )
        .await?;
    ensure!(held == 0, "an idle worker holds {held} things");
    wait::until("the worker has exited", async || {
        Ok((session.value::<i64>(WORKERS).await? == 0).then_some(()))
    })
    .await?;
    session.batch_execute("INSERT INTO t VALUES (4, 'it comes back')").await?;
    converged(&session).await
}

async fn a_preloaded_server_starts_its_workers() -> Result<()> {
    let server = Server::start_with(Options::default().set("shared_preload_libraries", "ragstone")).await?;
    let session = server.session().await?;
    make(&session, 3, "").await?;
    server.stop(Signal::SIGINT)?;
    server.restart().await?;
    let admin = server.connect("postgres").await?;
    wait::until("the worker runs", async || Ok((admin.value::<i64>(WORKERS).await? == 1).then_some(()))).await
}

async fn other(server: &Server, session: &Session) -> Result<Session> {
    server.connect(&session.value::<String>("SELECT current_database()::text").await?).await
}

async fn a_row_that_another_session_changes_is_left_for_later() -> Result<()> {
    let server = shared().await?;
    let session = server.session().await?;
    make(&session, 3, "").await?;
    let other = other(&server, &session).await?;
    session.batch_execute("INSERT INTO t VALUES (4, 'four'), (5, 'five')").await?;
    current(&session).await?;
    session.batch_execute("UPDATE t SET body = 'changed ' || id WHERE id > 3").await?;
    current(&session).await?;
    // A DELETE in an open transaction: the row is neither lost nor waited for.
    other.batch_execute("BEGIN; DELETE FROM t WHERE id = 4").await?;
    session.batch_execute("UPDATE t SET body = 'changed again' WHERE id = 5").await?;
    current(&session).await?;
    other.batch_execute("ROLLBACK").await?;
    converged(&session).await
}

async fn a_row_deleted_while_it_is_embedded_leaves_no_chunk() -> Result<()> {
    let server = shared().await?;
    let session = server.session().await?;
    make(&session, 3, "").await?;
    for round in 0..20 {
        session
            .batch_execute(&format!(
                "INSERT INTO t SELECT i, 'round {round} row ' || i FROM generate_series(10, 60) i"
            ))
            .await?;
        session.batch_execute("DELETE FROM t WHERE id >= 10").await?;
    }
    converged(&session).await
}

async fn current_is_notified() -> Result<()> {
    let session = shared().await?.session().await?;
    session.batch_execute("LISTEN rag_current").await?;
    make(&session, 3, "").await?;
    notified(&session).await?;
    session.batch_execute("INSERT INTO t VALUES (4, 'new')").await?;
    notified(&session).await?;
    same(&session).await
}

/// Waits until the session is notified that the collection is current.
async fn notified(session: &Session) -> Result<()> {
    let id: String = session.value("SELECT id::text FROM rag.collections WHERE name = 'c'").await?;
    wait::until("a notification", async || {
        let came = session.take_notifications();
        let wanted = came.iter().any(|one| one.channel() == "rag_current" && one.payload() == id);
        Ok(wanted.then_some(()))
    })
    .await
}

async fn stat_collection_says_how_far_it_is_behind() -> Result<()> {
    let server = Server::start_with(Options::default().set("rag.request_timeout", "60s")).await?;
    let session = server.session().await?;
    make(&session, 10, "").await?;
    let stat = "SELECT rows, chunks, queued, failed, bytes FROM rag.stat_collection WHERE collection = 'c'";
    let row = session.query_one(stat, &[]).await?;
    ensure!(row.get::<_, i64>("rows") == 10 && row.get::<_, i64>("chunks") == 10, "{row:?}");
    ensure!(row.get::<_, i64>("queued") == 0 && row.get::<_, i64>("failed") == 0);
    ensure!(row.get::<_, i64>("bytes") > 8192);
    session.batch_execute("BEGIN; INSERT INTO t VALUES (11, 'queued')").await?;
    let behind: bool = session
        .value("SELECT queued = 1 AND oldest_queued_age < '1 minute' FROM rag.stat_collection")
        .await?;
    ensure!(behind);
    session.batch_execute("COMMIT").await?;
    converged(&session).await
}

async fn a_standby_is_not_written_to() -> Result<()> {
    let server = Server::start().await?;
    let session = server.session().await?;
    make(&session, 10, "").await?;
    let database: String = session.value("SELECT current_database()::text").await?;
    let standby = Server::standby_of(&server).await?;
    let reader = standby.connect(&database).await?;
    session.batch_execute("INSERT INTO t VALUES (11, 'a capybara by the river')").await?;
    current(&session).await?;
    wait::until("the standby has it", async || {
        let first: Option<String> = reader
            .query_opt("SELECT source_key ->> 'id' FROM rag.search('c', 'capybara', k => 1)", &[])
            .await?
            .map(|row| row.get(0));
        Ok((first.as_deref() == Some("11")).then_some(()))
    })
    .await?;
    ensure!(reader.value::<i64>(WORKERS).await? == 0, "a worker runs on the standby");
    let status: String =
        reader.value("SELECT value FROM rag.status() WHERE name = 'synchronisation'").await?;
    ensure!(status.contains("primary"), "{status}");
    reader.refusal("SELECT rag.wait_until_current('c')").await?.expect("55000", "on the primary server", "")
}

async fn waiting_can_be_cancelled() -> Result<()> {
    let server = Server::start().await?;
    let session = server.session().await?;
    make(&session, 3, "").await?;
    away(&server, &session).await?;
    session.batch_execute("INSERT INTO t VALUES (4, 'waits'); SET statement_timeout = '300ms'").await?;
    wait::at_best_within(Duration::from_millis(500), async || {
        let start = Instant::now();
        let refusal = session.refusal("SELECT rag.wait_until_current('c')").await?;
        refusal.expect("57014", "statement timeout", "")?;
        Ok(start.elapsed())
    })
    .await?;
    session.batch_execute("RESET statement_timeout").await?;
    back(&server, &session).await?;
    converged(&session).await?;
    same(&session).await
}
