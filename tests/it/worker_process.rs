//! Workers as processes: their locks, their settings and their end.

use crate::followed::{converged, make};
use crate::jobs::{ended, submit};
use crate::reports::until_folded;
use anyhow::{Context, ensure};
use libtest_mimic::Trial;
use nix::sys::signal::Signal;
use ragstone_tests::Result;
use ragstone_tests::server::{Options, Server};
use ragstone_tests::session::Session;
use ragstone_tests::wait;

pub fn tests() -> Vec<Trial> {
    ragstone_tests::tests![
        a_worker_keeps_its_lock_when_a_check_asks_for_the_status,
        a_worker_that_starts_another_one_keeps_its_lock,
        settings_of_a_database_or_a_role_do_not_reach_a_worker,
        workers_that_are_sent_away_are_no_fatal_lines_in_the_log,
        databases_take_turns_without_a_supervisor,
        a_coordinator_that_is_terminated_has_a_successor_without_a_supervisor,
    ]
}

/// The processes of workers, the oldest first.
async fn workers(session: &Session) -> Result<Vec<i32>> {
    session
        .value(
            "SELECT coalesce(array_agg(pid ORDER BY backend_start), '{}') FROM pg_stat_activity
             WHERE backend_type = 'ragstone worker'",
        )
        .await
}

/// The number of locks that workers hold.
async fn locks(session: &Session) -> Result<usize> {
    let status: String =
        session.value("SELECT value FROM rag.status() WHERE name = 'synchronisation'").await?;
    status.rsplit_once(": ").context("no number of workers")?.1.parse().with_context(|| status.clone())
}

/// Uses a session of its own for each row: a session that has just requested a worker does not check for it
/// again.
async fn insert(server: &Server, database: &str, id: usize) -> Result<()> {
    let session = server.connect(database).await?;
    session.execute("INSERT INTO t VALUES ($1, 'one more row')", &[&i32::try_from(id)?]).await?;
    session.close().await
}

async fn a_worker_keeps_its_lock_when_a_check_asks_for_the_status() -> Result<()> {
    let server = Server::start().await?;
    let session = server.session().await?;
    let database: String = session.value("SELECT current_database()::text").await?;
    make(&session, 3, "").await?;
    let before = workers(&session).await?;
    ensure!(before.len() == 1 && locks(&session).await? == 1, "{before:?}");
    session
        .batch_execute(
            "CREATE TABLE asked (pid int);
             CREATE FUNCTION ask() RETURNS boolean LANGUAGE plpgsql AS
               $$ BEGIN PERFORM rag.status(); INSERT INTO public.asked VALUES (pg_backend_pid()); RETURN true; END $$;
             ALTER TABLE t ADD CHECK (ask()) NOT VALID;
             ALTER TABLE c_chunks ADD CHECK (ask()) NOT VALID;",
        )
        .await?;
    for id in 4..10 {
        insert(&server, &database, id).await?;
        converged(&session).await?;
        let held = locks(&session).await?;
        ensure!(held == 1, "{held} locks are held");
    }
    let asked: bool =
        session.value(&format!("SELECT EXISTS (SELECT FROM asked WHERE pid = {})", before[0])).await?;
    ensure!(asked, "the worker has not run the check");
    let after = workers(&session).await?;
    ensure!(after == before, "workers {before:?} became {after:?}");
    Ok(())
}

async fn a_worker_that_starts_another_one_keeps_its_lock() -> Result<()> {
    let server = Server::start_with(Options::default().set("rag.sync_workers", "2")).await?;
    let session = server.session().await?;
    let database: String = session.value("SELECT current_database()::text").await?;
    make(&session, 3, "").await?;
    session
        .batch_execute("INSERT INTO t SELECT i, 'text of row ' || i FROM generate_series(4, 1500) i")
        .await?;
    let both = wait::until("two workers work", async || {
        let found = workers(&session).await?;
        Ok((found.len() == 2).then_some(found))
    })
    .await?;
    for id in 2000.. {
        insert(&server, &database, id).await?;
        let (held, found) = (locks(&session).await?, workers(&session).await?);
        ensure!(
            held > 0 && found.len() <= 2 && found.contains(&both[0]),
            "{held} locks, {both:?}, {found:?}"
        );
        if session.value::<bool>("SELECT rag.wait_until_current('c', '100 ms')").await? {
            break;
        }
    }
    converged(&session).await
}

async fn settings_of_a_database_or_a_role_do_not_reach_a_worker() -> Result<()> {
    let server = Server::start().await?;
    // The settings apply to sessions that start later, as the worker does.
    let session = server.session().await?;
    let database: String = session.value("SELECT current_database()::text").await?;
    session
        .batch_execute(&format!(
            "CREATE ROLE alice LOGIN; CREATE ROLE weak;
             ALTER DATABASE {database} SET default_transaction_read_only = on;
             ALTER DATABASE {database} SET default_transaction_isolation = 'serializable';
             ALTER DATABASE {database} SET default_transaction_deferrable = on;
             ALTER ROLE postgres SET statement_timeout = '1ms';
             ALTER ROLE postgres SET lock_timeout = '1ms';
             ALTER ROLE postgres SET idle_in_transaction_session_timeout = '1ms';
             ALTER ROLE postgres SET session_replication_role = 'replica';
             ALTER ROLE postgres IN DATABASE {database} SET role = 'weak';"
        ))
        .await?;
    if server.install.major >= 17 {
        session.batch_execute("ALTER ROLE postgres SET transaction_timeout = '1ms'").await?;
    }
    make(&session, 3, "").await?;
    session.batch_execute("INSERT INTO t VALUES (4, 'followed'); DELETE FROM t WHERE id = 1").await?;
    converged(&session).await?;
    let alice = server.connect_as("alice", &database).await?;
    alice
        .batch_execute(
            "SET default_transaction_read_only = off; SET default_transaction_isolation = 'read committed'",
        )
        .await?;
    let job = submit(&alice, "embed", r#"{"input": "x"}"#).await?;
    ensure!(ended(&alice, job).await? == "done");
    let log = server.log()?;
    let complaints: Vec<_> = log
        .lines()
        .filter(|line| line.contains("ragstone worker: ") || line.contains("ragstone coordinator: "))
        .collect();
    ensure!(complaints.is_empty(), "{complaints:?}");
    Ok(())
}

/// Fails if the server's log reports the failure of a worker, or a database that no longer exists.
pub fn no_fatal_worker(server: &Server) -> Result<()> {
    let log = server.log()?;
    let complains = |line: &&str| {
        line.contains("background worker \"ragstone")
            && (line.contains("FATAL") || line.contains("exit code"))
            || line.contains("FATAL") && line.contains("does not exist")
    };
    let complaints: Vec<_> = log.lines().filter(complains).collect();
    ensure!(complaints.is_empty(), "{complaints:?}");
    Ok(())
}

async fn workers_that_are_sent_away_are_no_fatal_lines_in_the_log() -> Result<()> {
    let server = Server::start().await?;
    let admin = server.connect("postgres").await?;
    let session = server.session().await?;
    make(&session, 3, "").await?;
    let before = workers(&admin).await?;
    admin.execute("SELECT pg_terminate_backend($1)", &[&before[0]]).await?;
    // Work may be left that no other process knows of.
    wait::until("another worker runs", async || {
        let now = workers(&admin).await?;
        Ok((!now.is_empty() && now != before).then_some(()))
    })
    .await?;
    session.batch_execute("INSERT INTO t VALUES (4, 'by the next worker')").await?;
    converged(&session).await?;
    for drop in ["DROP DATABASE {}", "DROP DATABASE {} WITH (FORCE)", "ALTER DATABASE {} RENAME TO other"] {
        for rows in [3, 2000] {
            let session = server.session().await?;
            let database: String = session.value("SELECT current_database()::text").await?;
            make(&session, 3, "").await?;
            // With this number of rows, the worker is in the middle of them.
            session
                .batch_execute(&format!(
                    "INSERT INTO t SELECT i, 'row ' || i FROM generate_series(4, {rows}) i"
                ))
                .await?;
            session.close().await?;
            admin.batch_execute("DROP DATABASE IF EXISTS other").await?;
            admin.batch_execute(&drop.replace("{}", &database)).await?;
        }
    }
    server.stop(Signal::SIGINT)?;
    no_fatal_worker(&server)
}

/// A server without an engine: nothing starts a supervisor.
async fn server_without_supervisor(slots: &str) -> Result<Server> {
    let options = Options::default()
        .set("rag.engine_path", "/nowhere")
        .set("rag.sync_idle_timeout", "3600s")
        .set("max_worker_processes", slots);
    Server::start_with(options).await
}

async fn no_supervisor(session: &Session) -> Result<()> {
    let supervisors: i64 = session
        .value("SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'ragstone supervisor'")
        .await?;
    ensure!(supervisors == 0, "there is a supervisor");
    Ok(())
}

async fn log_a_step(session: &Session) -> Result<()> {
    session.execute("SELECT rag.log_step(rag.start_run('agent'), 'tool')", &[]).await?;
    Ok(())
}

/// One slot is used by logical replication. In each round, one database more than there are slots left has
/// steps that only a coordinator adds to its reports. (The last process keeps running, so with a single slot
/// databases would not take turns.)
async fn databases_take_turns_without_a_supervisor() -> Result<()> {
    for slots in ["3", "5"] {
        let server = server_without_supervisor(slots).await?;
        let mut sessions = Vec::new();
        for _ in 0..slots.parse::<usize>()? {
            sessions.push(server.session().await?);
        }
        for _ in 0..3 {
            for session in &sessions {
                log_a_step(session).await?;
            }
            for session in &sessions {
                until_folded(session).await?;
            }
        }
        no_supervisor(&sessions[0]).await?;
    }
    Ok(())
}

async fn a_coordinator_that_is_terminated_has_a_successor_without_a_supervisor() -> Result<()> {
    let server = server_without_supervisor("8").await?;
    let session = server.session().await?;
    log_a_step(&session).await?;
    until_folded(&session).await?;
    let end = "SELECT pid FROM pg_stat_activity WHERE backend_type = 'ragstone coordinator'";
    let first: i32 = session.value(end).await?;
    session.execute("SELECT pg_terminate_backend($1)", &[&first]).await?;
    wait::until("another coordinator runs", async || {
        let found = session.query(end, &[]).await?;
        Ok(found.first().is_some_and(|row| row.get::<_, i32>(0) != first).then_some(()))
    })
    .await?;
    no_supervisor(&session).await
}
