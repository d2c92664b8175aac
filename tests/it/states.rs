//! The states of collections, as both views show them.

use crate::followed::{current, make};
use crate::generate::with;
use anyhow::ensure;
use futures_util::future::join;
use libtest_mimic::Trial;
use ragstone_tests::Result;
use ragstone_tests::provider::{Gate, Reply};
use ragstone_tests::server::shared;
use ragstone_tests::session::Session;
use ragstone_tests::wait;

pub fn tests() -> Vec<Trial> {
    ragstone_tests::tests![
        a_collection_goes_through_its_states,
        a_manual_collection_is_creating_and_then_current,
        rows_that_failed_make_no_collection_fail,
        rows_that_others_have_locked_are_waited_for,
        every_statement_of_a_worker_finds_its_rows_by_an_index,
        the_view_does_not_wait_for_a_lock,
    ]
}

/// Waits until both views show the collection `notes` in a state, and returns the reason. Fails unless the
/// views show since when.
async fn until_both(session: &Session, state: &str) -> Result<Option<String>> {
    wait::until(&format!("the collection is {state}"), async || {
        let row = session
            .query_opt(
                "SELECT c.reason, s.since IS NOT NULL, s.rows_per_second IS NULL OR s.time_to_drain IS NOT NULL
                 FROM rag.collections c JOIN rag.stat_collection s ON s.collection = c.name
                 WHERE c.name = 'notes' AND (c.state, s.state) = ($1, $1) AND c.reason IS NOT DISTINCT FROM s.reason",
                &[&state],
            )
            .await?;
        let Some(row) = row else { return Ok(None) };
        ensure!(row.get::<_, bool>(1), "{state}: since when?");
        ensure!(row.get::<_, bool>(2), "{state}: a rate, and no time to drain");
        Ok(Some(row.get::<_, Option<String>>(0)))
    })
    .await
}

async fn a_collection_goes_through_its_states() -> Result<()> {
    let (session, provider) = with([Reply::embeddings(8)]).await?;
    session
        .batch_execute(
            "CREATE TABLE notes (id int PRIMARY KEY, body text); INSERT INTO notes SELECT i, 'note ' || i FROM generate_series(1, 5) i",
        )
        .await?;
    let gate = Gate::new();
    // The first text is embedded to determine the number of dimensions.
    provider.script([Reply::embeddings(8), Reply::embeddings(8).behind(&gate)]);
    session
        .batch_execute("SELECT rag.create_collection('notes', 'notes', 'body', model => 'stub/small')")
        .await?;
    ensure!(until_both(&session, "filling").await?.is_none());
    wait::until("five rows are left", async || {
        let left: i64 = session.value("SELECT rows_left FROM rag.stat_collection").await?;
        Ok((left == 5).then_some(()))
    })
    .await?;
    gate.open();
    until_both(&session, "current").await?;
    ensure!(session.value::<i64>("SELECT rows_left FROM rag.stat_collection").await? == 0);
    let gate = Gate::new();
    provider.script([Reply::embeddings(8).behind(&gate)]);
    session.batch_execute("INSERT INTO notes VALUES (6, 'a change')").await?;
    ensure!(until_both(&session, "indexing").await?.is_none());
    gate.open();
    until_both(&session, "current").await?;
    provider.script([Reply::status(503)]);
    session.batch_execute("INSERT INTO notes VALUES (7, 'another')").await?;
    let reason = until_both(&session, "waiting").await?.unwrap_or_default();
    ensure!(
        reason.starts_with("38000: provider \"stub\" refused the request: status 503 (hint: "),
        "{reason}"
    );
    ensure!(session.value::<bool>("SELECT next_try IS NOT NULL FROM rag.collections").await?);
    provider.script([Reply::embeddings(8)]);
    until_both(&session, "current").await?;
    session.batch_execute("DROP TABLE notes").await?;
    let reason = until_both(&session, "failed").await?.unwrap_or_default();
    ensure!(reason.starts_with("the source no longer exists (hint: "), "{reason}");
    session.batch_execute("SELECT rag.drop_collection('notes')").await?;
    Ok(())
}

async fn a_manual_collection_is_creating_and_then_current() -> Result<()> {
    let server = shared().await?;
    let (session, provider) = with([Reply::embeddings(8)]).await?;
    let other = server.connect_beside(&session).await?;
    session
        .batch_execute(
            "CREATE TABLE notes (id int PRIMARY KEY, body text); INSERT INTO notes VALUES (1, 'one')",
        )
        .await?;
    let gate = Gate::new();
    provider.script([Reply::embeddings(8), Reply::embeddings(8).behind(&gate)]);
    let create =
        "SELECT rag.create_collection('notes', 'notes', 'body', model => 'stub/small', sync => 'manual')";
    let seen = async {
        until_both(&other, "creating").await?;
        gate.open();
        Ok::<_, anyhow::Error>(())
    };
    let (created, seen) = join(session.batch_execute(create), seen).await;
    created?;
    seen?;
    until_both(&session, "current").await?;
    // Nothing follows the source.
    session.batch_execute("INSERT INTO notes VALUES (2, 'two')").await?;
    until_both(&session, "current").await.map(|_| ())
}

async fn rows_that_failed_make_no_collection_fail() -> Result<()> {
    let (session, provider) = with([Reply::embeddings(8)]).await?;
    session
        .batch_execute(
            "CREATE TABLE notes (id int PRIMARY KEY, body text);
             SELECT rag.create_collection('notes', 'notes', 'body', model => 'stub/small')",
        )
        .await?;
    until_both(&session, "current").await?;
    provider.script([Reply::status(422)]);
    session.batch_execute("INSERT INTO notes VALUES (1, 'refused')").await?;
    wait::until("the row is retried", async || {
        let reason: Option<String> = session
            .value("SELECT (SELECT reason FROM rag.collections WHERE state = 'indexing' AND next_try IS NOT NULL)")
            .await?;
        Ok(reason.filter(|reason| reason == "rows that failed are tried again: see rag.failed"))
    })
    .await?;
    session.batch_execute("UPDATE rag._failure SET retry_at = NULL").await?;
    wait::until("the row is given up", async || {
        let row = session
            .query_one("SELECT state, failed FROM rag.stat_collection WHERE collection = 'notes'", &[])
            .await?;
        session.batch_execute("UPDATE rag._failure SET retry_at = NULL WHERE retry_at IS NOT NULL").await?;
        Ok(((row.get::<_, &str>(0), row.get::<_, i64>(1)) == ("current", 1)).then_some(()))
    })
    .await?;
    ensure!(session.value::<bool>("SELECT rag.wait_until_current('notes', '60s')").await?);
    Ok(())
}

async fn rows_that_others_have_locked_are_waited_for() -> Result<()> {
    let server = shared().await?;
    let (session, _provider) = with([Reply::embeddings(8)]).await?;
    let other = server.connect_beside(&session).await?;
    session
        .batch_execute(
            "CREATE TABLE notes (id int PRIMARY KEY, body text);
             INSERT INTO notes SELECT i, 'note number ' || i FROM generate_series(1, 20) i",
        )
        .await?;
    other.batch_execute("BEGIN; SELECT FROM notes WHERE id = 7 FOR UPDATE").await?;
    session
        .batch_execute("SELECT rag.create_collection('notes', 'notes', 'body', model => 'stub/small')")
        .await?;
    let reason = until_both(&session, "waiting").await?;
    ensure!(
        reason
            .as_deref()
            .is_some_and(|reason| reason.starts_with("55P03: other sessions lock or change the rows")),
        "{reason:?}"
    );
    ensure!(session.value::<i64>("SELECT count(*) FROM notes_chunks").await? == 19);
    other.batch_execute("COMMIT").await?;
    until_both(&session, "current").await?;
    ensure!(session.value::<i64>("SELECT count(*) FROM notes_chunks").await? == 20);
    Ok(())
}

/// The tables that can be large, each with its number of sequential scans.
const FULL_SCANS: &str =
    "SELECT string_agg(relname || ' ' || seq_scan, ', ' ORDER BY relname) FROM pg_stat_user_tables
     WHERE relname IN ('_queue', '_failure', 'c_chunks', 'c_terms')";

/// Plans are made while the tables are empty, and the statistics remain those of empty tables.
async fn every_statement_of_a_worker_finds_its_rows_by_an_index() -> Result<()> {
    let session = shared().await?.session().await?;
    make(&session, 3, "").await?;
    session
        .batch_execute(
            "ALTER TABLE rag._queue SET (autovacuum_enabled = off); ALTER TABLE rag._failure SET (autovacuum_enabled = off);
             ALTER TABLE c_chunks SET (autovacuum_enabled = off); ALTER TABLE c_terms SET (autovacuum_enabled = off);
             UPDATE pg_class SET reltuples = 0, relpages = 1 WHERE relname IN ('_queue', '_failure', 'c_chunks', 'c_terms');
             INSERT INTO rag._failure (collection, key, attempts, sqlstate, message)
             SELECT (SELECT id FROM rag.collection), ARRAY['none ' || i], 9, '22000', 'of old' FROM generate_series(1, 2000) i",
        )
        .await?;
    session.batch_execute("INSERT INTO t VALUES (4, 'plans are made')").await?;
    current(&session).await?;
    // A session reports its statistics when it has been idle for a while, or here; a worker reports them once
    // a second.
    session.batch_execute("SELECT pg_stat_force_next_flush()").await?;
    let reported = async |rows: i64| {
        wait::until("statistics are reported", async || {
            let inserted: i64 = session
                .value("SELECT coalesce(pg_stat_get_tuples_inserted('c_chunks'::regclass), 0)")
                .await?;
            Ok((inserted >= rows).then_some(()))
        })
        .await
    };
    reported(4).await?;
    let before: String = session.value(FULL_SCANS).await?;
    session
        .batch_execute(
            "INSERT INTO t SELECT i, 'row ' || i FROM generate_series(10, 409) i; UPDATE t SET body = body || '.' WHERE id < 10",
        )
        .await?;
    current(&session).await?;
    session.batch_execute("DELETE FROM t WHERE id BETWEEN 300 AND 320").await?;
    current(&session).await?;
    reported(408).await?;
    let after: String = session.value(FULL_SCANS).await?;
    ensure!(after == before, "before: {before}, after: {after}");
    Ok(())
}

async fn the_view_does_not_wait_for_a_lock() -> Result<()> {
    let server = shared().await?;
    let session = server.session().await?;
    make(&session, 3, "").await?;
    let locker = server.connect_beside(&session).await?;
    locker.batch_execute("BEGIN; LOCK TABLE c_chunks IN ACCESS EXCLUSIVE MODE").await?;
    let bytes = "SELECT bytes FROM rag.stat_collection WHERE collection = 'c'";
    session.batch_execute("SET lock_timeout = '10s'").await?;
    ensure!(session.value::<Option<i64>>(bytes).await?.is_none(), "the size of a locked table");
    locker.batch_execute("ROLLBACK").await?;
    ensure!(session.value::<Option<i64>>(bytes).await?.is_some_and(|bytes| bytes > 0));
    Ok(())
}
