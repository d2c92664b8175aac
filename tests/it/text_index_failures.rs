//! Failures around the text index and their limits: damaged pages, an older format, killed merges, a full
//! disk, many concurrent writers.

use crate::generate::{provide, with};
use crate::text_index::{compare, make, make_with};
use anyhow::{Context, ensure};
use futures_util::future::{try_join, try_join_all};
use libtest_mimic::Trial;
use nix::sys::signal::Signal;
use ragstone_tests::preload;
use ragstone_tests::process::Process;
use ragstone_tests::provider::{Provider, Reply};
use ragstone_tests::server::{Options, Server, shared};
use ragstone_tests::session::Session;
use ragstone_tests::{Result, rebuilt, wait};
use std::cell::Cell;
use std::fs;

pub fn tests() -> Vec<Trial> {
    ragstone_tests::tests![
        hybrid_search_goes_on_by_vectors_where_the_index_is_damaged,
        an_index_of_an_older_format_is_built_again,
        an_index_that_postgres_cannot_read_is_built_again,
        a_merge_that_is_killed_is_done_later,
        a_merge_on_a_full_disk_is_done_later,
        sixteen_concurrent_writers_lose_nothing_and_do_not_wait,
    ]
}

/// Number of segments of the collection `c`.
const SEGMENTS: &str = "SELECT count(*) FROM c_terms WHERE page = 0";

/// The numbers of the best chunks, best first.
async fn best(session: &Session, mode: &str) -> Result<Vec<i64>> {
    let sql = "SELECT array_agg(chunk_id ORDER BY rank) FROM rag.search('c', 'w1 w2', k => 5, mode => $1)";
    session.value_of(sql, &[&mode]).await
}

/// A collection whose texts a provider embeds: there are many of them, and their vectors do not matter.
async fn make_by_provider(session: &Session) -> Result<Provider> {
    let provider = Provider::start([Reply::embeddings(8)])?;
    provide(session, &provider).await?;
    make_with(session, ", model => 'stub/small'").await?;
    Ok(provider)
}

/// Starts a worker if there is none; a worker exits if another database needs its slot.
async fn search(session: &Session) -> Result<()> {
    best(session, "text").await.map(|_| ())
}

async fn hybrid_search_goes_on_by_vectors_where_the_index_is_damaged() -> Result<()> {
    let session = shared().await?.session().await?;
    make(&session).await?;
    let by_vectors = best(&session, "vector").await?;
    for damage in [
        "UPDATE c_terms SET data = 'x'",
        "UPDATE c_terms SET data = substr(data, 1, length(data) / 2)",
        "UPDATE c_terms SET data = set_byte(data, 0, 0)",
    ] {
        session.batch_execute(&format!("BEGIN; {damage}")).await?;
        session.take_notices();
        let found = best(&session, "hybrid").await?;
        ensure!(found == by_vectors, "{damage}: {found:?} instead of {by_vectors:?}");
        let warnings = session.take_notices();
        ensure!(warnings.len() == 1, "{damage}: {warnings:?}");
        warnings[0].expect("XX001", "hybrid search goes on by vectors alone: segment", "text => true")?;
        ensure!(warnings[0].detail.contains("collection \"c\""), "{warnings:?}");
        // Only the index can evaluate the query's operators.
        let demanding = "SELECT FROM rag.search('c', 'w1 -w2', syntax => 'web')";
        session.refusal(demanding).await?.expect("XX001", "of the text index is damaged", "text => true")?;
        session.batch_execute("ROLLBACK").await?;
    }
    ensure!(best(&session, "hybrid").await?.len() == 5 && session.take_notices().is_empty());
    Ok(())
}

async fn an_index_of_an_older_format_is_built_again() -> Result<()> {
    let session = shared().await?.session().await?;
    make(&session).await?;
    session
        .batch_execute(
            "SELECT rag.create_collection('by_hand', 't', 'body', sync => 'manual', word_parts => false)",
        )
        .await?;
    let older = "UPDATE c_terms SET data = set_byte(data, 0, 0) WHERE page = 0";
    session.batch_execute(&format!("BEGIN; {older}")).await?;
    let text = "SELECT FROM rag.search('c', 'w1', mode => 'text')";
    session.refusal(text).await?.expect("XX001", "it has the format of another version", "text => true")?;
    session.batch_execute(&format!("ROLLBACK; {older}")).await?;
    wait::until("the index is built again", async || {
        // Hybrid search works all the time.
        ensure!(best(&session, "hybrid").await?.len() == 5);
        Ok(search(&session).await.ok())
    })
    .await?;
    compare(&session).await?;
    session.batch_execute("INSERT INTO t VALUES (1000, 'w1 w2 w3', 1)").await?;
    compare(&session).await?;
    session.batch_execute(&older.replace("c_terms", "by_hand_terms")).await?;
    let by_hand = text.replace("'c'", "'by_hand'");
    session.refusal(&by_hand).await?.expect(
        "XX001",
        "it has the format of another version",
        "text => true",
    )?;
    session.batch_execute("SELECT rag.refresh_collection('by_hand', text => true)").await?;
    session.batch_execute(&by_hand).await?;
    Ok(())
}

async fn an_index_that_postgres_cannot_read_is_built_again() -> Result<()> {
    let server = Server::start().await?;
    let database = server.database().await?;
    let session = server.connect(&database).await?;
    make(&session).await?;
    let file: String = session.value("SELECT pg_relation_filepath('c_terms')").await?;
    session.close().await?;
    server.stop(Signal::SIGINT)?;
    let file = server.data().join(file);
    let mut bytes = fs::read(&file)?;
    bytes[..8192].fill(0x5a);
    fs::write(&file, bytes)?;
    server.restart().await?;
    let session = server.connect(&database).await?;
    let text = "SELECT FROM rag.search('c', 'w1', mode => 'text')";
    session.refusal(text).await?.expect("XX001", "invalid page", "")?;
    session.batch_execute("SELECT rag.refresh_collection('c', text => true)").await?;
    compare(&session).await
}

/// Adds eight segments of `rows` rows each, which are worth merging.
async fn add_segments(session: &Session, rows: i32) -> Result<()> {
    let insert = |place: i32| {
        let first = 10_000 + place * rows;
        format!(
            "INSERT INTO t SELECT i, some_words(i), i % 10 FROM generate_series({first}, {first} + {rows} - 1) i;"
        )
    };
    let inserts: String = (0..8).map(insert).collect();
    session.batch_execute(&format!("BEGIN; {inserts} COMMIT")).await?;
    Ok(())
}

async fn a_merge_that_is_killed_is_done_later() -> Result<()> {
    let server = Server::start().await?;
    let database = server.database().await?;
    let session = server.connect(&database).await?;
    let _provider = make_by_provider(&session).await?;
    let locker = server.connect(&database).await?;
    // A merge deletes the segments that it has read after it has written the new one.
    locker.batch_execute("BEGIN; SELECT FROM c_terms FOR UPDATE").await?;
    add_segments(&session, 100).await?;
    let segments: i64 = session.value(SEGMENTS).await?;
    let until_in_merge = async || {
        let waiting = "SELECT a.pid FROM pg_stat_activity a JOIN pg_locks l USING (pid)
                       WHERE a.backend_type = 'ragstone worker' AND l.locktype = 'transactionid' AND NOT l.granted";
        wait::until("a worker is about to end a merge", async || {
            search(&session).await?;
            Ok(session.query_opt(waiting, &[]).await?.map(|row| row.get::<_, i32>(0)))
        })
        .await
    };
    let worker = until_in_merge().await?;
    session.execute("SELECT pg_terminate_backend($1)", &[&worker]).await?;
    compare(&session).await?;
    let left: i64 = session.value(SEGMENTS).await?;
    ensure!(left == segments, "{left} segments of {segments}");
    let worker = until_in_merge().await?;
    Process(worker).signal(Signal::SIGKILL);
    // The server ends all sessions, and with them the lock, before it accepts new ones.
    wait::until("the session is ended", async || Ok(session.is_closed().then_some(()))).await?;
    let session = wait::until("the server answers", async || {
        let Ok(session) = server.connect(&database).await else { return Ok(None) };
        Ok(session.value::<i64>(SEGMENTS).await.is_ok().then_some(session))
    })
    .await?;
    compare(&session).await?;
    wait::until("the merge is done", async || {
        search(&session).await?;
        Ok((session.value::<i64>(SEGMENTS).await? < 8).then_some(()))
    })
    .await?;
    compare(&session).await
}

async fn a_merge_on_a_full_disk_is_done_later() -> Result<()> {
    let (server, note) = preload::start("full_disk", "RAGSTONE_FULL_DISK", Options::default()).await?;
    let session = server.session().await?;
    let _provider = make_by_provider(&session).await?;
    let file: String = session.value("SELECT pg_relation_filepath('c_terms')").await?;
    let locker = server.connect_beside(&session).await?;
    // No merge can finish before the disk is full.
    locker.batch_execute("BEGIN; SELECT FROM c_terms FOR UPDATE").await?;
    add_segments(&session, 300).await?;
    fs::write(&note, &file)?;
    locker.batch_execute("ROLLBACK").await?;
    wait::until("the log says why", async || {
        search(&session).await?;
        let line = "53100: could not extend file";
        Ok(server.log()?.contains(line).then_some(()))
    })
    .await?;
    compare(&session).await?;
    ensure!(best(&session, "hybrid").await?.len() == 5);
    fs::remove_file(&note)?;
    wait::until("the merge is done", async || {
        search(&session).await?;
        Ok((session.value::<i64>(SEGMENTS).await? < 8).then_some(()))
    })
    .await?;
    compare(&session).await
}

/// Number of sessions that write at the same time.
const WRITERS: usize = 16;

async fn sixteen_concurrent_writers_lose_nothing_and_do_not_wait() -> Result<()> {
    let (session, _provider) = with([Reply::embeddings(8)]).await?;
    session
        .batch_execute("CREATE TABLE t (id int PRIMARY KEY, body text, kind text NOT NULL DEFAULT 'new')")
        .await?;
    let options = ", model => 'stub/small', sync => 'immediate'";
    rebuilt::create(&session, "c", options).await?;
    session.batch_execute("SELECT rag.wait_until_current('c')").await?;
    let mut writers = Vec::new();
    for _ in 0..WRITERS {
        writers.push(shared().await?.connect_beside(&session).await?);
    }
    // All transactions are open at the same time, and none waits for another one.
    try_join_all(writers.iter().enumerate().map(|(place, writer)| begin(writer, place))).await?;
    let rows: i64 = session.value("SELECT count(*) FROM c_chunks").await?;
    ensure!(rows == 0, "{rows} chunks before the first commit");
    let left = Cell::new(WRITERS);
    let write = try_join_all(writers.iter().enumerate().map(|(place, writer)| write(writer, place, &left)));
    let mut searchers = Vec::new();
    for _ in 0..2 {
        searchers.push(shared().await?.connect_beside(&session).await?);
    }
    let search = try_join_all(searchers.iter().map(|searcher| search_beside(searcher, &left)));
    try_join(write, search).await?;
    session.batch_execute("SELECT rag.wait_until_current('c')").await?;
    rebuilt::check(&session, "c", ", model => 'stub/small'").await
}

/// Starts a writer's transaction, with a row of its own.
async fn begin(writer: &Session, place: usize) -> Result<()> {
    let insert = format!("INSERT INTO t VALUES ({place}, 'the first row of writer {place}')");
    writer.batch_execute(&format!("SET lock_timeout = '20s'; BEGIN; {insert}")).await?;
    Ok(())
}

/// Inserts, changes and deletes rows, some of which all writers change.
async fn write(writer: &Session, place: usize, left: &Cell<usize>) -> Result<()> {
    writer.batch_execute("COMMIT").await?;
    for step in 1..=8 {
        let own = step * 100 + place;
        for statements in [
            &format!("INSERT INTO t VALUES ({own}, 'step {step} of the writer with the number {place}')"),
            &format!("UPDATE t SET body = body || ' and step {step}' WHERE id = {step}"),
            &format!("UPDATE t SET body = body || ' changed' WHERE id = {own} - 100"),
            "BEGIN; SAVEPOINT a",
            &format!("UPDATE t SET body = 'never' WHERE id = {own}; ROLLBACK TO a"),
            &format!("DELETE FROM t WHERE id = {own} - 300; COMMIT"),
        ] {
            writer
                .batch_execute(statements)
                .await
                .with_context(|| format!("writer {place}, step {step}: {statements}"))?;
        }
    }
    left.set(left.get() - 1);
    Ok(())
}

/// Searches while other sessions write. Each search returns each chunk once, best first.
async fn search_beside(searcher: &Session, left: &Cell<usize>) -> Result<()> {
    while left.get() > 0 {
        for mode in ["text", "hybrid"] {
            let sql = "SELECT count(*) = count(DISTINCT chunk_id), array_agg(score ORDER BY rank) = array_agg(score ORDER BY score DESC)
                       FROM rag.search('c', 'the step of a writer', k => 50, mode => $1)";
            let row = searcher.query_one(sql, &[&mode]).await?;
            let (once, best_first): (bool, Option<bool>) = (row.get(0), row.get(1));
            ensure!(once && best_first.is_none_or(|best_first| best_first), "{mode}: {once}, {best_first:?}");
        }
    }
    Ok(())
}
