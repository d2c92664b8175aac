//! The log's weekly partitions.

use crate::restore::{Format, dump, restore};
use anyhow::ensure;
use libtest_mimic::Trial;
use ragstone_tests::Result;
use ragstone_tests::server::{Options, Server, shared};
use ragstone_tests::session::Session;
use ragstone_tests::wait;

pub fn tests() -> Vec<Trial> {
    ragstone_tests::tests![
        weeks_are_made_with_the_rows_that_were_there_before,
        an_uncommitted_writer_does_not_block_other_writers,
        old_weeks_are_dropped_and_imported_ones_stay_for_a_while,
        a_plain_dump_carries_the_log,
        a_custom_dump_carries_the_log,
        the_extension_is_dropped_with_its_weeks,
    ]
}

/// The partition for a row of this week.
const WEEK: &str = "'rag._steps_' || to_char(now() AT TIME ZONE 'UTC', 'IYYY\"w\"IW')";

async fn weeks(session: &Session) -> Result<i64> {
    session
        .value("SELECT count(*) FROM pg_inherits WHERE inhparent IN ('rag._steps'::regclass, 'rag._runs'::regclass)")
        .await
}

/// Waits for the partitions of this week and the next week, of both tables.
async fn until_made(session: &Session) -> Result<()> {
    wait::until("the weeks are made", async || Ok((weeks(session).await? == 6).then_some(()))).await
}

async fn keep_for(session: &Session, days: i32) -> Result<()> {
    session.batch_execute(&format!("ALTER SYSTEM SET rag.log_retention = {days}")).await?;
    session.batch_execute("SELECT pg_reload_conf()").await?;
    Ok(())
}

async fn run_of(session: &Session, name: &str) -> Result<i64> {
    let run: i64 = session.value_of("SELECT rag.start_run($1)", &[&name]).await?;
    session.execute("SELECT rag.log_step($1, 'tool', 'now')", &[&run]).await?;
    session.execute("SELECT rag.log_step($1, 'tool', 'past', started => '2020-01-08')", &[&run]).await?;
    session
        .execute("SELECT rag.log_step($1, 'tool', 'future', started => now() + interval '30 days')", &[&run])
        .await?;
    Ok(run)
}

async fn weeks_are_made_with_the_rows_that_were_there_before() -> Result<()> {
    wait::for_one_period().await?;
    let session = shared().await?.session().await?;
    let run = run_of(&session, "weekly").await?;
    until_made(&session).await?;
    let placed =
        "SELECT string_agg(name, ' ' ORDER BY name) FROM rag._steps WHERE tableoid = (TABLE_NAME)::regclass";
    let here: String = session.value(&placed.replace("TABLE_NAME", WEEK)).await?;
    let elsewhere: String = session.value(&placed.replace("TABLE_NAME", "'rag._steps_other'")).await?;
    ensure!((here.as_str(), elsewhere.as_str()) == ("now", "future past"), "{here}; {elsewhere}");
    // Steps are still logged and numbered; the run's own row was moved, and is found.
    session.execute("SELECT rag.log_step($1, 'tool', 'later')", &[&run]).await?;
    session.execute("SELECT rag.finish_run($1)", &[&run]).await?;
    let row =
        session.query_one("SELECT max(number), count(*) FROM rag.steps WHERE run_id = $1", &[&run]).await?;
    ensure!((row.get::<_, i32>(0), row.get::<_, i64>(1)) == (4, 4), "{row:?}");
    ensure!(session.value::<String>("SELECT status FROM rag.runs").await? == "done");
    Ok(())
}

async fn an_uncommitted_writer_does_not_block_other_writers() -> Result<()> {
    wait::for_one_period().await?;
    let server = shared().await?;
    let slow = server.session().await?;
    let database: String = slow.value("SELECT current_database()::text").await?;
    let quick = server.connect(&database).await?;
    slow.batch_execute("BEGIN; SELECT rag.start_run('slow')").await?;
    let run: i64 = quick.value("SELECT rag.start_run('quick')").await?;
    let quick = &quick;
    wait::until("the worker has tried to make a week", async || {
        quick.execute("SELECT rag.log_step($1, 'tool')", &[&run]).await?;
        let tried =
            "SELECT EXISTS (SELECT FROM pg_locks WHERE relation = 'rag._runs'::regclass AND NOT granted)";
        Ok(quick.value::<bool>(tried).await?.then_some(()))
    })
    .await?;
    quick.batch_execute("SET statement_timeout = '20s'").await?;
    quick.execute("SELECT rag.log_step($1, 'tool')", &[&run]).await?;
    quick.execute("SELECT rag.start_run('quick too')", &[]).await?;
    slow.batch_execute("COMMIT").await?;
    until_made(quick).await?;
    ensure!(quick.value::<i64>("SELECT count(*) FROM rag.runs").await? == 3);
    Ok(())
}

async fn old_weeks_are_dropped_and_imported_ones_stay_for_a_while() -> Result<()> {
    wait::for_one_period().await?;
    let server = Server::start_with(Options::default().set("rag.log_retention", "0")).await?;
    let session = server.session().await?;
    run_of(&session, "kept").await?;
    until_made(&session).await?;
    session
        .batch_execute(
            "CREATE TABLE rag._steps_2020w01 (LIKE rag._steps INCLUDING CONSTRAINTS);
             ALTER TABLE rag._steps ATTACH PARTITION rag._steps_2020w01
               FOR VALUES FROM ('2019-12-30 00:00:00+00') TO ('2020-01-06 00:00:00+00');
             SELECT rag.log_step(1, 'tool', 'dropped', started => '2020-01-01')",
        )
        .await?;
    keep_for(&session, 30).await?;
    wait::until("the old week is dropped", async || Ok((weeks(&session).await? == 6).then_some(()))).await?;
    let names = "SELECT string_agg(name, ' ' ORDER BY name) FROM rag.steps";
    ensure!(session.value::<String>(names).await? == "future now past");
    // The numbers recorded for each day show how long a row has been stored here.
    session.batch_execute("UPDATE rag._log_days SET day = day - 31").await?;
    keep_for(&session, 29).await?;
    wait::until("rows that are old and were stored long ago are deleted", async || {
        Ok((session.value::<String>(names).await? == "future now").then_some(()))
    })
    .await
}

async fn carries(format: Format) -> Result<()> {
    wait::for_one_period().await?;
    let server = shared().await?;
    let session = server.session().await?;
    let run = run_of(&session, "dumped").await?;
    until_made(&session).await?;
    session
        .batch_execute(
            "UPDATE rag.redactions SET enabled = false WHERE name = 'slack token';
             INSERT INTO rag.redactions (name, pattern) VALUES ('ours', 'token-[0-9]+')",
        )
        .await?;
    let all = "SELECT string_agg(concat_ws(' ', tableoid::regclass, id, number, name), '; ' ORDER BY id) FROM rag._steps";
    let rules =
        "SELECT string_agg(concat_ws(' ', name, pattern, enabled), '; ' ORDER BY name) FROM rag.redactions";
    let dump = dump(&server, &session, format).await?;
    let restored = restore(&server, &dump, format).await?;
    ensure!(restored.value::<String>(all).await? == session.value::<String>(all).await?);
    ensure!(restored.value::<String>(rules).await? == session.value::<String>(rules).await?);
    ensure!(weeks(&restored).await? == 6);
    // Numbering continues where it was.
    restored.execute("SELECT rag.log_step($1, 'tool', 'token-12')", &[&run]).await?;
    let last = "SELECT number || ' ' || name FROM rag.steps ORDER BY id DESC LIMIT 1";
    ensure!(
        restored.value::<String>(last).await? == "4 [redacted]",
        "{}",
        restored.value::<String>(last).await?
    );
    let keys =
        "SELECT count(*) FROM pg_index WHERE indrelid = (TABLE_NAME)::regclass".replace("TABLE_NAME", WEEK);
    ensure!(restored.value::<i64>(&keys).await? == session.value::<i64>(&keys).await?);
    Ok(())
}

async fn a_plain_dump_carries_the_log() -> Result<()> {
    carries(Format::Plain).await
}

async fn a_custom_dump_carries_the_log() -> Result<()> {
    carries(Format::Custom).await
}

async fn the_extension_is_dropped_with_its_weeks() -> Result<()> {
    wait::for_one_period().await?;
    let server = Server::start().await?;
    let session = server.session().await?;
    run_of(&session, "dropped").await?;
    until_made(&session).await?;
    session.batch_execute("DROP EXTENSION ragstone CASCADE").await?;
    let left: i64 = session.value("SELECT count(*) FROM pg_class WHERE relname ~ '^_(runs|steps)'").await?;
    ensure!(left == 0, "{left} are left");
    // The same session starts a new run.
    session.batch_execute("CREATE EXTENSION ragstone; SELECT rag.start_run('again')").await?;
    run_of(&session, "again").await?;
    Ok(())
}
