//! Steps that are logged autonomously arrive exactly once, whatever happens to coordinators, the engine and
//! the tables, or the loss is reported.

use crate::log_durability::{AUTONOMOUS, Held, another, begun, log, status, steps, written};
use crate::restore::name;
use anyhow::ensure;
use futures_util::future::try_join_all;
use libtest_mimic::Trial;
use nix::sys::signal::Signal;
use ragstone_tests::Result;
use ragstone_tests::server::{self, Options, Server};
use ragstone_tests::session::Session;
use ragstone_tests::wait;
use std::time::{Duration, Instant};

pub fn tests() -> Vec<Trial> {
    ragstone_tests::tests![
        every_entry_arrives_once_whatever_happens_to_coordinators,
        an_engine_that_is_killed_loses_what_is_not_written_and_no_more,
        drop_database_succeeds_with_entries_waiting,
        entries_wait_for_a_slot,
        without_an_engine_steps_belong_to_the_transaction,
        a_full_mailbox_holds_callers_back_and_then_loses_the_oldest,
        entries_of_tables_that_are_gone_are_not_written_into_new_ones,
        a_restore_knows_what_it_was_dumped_before_the_end_of,
    ]
}

async fn every_entry_arrives_once_whatever_happens_to_coordinators() -> Result<()> {
    let server = Server::start().await?;
    let (session, run) = begun(&server).await?;
    let mut sessions = Vec::new();
    for _ in 0..4 {
        sessions.push(another(&server, &session).await?);
    }
    let many = format!(
        "SELECT count(rag.log_step({run}, 'tool', 'step', jsonb_build_object('n', n))) FROM generate_series(1, 50000) n"
    );
    let working = try_join_all(sessions.iter().map(|session| session.value::<i64>(&many)));
    tokio::pin!(working);
    let mut ended = 0;
    let counts = loop {
        tokio::select! {
            counts = &mut working => break counts?,
            killed = terminate_coordinator(&session) => ended += killed?,
        }
    };
    ensure!(counts.iter().sum::<i64>() == 200_000 && ended > 0, "{ended} coordinators ended");
    // The last coordinator may have exited with entries unwritten. Another one starts without a request.
    written(&session).await?;
    let row = session
        .query_one(
            "SELECT count(*), count(DISTINCT id), sum((input ->> 'n')::bigint)::bigint FROM rag.steps",
            &[],
        )
        .await?;
    let found: (i64, i64, i64) = (row.get(0), row.get(1), row.get(2));
    eprintln!("{ended} coordinators ended");
    ensure!(found == (200_000, 200_000, 4 * 50_000 * 50_001 / 2), "{found:?}");
    let lost: i64 = session.value("SELECT lost FROM rag.stat_log").await?;
    ensure!(lost == 0, "{lost}");
    Ok(())
}

const COORDINATORS: &str =
    "SELECT pid FROM pg_stat_activity WHERE backend_type = 'ragstone coordinator' AND state IS NOT NULL";

/// Terminates a coordinator in the middle of its work, and waits until the next one has done some work.
async fn terminate_coordinator(session: &Session) -> Result<u32> {
    let before: i64 = session.value("SELECT waiting FROM rag.stat_log").await?;
    let mut ended = 0;
    for row in session.query(COORDINATORS, &[]).await? {
        session.execute("SELECT pg_terminate_backend($1)", &[&row.get::<_, i32>(0)]).await?;
        ended += 1;
    }
    wait::until("more is waiting, or something was written", async || {
        Ok((session.value::<i64>("SELECT waiting FROM rag.stat_log").await? != before).then_some(()))
    })
    .await?;
    Ok(ended)
}

async fn an_engine_that_is_killed_loses_what_is_not_written_and_no_more() -> Result<()> {
    let server = Server::start().await?;
    let (session, run) = begun(&server).await?;
    session.batch_execute(&log(run, "before")).await?;
    let held = Held::hold(&session).await?;
    // The first step may be on its way to the coordinator when the engine is killed.
    session.batch_execute(&format!("{}; {}", log(run, "sent"), log(run, "lost"))).await?;
    for engine in server.engines() {
        engine.signal(Signal::SIGKILL);
        wait::until("the engine is gone", async || Ok((!engine.runs()).then_some(()))).await?;
    }
    drop(held);
    // The next step goes to the next engine, without a warning.
    session.batch_execute(&log(run, "after")).await?;
    let found = "SELECT coalesce(string_agg(name, ' ' ORDER BY id), '') FROM rag.steps WHERE run_id = 1";
    wait::until("the next step is there", async || {
        let found = session.value::<String>(found).await?.replace(" sent", "");
        ensure!(found == "before" || found == "before after", "{found}");
        Ok((found == "before after").then_some(()))
    })
    .await?;
    ensure!(session.take_notices().is_empty());
    session.batch_execute(&format!("SELECT rag.finish_run({run}, '1')")).await?;
    ensure!(status(&session, run).await? == "done 1");
    wait::until("the server's log says so", async || {
        Ok(server
            .log()?
            .contains("the engine exited; the log may lack the last runs and steps")
            .then_some(()))
    })
    .await
}

async fn drop_database_succeeds_with_entries_waiting() -> Result<()> {
    let server = Server::start().await?;
    let (session, run) = begun(&server).await?;
    written(&session).await?;
    let locker = another(&server, &session).await?;
    locker.batch_execute("BEGIN; LOCK TABLE rag._steps IN ACCESS EXCLUSIVE MODE").await?;
    let many = format!("SELECT count(rag.log_step({run}, 'tool')) FROM generate_series(1, 5000)");
    session.batch_execute(&many).await?;
    let name = name(&session).await?;
    let waiting: i64 = session.value("SELECT waiting FROM rag.stat_log").await?;
    ensure!(waiting == 5000, "{waiting}");
    session.close().await?;
    locker.close().await?;
    let admin = server.connect("postgres").await?;
    // PostgreSQL raises an error after five seconds.
    admin.batch_execute(&format!("DROP DATABASE {name}")).await?;
    Ok(())
}

async fn entries_wait_for_a_slot() -> Result<()> {
    // One process for logical replication, one for the supervisor, and one for a coordinator.
    let options = Options::default().set("max_worker_processes", "3").set("rag.sync_idle_timeout", "3600s");
    let server = Server::start_with(options).await?;
    let (first, run) = begun(&server).await?;
    first.batch_execute(&log(run, "first")).await?;
    ensure!(steps(&first).await? == "first");
    let (second, run) = begun(&server).await?;
    second.batch_execute(&log(run, "second")).await?;
    let none: i64 = second.value("SELECT waiting FROM rag.stat_log").await?;
    ensure!(none == 2, "{none}");
    // The other database's coordinator has no work, and exits.
    ensure!(steps(&second).await? == "second");
    Ok(())
}

async fn without_an_engine_steps_belong_to_the_transaction() -> Result<()> {
    let server = Server::start_with(Options::default().set("max_worker_processes", "0")).await?;
    let session = server.session().await?;
    session.batch_execute(AUTONOMOUS).await?;
    let run: i64 = session.value("SELECT rag.start_run('agent')").await?;
    let warnings = session.take_notices();
    ensure!(warnings.len() == 1, "{warnings:?}");
    warnings[0].expect(
        "01000",
        "logged in the caller's transaction and are lost if it is rolled back",
        "max_worker_processes",
    )?;
    ensure!(warnings[0].detail.contains("no background worker slot is free"), "{warnings:?}");
    // Not every step waits anew for the engine, which may take five seconds.
    wait::at_best_within(Duration::from_secs(1), async || {
        let begin = Instant::now();
        session.batch_execute(&format!("BEGIN; {}; ROLLBACK", log(run, "gone"))).await?;
        Ok(begin.elapsed())
    })
    .await?;
    session.take_notices();
    session.batch_execute(&log(run, "kept")).await?;
    session
        .batch_execute(&format!(
            "SELECT rag.log_steps({run}, '[{{\"kind\": \"tool\", \"name\": \"both\"}}]')"
        ))
        .await?;
    session.batch_execute(&format!("SELECT rag.finish_run({run}, '1')")).await?;
    ensure!(session.take_notices().len() == 3);
    ensure!(steps(&session).await? == "kept both" && status(&session, run).await? == "done 1");
    Ok(())
}

/// Logs a step of nearly 1 MB. Returns true if it was posted.
async fn large(session: &Session, run: i64) -> Result<bool> {
    let step = format!("SELECT rag.log_step({run}, 'tool', 'large', to_jsonb(repeat('x', 1000000)))");
    session.batch_execute(&step).await?;
    Ok(session.take_notices().is_empty())
}

async fn a_full_mailbox_holds_callers_back_and_then_loses_the_oldest() -> Result<()> {
    let server = Server::start().await?;
    let (session, run) = begun(&server).await?;
    let held = Held::hold(&session).await?;
    let mut posted = 0_i64;
    let is_full = "SELECT waiting_bytes > 60 * 1000000 FROM rag.stat_log";
    // On a busy machine the engine may be unable to read for the whole time that a session waits for it.
    while large(&session, run).await? || !session.value::<bool>(is_full).await? {
        posted += 1;
        ensure!(posted < 1000, "64 MB is all that is kept");
    }
    let lost = "SELECT lost FROM rag.stat_log";
    ensure!(session.value::<i64>(lost).await? == 0);
    // This step is written in the caller's transaction, and so are those of the next seconds, without a wait.
    wait::at_best_within(Duration::from_secs(1), async || {
        let begin = Instant::now();
        ensure!(!large(&session, run).await?);
        Ok(begin.elapsed())
    })
    .await?;
    let other = another(&server, &session).await?;
    ensure!(!large(&other, run).await? || !large(&other, run).await?, "there was room all the time");
    // Entries that were sent last, and not read yet, finally replace the oldest ones.
    wait::until("something is lost", async || Ok((session.value::<i64>(lost).await? > 0).then_some(())))
        .await?;
    ensure!(server.log()?.contains("dropped the oldest of"));
    drop(held);
    written(&session).await?;
    let row = session
        .query_one("SELECT posted, lost, (SELECT count(*) FROM rag._steps WHERE caller_xid IS NOT NULL) FROM rag.stat_log", &[])
        .await?;
    let (all, lost, found): (i64, i64, i64) = (row.get(0), row.get(1), row.get(2));
    eprintln!("{all} posted, {lost} lost, {found} found");
    // The start of the run is one of the posted entries.
    ensure!(all - 1 == lost + found && lost > 0, "{all} posted, {lost} lost, {found} found");
    wait::until("the server's log says so", async || {
        Ok(server.log()?.contains("runs and steps, because too many were waiting").then_some(()))
    })
    .await?;
    wait::until("steps are posted again", async || Ok(large(&session, run).await?.then_some(()))).await
}

async fn entries_of_tables_that_are_gone_are_not_written_into_new_ones() -> Result<()> {
    let server = Server::start().await?;
    let (session, run) = begun(&server).await?;
    let held = Held::hold(&session).await?;
    session.batch_execute(&log(run, "old")).await?;
    session
        .batch_execute("SET client_min_messages = 'error'; DROP EXTENSION ragstone CASCADE; CREATE EXTENSION ragstone CASCADE")
        .await?;
    drop(held);
    let run: i64 = session.value("SELECT rag.start_run('agent')").await?;
    session.batch_execute(&log(run, "new")).await?;
    ensure!(steps(&session).await? == "new", "{}", steps(&session).await?);
    Ok(())
}

async fn a_restore_knows_what_it_was_dumped_before_the_end_of() -> Result<()> {
    let (server, other) = (Server::start().await?, Server::start().await?);
    let (session, run) = begun(&server).await?;
    session.batch_execute(&log(run, "committed")).await?;
    session
        .batch_execute(&format!("BEGIN; {}; ROLLBACK; BEGIN; {}", log(run, "undone"), log(run, "open")))
        .await?;
    let watcher = another(&server, &session).await?;
    ensure!(steps(&watcher).await? == "committed (undone) open");
    let path = server.folder().join("dump");
    let database = name(&session).await?;
    server::run(
        server.client("pg_dump")?.args(["--format=custom", "--dbname", &database, "--file"]).arg(&path),
    )?;
    session.batch_execute("COMMIT").await?;
    ensure!(steps(&watcher).await? == "committed (undone) open");

    let to = other.empty_database("").await?;
    server::run(other.client("pg_restore")?.args(["--exit-on-error", "--dbname", &to]).arg(&path))?;
    let restored = other.connect(&to).await?;
    // The dump contains nothing else of that transaction.
    let expected = "committed (undone) (open)";
    ensure!(steps(&restored).await? == expected, "{}", steps(&restored).await?);
    restored.batch_execute(AUTONOMOUS).await?;
    restored.batch_execute(&log(run, "new")).await?;
    wait::until("the outcome is written", async || {
        Ok((restored.value::<i64>("SELECT count(*) FROM rag._uncommitted_row").await? == 0).then_some(()))
    })
    .await?;
    ensure!(steps(&restored).await? == format!("{expected} new"), "{}", steps(&restored).await?);
    Ok(())
}
