//! Which entries of the queue are processed, and when.

use crate::followed::{converged, make};
use anyhow::{Context, ensure};
use futures_util::future::join;
use libtest_mimic::Trial;
use ragstone_tests::Result;
use ragstone_tests::process::Process;
use ragstone_tests::server::{Options, Server, shared};
use ragstone_tests::session::Session;
use ragstone_tests::wait;
use std::time::Duration;

pub fn tests() -> Vec<Trial> {
    ragstone_tests::tests![
        a_change_that_is_committed_after_later_ones_does_not_wait,
        a_claim_reads_a_window_of_a_long_queue,
        entries_are_deleted_by_their_numbers_whatever_statistics_say,
        pauses_grow_while_the_engine_is_away,
        a_change_during_the_write_of_an_older_one_is_not_lost,
        a_delete_during_the_write_of_its_row_leaves_no_chunk,
        long_rows_are_read_one_by_one,
        a_refresh_reads_few_long_rows_at_a_time,
        a_collection_that_is_dropped_meanwhile_is_forgotten,
        a_refresh_and_the_worker_do_not_write_the_same_chunks,
    ]
}

const CREATE: &str = "
    CREATE TABLE t (id int PRIMARY KEY, body text);
    SELECT rag.create_collection('c', 't', 'body')";

async fn until_current(session: &Session) -> Result<()> {
    let current: bool = session.value("SELECT rag.wait_until_current('c', '60s')").await?;
    ensure!(current, "not current after 60 s");
    Ok(())
}

/// A change gets its number before its commit, so lower numbers may appear after higher ones were processed.
async fn a_change_that_is_committed_after_later_ones_does_not_wait() -> Result<()> {
    let server = shared().await?;
    let session = server.session().await?;
    session.batch_execute(CREATE).await?;
    until_current(&session).await?;
    let slow = server.connect_beside(&session).await?;
    slow.batch_execute("BEGIN; INSERT INTO t VALUES (1, 'the slow one')").await?;
    session.batch_execute("INSERT INTO t VALUES (2, 'the fast one')").await?;
    let count = "SELECT count(*) FROM c_chunks";
    wait::until("the later change is done", async || {
        Ok((session.value::<i64>(count).await? == 1).then_some(()))
    })
    .await?;
    slow.batch_execute("COMMIT").await?;
    // Several times the worker's longest sleep.
    wait::until_within(Duration::from_secs(4), "the earlier change is done", async || {
        Ok((session.value::<i64>(count).await? == 2).then_some(()))
    })
    .await
}

/// A claim does not read the whole of a long queue: neither if statistics say that all entries are of one
/// kind, nor if deleted entries stay in the index because of an older open transaction.
async fn a_claim_reads_a_window_of_a_long_queue() -> Result<()> {
    let server = Server::start_with(Options::default().set("rag.sync_workers", "1")).await?;
    let session = server.session().await?;
    session.batch_execute(CREATE).await?;
    until_current(&session).await?;
    session
        .batch_execute(
            "BEGIN;
             INSERT INTO rag._queue (collection, is_fill, key)
               SELECT id, true, ARRAY[g::text] FROM rag.collection, generate_series(1, 120000) g;
             ANALYZE rag._queue;
             COMMIT;
             BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT",
        )
        .await?;
    let other = server.connect_beside(&session).await?;
    other.batch_execute("INSERT INTO t VALUES (1, 'which wakes the worker')").await?;
    let read: i64 =
        wait::until("the entries are done, and the worker has reported what it read", async || {
            let sql = "SELECT sum(idx_tup_read)::bigint FROM pg_stat_all_indexes
                   WHERE relid = 'rag._queue'::regclass AND pg_stat_get_tuples_deleted(relid) > 120000";
            other.value::<Option<i64>>(sql).await
        })
        .await?;
    // A claim of 128 rows reads up to 512 entries and those in progress, and once a second all entries are
    // read: about five million. If each of 940 claims read all of them, it would be over a hundred million.
    ensure!(read < 30_000_000, "{read} entries were read to do 120,000");
    session.batch_execute("COMMIT").await?;
    Ok(())
}

/// A queue that was analyzed while it was empty has statistics by which reading all of it costs less than looking up some entries.
async fn entries_are_deleted_by_their_numbers_whatever_statistics_say() -> Result<()> {
    const ENTRIES: i64 = 20_000;
    let server = Server::start_with(Options::default().set("rag.sync_workers", "1")).await?;
    let session = server.session().await?;
    session.batch_execute(CREATE).await?;
    until_current(&session).await?;
    session
        .batch_execute(&format!(
            "ALTER TABLE rag._queue SET (autovacuum_enabled = off);
             UPDATE pg_class SET reltuples = 0, relpages = 500 WHERE oid = 'rag._queue'::regclass;
             INSERT INTO rag._queue (collection, is_fill, key)
               SELECT id, true, ARRAY[g::text] FROM rag.collection, generate_series(1, {ENTRIES}) g;
             INSERT INTO t VALUES (1, 'which wakes the worker')"
        ))
        .await?;
    let sql = format!(
        "SELECT sum(idx_tup_read)::bigint FROM pg_stat_all_indexes
         WHERE relid = 'rag._queue'::regclass AND pg_stat_get_tuples_deleted(relid) > {ENTRIES}"
    );
    let read: i64 =
        wait::until("the entries are done, and the worker has reported what it read", async || {
            session.value::<Option<i64>>(&sql).await
        })
        .await?;
    // A claim of 128 rows reads up to 512 entries and those in progress, some forty for each that is done. Where each deletion read all
    // entries it would be about eighty more.
    ensure!(read < 60 * ENTRIES, "{read} entries were read to do {ENTRIES}");
    Ok(())
}

async fn pauses_grow_while_the_engine_is_away() -> Result<()> {
    let server = Server::start().await?;
    let session = server.session().await?;
    session.batch_execute(CREATE).await?;
    until_current(&session).await?;
    server.configure(&Options::default().set("rag.engine_path", "/nowhere"))?;
    session.batch_execute("SELECT pg_reload_conf(); INSERT INTO t VALUES (1, 'one')").await?;
    wait::until("the sixth pause starts", async || {
        let sql = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'ragstone: waiting 3.2s %'";
        Ok((session.value::<i64>(sql).await? == 1).then_some(()))
    })
    .await?;
    let said = server.log()?.matches("ragstone worker: 57P03").count();
    ensure!(said == 1, "the failure was logged {said} times");
    ensure!(session.value::<i64>("SELECT count(*) FROM rag._failure").await? == 0, "a row was charged");
    server.configure(&Options::default().set("rag.engine_path", ""))?;
    session.batch_execute("SELECT pg_reload_conf()").await?;
    until_current(&session).await
}

/// Stops the worker in the middle of the transaction that writes row 4, while the session holds a lock.
async fn stopped_while_writing(session: &Session) -> Result<()> {
    make(session, 3, "").await?;
    session
        .batch_execute(
            "CREATE FUNCTION halt() RETURNS boolean LANGUAGE plpgsql AS
               $$ BEGIN WHILE NOT pg_try_advisory_xact_lock(42) LOOP PERFORM pg_sleep(0.01); END LOOP; RETURN true; END $$;
             ALTER TABLE c_chunks ADD CONSTRAINT halt CHECK (CASE WHEN content = 'first' THEN halt() ELSE true END) NOT VALID;
             SELECT pg_advisory_lock(42);
             INSERT INTO t VALUES (4, 'first')",
        )
        .await?;
    wait::until("the worker has read the row and writes it", async || {
        let waiting: i64 = session
            .value("SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'ragstone worker' AND wait_event = 'PgSleep'")
            .await?;
        Ok((waiting == 1).then_some(()))
    })
    .await
}

async fn another(server: &Server, session: &Session) -> Result<Session> {
    server.connect(&session.value::<String>("SELECT current_database()::text").await?).await
}

async fn a_change_during_the_write_of_an_older_one_is_not_lost() -> Result<()> {
    let server = Server::start().await?;
    let session = server.session().await?;
    stopped_while_writing(&session).await?;
    let writer = another(&server, &session).await?;
    // The writer does not wait for the worker.
    writer.batch_execute("SET lock_timeout = '2s'; UPDATE t SET body = 'second' WHERE id = 4").await?;
    session.batch_execute("SELECT pg_advisory_unlock(42)").await?;
    converged(&session).await
}

async fn a_delete_during_the_write_of_its_row_leaves_no_chunk() -> Result<()> {
    let server = Server::start().await?;
    let session = server.session().await?;
    stopped_while_writing(&session).await?;
    let writer = another(&server, &session).await?;
    let delete = writer.batch_execute("DELETE FROM t WHERE id = 4");
    let release = async {
        wait::until("the delete waits for the worker", async || {
            let waiting: i64 =
                session.value("SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'DELETE%' AND wait_event_type = 'Lock'").await?;
            Ok((waiting == 1).then_some(()))
        })
        .await?;
        session.batch_execute("SELECT pg_advisory_unlock(42)").await?;
        Ok(())
    };
    let (deleted, released): (_, Result<()>) = join(delete, release).await;
    released?;
    deleted?;
    let left: i64 = session.value("SELECT count(*) FROM c_chunks WHERE key_1 = 4").await?;
    ensure!(left == 0, "{left} chunks of a deleted row are left");
    converged(&session).await
}

/// Sixteen rows of 6 MB, of which the worker should hold one at a time. They consist mostly of spaces, so
/// that they have few chunks.
async fn long_rows_are_read_one_by_one() -> Result<()> {
    // An idle worker leaves where another database needs its slot.
    let server = Server::start().await?;
    let session = server.session().await?;
    session.batch_execute(CREATE).await?;
    until_current(&session).await?;
    let watcher = server.connect_beside(&session).await?;
    let pid = "SELECT pid FROM pg_stat_activity WHERE backend_type = 'ragstone worker' AND datname = current_database()";
    let worker = Process(watcher.value(pid).await?);
    let writing = async {
        let insert = "INSERT INTO t SELECT g, g || repeat(' ', 6000000) FROM generate_series(1, 16) g";
        session.batch_execute(insert).await?;
        until_current(&session).await
    };
    let mut most = 0;
    let watching = wait::until("all rows are done", async || {
        most = most.max(worker.anonymous_bytes().context("the worker has gone")?);
        Ok((watcher.value::<i64>("SELECT count(*) FROM c_chunks").await? == 16).then_some(()))
    });
    let (written, watched) = join(writing, watching).await;
    written?;
    watched?;
    eprintln!("the worker had {} MB at most", most >> 20);
    ensure!(most < 75 << 20, "the worker had {} MB", most >> 20);
    Ok(())
}

/// Sixteen rows of 12 MB after many short ones.
async fn a_refresh_reads_few_long_rows_at_a_time() -> Result<()> {
    let server = shared().await?;
    let session = server.session().await?;
    session
        .batch_execute(
            "CREATE TABLE t (id int PRIMARY KEY, body text); INSERT INTO t SELECT g, 'short' FROM generate_series(1, 1100) g;
             SELECT rag.create_collection('c', 't', 'body', sync => 'manual');
             INSERT INTO t SELECT g, g || repeat(' ', 12000000) FROM generate_series(1101, 1116) g",
        )
        .await?;
    let watcher = server.connect_beside(&session).await?;
    let refreshing = Process(session.value("SELECT pg_backend_pid()").await?);
    let is_done = std::cell::Cell::new(false);
    let mut most = 0;
    let refresh = async {
        session.batch_execute("SELECT rag.refresh_collection('c')").await?;
        is_done.set(true);
        Ok(())
    };
    let watching = wait::until("the refresh has ended", async || {
        most = most.max(refreshing.anonymous_bytes().context("the session has gone")?);
        watcher.batch_execute("SELECT").await?;
        Ok(is_done.get().then_some(()))
    });
    let (refreshed, watched): (Result<()>, _) = join(refresh, watching).await;
    refreshed?;
    watched?;
    eprintln!("the session had {} MB at most", most >> 20);
    ensure!(most < 250 << 20, "the session had {} MB", most >> 20);
    Ok(())
}

/// The worker neither reports work for the collection nor keeps running for it.
async fn a_collection_that_is_dropped_meanwhile_is_forgotten() -> Result<()> {
    let server = Server::start_with(Options::default().set("rag.sync_idle_timeout", "1s")).await?;
    let session = server.session().await?;
    session.batch_execute(CREATE).await?;
    until_current(&session).await?;
    session.batch_execute("INSERT INTO t SELECT g, 'row ' || g FROM generate_series(1, 3000) g").await?;
    wait::until("the worker has written chunks", async || {
        Ok((session.value::<i64>("SELECT count(*) FROM c_chunks").await? > 0).then_some(()))
    })
    .await?;
    session.batch_execute("SELECT rag.drop_collection('c')").await?;
    let workers = "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'ragstone worker'";
    wait::until("the worker has exited", async || {
        Ok((session.value::<i64>(workers).await? == 0).then_some(()))
    })
    .await?;
    let left: i64 = session.value("SELECT count(*) FROM rag.collections").await?;
    ensure!(left == 0, "{left} collections are left");
    Ok(())
}

async fn a_refresh_and_the_worker_do_not_write_the_same_chunks() -> Result<()> {
    let session = shared().await?.session().await?;
    session
        .batch_execute(
            "CREATE TABLE t (id int PRIMARY KEY, body text);
             INSERT INTO t SELECT i, 'row ' || i FROM generate_series(1, 30) i;
             SELECT rag.create_collection('c', 't', 'body')",
        )
        .await?;
    ensure!(session.value::<bool>("SELECT rag.wait_until_current('c', '60s')").await?);
    for round in 0..25 {
        session.batch_execute(&format!("UPDATE t SET body = 'row ' || id || ' of round {round}'")).await?;
        session.batch_execute("SELECT rag.refresh_collection('c')").await?;
    }
    ensure!(session.value::<bool>("SELECT rag.wait_until_current('c', '60s')").await?);
    let chunks: i64 =
        session.value("SELECT count(*) FROM c_chunks WHERE content LIKE '% of round 24'").await?;
    ensure!(chunks == 30, "{chunks} chunks");
    Ok(())
}
