//! Collections throughout the life of a database.

use crate::restore::found;
use anyhow::{Context, ensure};
use futures_util::future::join;
use libtest_mimic::Trial;
use nix::sys::signal::Signal;
use ragstone_tests::Result;
use ragstone_tests::sample::texts;
use ragstone_tests::server::{Server, shared};
use ragstone_tests::session::Session;
use ragstone_tests::wait;

pub fn tests() -> Vec<Trial> {
    ragstone_tests::tests![
        drop_extension_leaves_the_chunk_tables,
        progress_is_seen_from_another_session,
        a_refresh_embeds_only_what_changed,
        titles_are_shown_as_readers_expect,
        long_titles_and_headings_leave_room_for_the_content,
        an_engine_killed_while_a_collection_is_made_loses_nothing,
        a_row_of_100_mb_is_refused_and_leaves_nothing,
        two_sessions_making_one_collection_make_one,
        a_collection_follows_its_source_in_schema_and_name,
        a_crash_of_the_server_leaves_whole_collections,
        what_is_found_does_not_depend_on_stored_counts,
        chunks_of_immediate_collections_are_counted,
    ]
}

async fn table(session: &Session, rows: usize, words: usize) -> Result<()> {
    session.batch_execute("CREATE TABLE t (id int PRIMARY KEY, body text)").await?;
    let insert = "INSERT INTO t SELECT o, b FROM unnest($1::text[]) WITH ORDINALITY u(b, o)";
    session.execute(insert, &[&texts(rows, words)]).await?;
    Ok(())
}

const CREATE: &str = "SELECT rag.create_collection('c', 't', 'body', sync => 'manual')";

async fn drop_extension_leaves_the_chunk_tables() -> Result<()> {
    let session = shared().await?.session().await?;
    table(&session, 20, 10).await?;
    session.batch_execute(CREATE).await?;
    let tables = "SELECT count(*) FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace
                  WHERE relkind = 'r' AND nspname = 'public' AND relname <> 't'";
    let before: i64 = session.value(tables).await?;
    ensure!(before > 0, "the chunk table is not beside its source");
    session.batch_execute("SET statement_timeout = '20s'; DROP EXTENSION ragstone CASCADE").await?;
    ensure!(session.value::<i64>(tables).await? == before, "DROP EXTENSION took chunk tables along");
    session.batch_execute("CREATE EXTENSION ragstone; SELECT rag.embed('again')").await?;
    Ok(())
}

async fn progress_is_seen_from_another_session() -> Result<()> {
    let server = shared().await?;
    let session = server.session().await?;
    let database: String = session.value("SELECT current_database()::text").await?;
    let watcher = server.connect(&database).await?;
    watcher.batch_execute(&format!("CREATE ROLE stranger_of_{database}")).await?;
    table(&session, 600, 60).await?;
    let watching = wait::until("progress is seen", async || {
        let sql = "SELECT rows_done, rows_total FROM rag._reports() WHERE collection = 'c'";
        let row = watcher.query_opt(sql, &[]).await?;
        watcher.batch_execute(&format!("SET ROLE stranger_of_{database}")).await?;
        let strange: i64 = watcher.value("SELECT count(*) FROM rag._reports()").await?;
        watcher.batch_execute("RESET ROLE").await?;
        ensure!(strange == 0, "a stranger is told of a collection that is being created");
        Ok(row.map(|row| (row.get::<_, i64>(0), row.get::<_, i64>(1))).filter(|(done, _)| *done > 0))
    });
    let (created, progress) = join(session.execute(CREATE, &[]), watching).await;
    created?;
    let (done, total) = progress?;
    ensure!(done <= total && total >= 600, "{done} of {total}");
    let watcher = &watcher;
    wait::until("the progress has ended", async || {
        Ok((watcher.value::<i64>("SELECT count(*) FROM rag._reports()").await? == 0).then_some(()))
    })
    .await
}

async fn a_refresh_embeds_only_what_changed() -> Result<()> {
    let session = shared().await?.session().await?;
    table(&session, 40, 10).await?;
    session.batch_execute(CREATE).await?;
    session
        .batch_execute(
            "DELETE FROM t WHERE id = 1; UPDATE t SET body = body || ' more' WHERE id = 2;
             UPDATE t SET id = 1000 WHERE id = 3; INSERT INTO t VALUES (999, 'new')",
        )
        .await?;
    let row = session.query_one("SELECT * FROM rag.refresh_collection('c')", &[]).await?;
    let count = |name: &str| row.get::<_, i64>(name);
    ensure!(count("unchanged") == 37 && count("changed") == 1, "{row:?}");
    ensure!(count("added") == 2 && count("deleted") == 2, "{row:?}");
    ensure!(count("embedded") <= 3, "{row:?}");
    let row = session.query_one("SELECT * FROM rag.refresh_collection('c')", &[]).await?;
    ensure!(row.get::<_, i64>("unchanged") == 40 && row.get::<_, i64>("embedded") == 0, "{row:?}");
    Ok(())
}

async fn long_titles_and_headings_leave_room_for_the_content() -> Result<()> {
    let session = shared().await?.session().await?;
    let long = "repeat('harbour lighthouse tide and ferry ', 60)";
    let path = format!("'# ' || {long} || E'\\n\\n## ' || {long} || E'\\n\\n### Pilots\\n\\n'");
    for (number, title, before, options) in [
        (1, long, "''", ""),
        (2, long, "''", ", chunk_size => 400"),
        (3, "'a title'", path.as_str(), ", splitter => 'markdown'"),
        (4, long, path.as_str(), ", splitter => 'markdown', chunk_size => 100"),
        (5, long, path.as_str(), ", splitter => 'markdown', chunk_size => 400"),
    ] {
        let content = format!(
            "{before} || repeat(CASE i WHEN 1 THEN 'Ships come by night. ' ELSE 'Bread is baked at dawn. ' END, 60)"
        );
        for (kind, sync) in [("m", "manual"), ("b", "background")] {
            let name = format!("{kind}{number}");
            session
                .batch_execute(&format!(
                    "CREATE TABLE {name} (id int PRIMARY KEY, title text, body text);
                     INSERT INTO {name} SELECT i, {title}, {content} FROM generate_series(1, 2) i;
                     SELECT rag.create_collection('{name}', '{name}', 'body', title => 'title', sync => '{sync}'{options})"
                ))
                .await?;
            if sync == "background" {
                session.batch_execute(&format!("SELECT rag.wait_until_current('{name}')")).await?;
            }
            let alike: i64 = session
                .value(&format!(
                    "SELECT count(*) FROM {name}_chunks a JOIN {name}_chunks b ON a.embedding = b.embedding
                     WHERE a.content LIKE '%Ships%' AND b.content LIKE '%Bread%'"
                ))
                .await?;
            ensure!(alike == 0, "{name}: {alike} chunks of other contents have the same embedding");
            let shown: i64 = session
                .value(&format!("SELECT count(*) FROM {name}_chunks WHERE heading LIKE 'harbour%Pilots'"))
                .await?;
            ensure!((shown > 0) == (before != "''"), "{name}: headings are shown whole");
            session.batch_execute(&format!("SELECT rag.drop_collection('{name}')")).await?;
        }
    }
    Ok(())
}

async fn titles_are_shown_as_readers_expect() -> Result<()> {
    let session = shared().await?.session().await?;
    session
        .batch_execute(
            "CREATE DOMAIN flag AS boolean; CREATE DOMAIN code AS char(8);
             CREATE TABLE t (id int PRIMARY KEY, padded char(8), truth boolean, flag flag, code code, number numeric(5, 2), quoted text,
                             body text);
             INSERT INTO t VALUES (1, 'ab', true, false, 'é', 1.5, ' kept ', 'the fox is red')",
        )
        .await?;
    for (column, expected) in [
        ("padded", "ab"),
        ("truth", "true"),
        ("flag", "false"),
        ("code", "é"),
        ("number", "1.50"),
        ("quoted", " kept "),
    ] {
        session
            .batch_execute(&format!(
                "SELECT rag.create_collection('{column}', 't', 'body', title => '{column}', sync => 'manual')"
            ))
            .await?;
        let title: String = session
            .value(&format!("SELECT title FROM rag.search('{column}', 'fox', mode => 'text')"))
            .await?;
        ensure!(title == expected, "{column}: {title:?}");
        let again =
            session.query_one(&format!("SELECT * FROM rag.refresh_collection('{column}')"), &[]).await?;
        ensure!(again.get::<_, i64>("unchanged") == 1, "{again:?}");
    }
    session.batch_execute("UPDATE t SET padded = NULL").await?;
    let title: Option<String> =
        session.value("SELECT title FROM rag.search('padded', 'fox', mode => 'text')").await?;
    ensure!(title.is_none(), "{title:?}");
    Ok(())
}

async fn an_engine_killed_while_a_collection_is_made_loses_nothing() -> Result<()> {
    let server = Server::start().await?;
    let session = server.session().await?;
    table(&session, 600, 60).await?;
    let watcher = server.connect("postgres").await?;
    let first = server.engine(&watcher_session(&server, &session).await?).await?;
    let killing = async {
        let sql = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Extension' AND query LIKE '%create_collection%'";
        wait::until("the session waits for the engine", async || {
            Ok((watcher.value::<i64>(sql).await? > 0).then_some(()))
        })
        .await?;
        first.signal(Signal::SIGKILL);
        Result::Ok(())
    };
    let (made, killed) = join(session.value::<i64>(CREATE), killing).await;
    killed?;
    ensure!(made? == 600);
    let row = session.query_one("SELECT * FROM rag.refresh_collection('c')", &[]).await?;
    ensure!(row.get::<_, i64>("unchanged") == 600, "{row:?}");
    Ok(())
}

async fn watcher_session(server: &Server, session: &Session) -> Result<Session> {
    let database: String = session.value("SELECT current_database()::text").await?;
    server.connect(&database).await
}

async fn a_row_of_100_mb_is_refused_and_leaves_nothing() -> Result<()> {
    let session = shared().await?.session().await?;
    table(&session, 5, 5).await?;
    session.batch_execute("INSERT INTO t VALUES (100, repeat('word ', 20 * 1024 * 1024))").await?;
    let refusal = session.refusal(CREATE).await?;
    refusal.expect("54000", "over the limit", "")?;
    ensure!(session.value::<i64>("SELECT count(*) FROM rag.collections").await? == 0);
    session.batch_execute("DELETE FROM t WHERE id = 100").await?;
    ensure!(session.value::<i64>(CREATE).await? == 5);
    Ok(())
}

async fn two_sessions_making_one_collection_make_one() -> Result<()> {
    let server = shared().await?;
    let session = server.session().await?;
    table(&session, 30, 10).await?;
    let other = watcher_session(&server, &session).await?;
    let (one, two) = join(session.execute(CREATE, &[]), other.execute(CREATE, &[])).await;
    let refused = match (one, two) {
        (Ok(_), Err(error)) | (Err(error), Ok(_)) => error,
        both => anyhow::bail!("expected one success and one refusal, got {both:?}"),
    };
    let code = refused.code().context("not a server error")?.code().to_owned();
    ensure!(["42710", "23505"].contains(&code.as_str()), "refused with {code}");
    ensure!(session.value::<i64>("SELECT count(*) FROM rag.collections").await? == 1);
    Ok(())
}

async fn a_collection_follows_its_source_in_schema_and_name() -> Result<()> {
    let session = shared().await?.session().await?;
    table(&session, 30, 10).await?;
    session.batch_execute(CREATE).await?;
    let expected = found(&session).await?;
    session.batch_execute("CREATE SCHEMA \"Odd \"\"one\"; ALTER TABLE t SET SCHEMA \"Odd \"\"one\"").await?;
    session.batch_execute("ALTER TABLE \"Odd \"\"one\".t RENAME TO \"T t\"").await?;
    ensure!(found(&session).await? == expected);
    let row = session.query_one("SELECT * FROM rag.refresh_collection('c')", &[]).await?;
    ensure!(row.get::<_, i64>("unchanged") == 30, "{row:?}");
    Ok(())
}

async fn a_crash_of_the_server_leaves_whole_collections() -> Result<()> {
    let server = Server::start().await?;
    let session = server.session().await?;
    let database: String = session.value("SELECT current_database()::text").await?;
    table(&session, 30, 10).await?;
    session.batch_execute(CREATE).await?;
    let expected = found(&session).await?;
    server.stop(Signal::SIGQUIT)?;
    server.restart().await?;
    let session = server.connect(&database).await?;
    ensure!(found(&session).await? == expected);
    Ok(())
}

/// A collection of an empty table is settled with a count of no chunks. Chunks that writers index are found
/// before they are counted.
async fn what_is_found_does_not_depend_on_stored_counts() -> Result<()> {
    let session = shared().await?.session().await?;
    session
        .batch_execute(
            r"CREATE TABLE t (id int PRIMARY KEY, body text);
              SELECT rag.create_collection('c', 't', 'body', sync => 'immediate', chunk_size => 16)",
        )
        .await?;
    session.batch_execute("SELECT rag.wait_until_current('c')").await?;
    // Nothing has counted the chunks before the commit.
    session
        .batch_execute(
            r"BEGIN;
              INSERT INTO t VALUES (1, repeat(E'The pump handbook says that a pump is a pump.\n\n', 150)),
                                   (2, 'An old house where the pump was once used for the water of a garden'),
                                   (3, 'A story of two brothers, and of a pump in its last line')",
        )
        .await?;
    let counted: i64 = session.value("SELECT chunks FROM rag.collection").await?;
    ensure!(counted == 0, "{counted} chunks are counted");
    for mode in ["hybrid", "vector", "text"] {
        let rows = format!(
            "SELECT count(DISTINCT source_key) FROM rag.search('c', 'pump', k => 3, per_source => true, mode => '{mode}')"
        );
        let rows: i64 = session.value(&rows).await?;
        ensure!(rows == 3, "{mode}: {rows} rows of three");
    }
    Ok(())
}

async fn chunks_of_immediate_collections_are_counted() -> Result<()> {
    // The worker counts while it is idle, and leaves where another database needs its slot.
    let server = Server::start().await?;
    let session = server.session().await?;
    session
        .batch_execute(
            "CREATE TABLE t (id int PRIMARY KEY, body text);
             SELECT rag.create_collection('c', 't', 'body', sync => 'immediate')",
        )
        .await?;
    session.batch_execute("SELECT rag.wait_until_current('c')").await?;
    let counted = async |rows: i64| {
        wait::until("the chunks are counted", async || {
            let counts = session.query_one("SELECT source_rows, chunks FROM rag.collections", &[]).await?;
            Ok((counts.get::<_, i64>(0) == rows && counts.get::<_, i64>(1) == rows).then_some(()))
        })
        .await
    };
    session.batch_execute("INSERT INTO t SELECT i, 'row ' || i FROM generate_series(1, 3) i").await?;
    counted(3).await?;
    session.batch_execute("INSERT INTO t VALUES (4, 'one more'); DELETE FROM t WHERE id < 3").await?;
    counted(2).await?;
    session.batch_execute("TRUNCATE t").await?;
    counted(0).await
}
