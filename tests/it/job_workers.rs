//! The life cycle of job workers: what ends them, and what happens to their jobs.

use crate::jobs::{SEARCH, World, ended, submit};
use crate::worker_process::no_fatal_worker;
use anyhow::ensure;
use libtest_mimic::Trial;
use ragstone_tests::Result;
use ragstone_tests::process::Process;
use ragstone_tests::server::{Options, run};
use ragstone_tests::wait;

pub fn tests() -> Vec<Trial> {
    ragstone_tests::tests![
        a_job_whose_worker_was_terminated_is_done_again_but_not_for_ever,
        a_job_survives_the_crash_of_the_server,
        a_job_that_may_not_be_done_twice_fails_when_its_worker_ends,
        a_cancelled_job_without_a_worker_is_not_begun_again,
        drop_database_succeeds_while_a_job_runs,
        drop_extension_waits_for_no_job,
        what_is_not_done_yet_comes_through_a_dump,
        a_job_may_submit_and_cancel_jobs,
    ]
}

/// The worker that waits at the gate.
async fn worker(world: &World) -> Result<Process> {
    wait::until("a worker waits at the gate", async || {
        let waiting = "SELECT a.pid FROM pg_stat_activity a JOIN pg_locks l USING (pid)
                       WHERE backend_type = 'ragstone job' AND locktype = 'advisory' AND NOT granted";
        Ok(world.admin.query_opt(waiting, &[]).await?.map(|row| Process(row.get(0))))
    })
    .await
}

async fn attempts(world: &World, id: i64) -> Result<i32> {
    world.admin.value_of("SELECT attempts FROM rag.jobs WHERE id = $1", &[&id]).await
}

async fn a_job_whose_worker_was_terminated_is_done_again_but_not_for_ever() -> Result<()> {
    let world = World::new().await?;
    for ends in 1..=3 {
        world.close_gate().await?;
        let id = world.submit("alice", "search", SEARCH).await?;
        for attempt in 1..=ends {
            let worker = worker(&world).await?;
            ensure!(attempts(&world, id).await? == attempt);
            world.admin.execute("SELECT pg_terminate_backend($1)", &[&worker.0]).await?;
            wait::until("the worker ends", async || Ok((!worker.runs()).then_some(()))).await?;
        }
        world.open_gate().await?;
        let status = world.ended("alice", id).await?;
        ensure!(status == if ends < 3 { "done" } else { "failed" }, "{status} after {ends}");
        if ends == 3 {
            let refusal =
                world.session("alice").await?.refusal(&format!("SELECT rag.job_result({id})")).await?;
            refusal.expect("57P03", "ended 3 times while it ran the job", "server's log")?;
        }
    }
    no_fatal_worker(&world.server)
}

async fn a_job_survives_the_crash_of_the_server() -> Result<()> {
    let mut world = World::new().await?;
    world.close_gate().await?;
    let id = world.submit("alice", "search", SEARCH).await?;
    let queued = world.submit("alice", "embed", r#"{"input": "x"}"#).await?;
    worker(&world).await?;
    world.server.crash().await?;
    world.server.restart().await?;
    world.admin = world.server.connect(&world.database).await?;
    ensure!(world.ended("alice", id).await? == "done" && attempts(&world, id).await? == 2);
    ensure!(world.ended("alice", queued).await? == "done");
    Ok(())
}

async fn a_job_that_may_not_be_done_twice_fails_when_its_worker_ends() -> Result<()> {
    let world = World::new().await?;
    world.close_gate().await?;
    let id = world.submit("alice", "search", SEARCH).await?;
    let worker = worker(&world).await?;
    world.admin.execute("UPDATE rag._job SET kind = 'of another version' WHERE id = $1", &[&id]).await?;
    world.admin.execute("SELECT pg_terminate_backend($1)", &[&worker.0]).await?;
    ensure!(world.ended("alice", id).await? == "failed");
    let refusal = world.session("alice").await?.refusal(&format!("SELECT rag.job_result({id})")).await?;
    refusal.expect("57P03", "is not run again", "submit the job again")?;
    world.open_gate().await
}

async fn a_cancelled_job_without_a_worker_is_not_begun_again() -> Result<()> {
    let world = World::with(Options::default().set("rag.max_job_workers", "1")).await?;
    world.close_gate().await?;
    let id = world.submit("alice", "search", SEARCH).await?;
    let worker = worker(&world).await?;
    let alice = world.session("alice").await?;
    // A worker that starts the job again after the cancel waits for its commit; a worker that started it
    // before is interrupted.
    alice.batch_execute("BEGIN").await?;
    world.admin.execute("SELECT pg_terminate_backend($1)", &[&worker.0]).await?;
    wait::until("the worker ends", async || Ok((!worker.runs()).then_some(()))).await?;
    ensure!(alice.value::<bool>(&format!("SELECT rag.cancel_job({id})")).await?);
    alice.batch_execute("COMMIT").await?;
    world.until_status(id, "cancelled").await?;
    world.open_gate().await?;
    let next = submit(&alice, "search", SEARCH).await?;
    ensure!(ended(&alice, next).await? == "done" && world.status(id).await? == "cancelled");
    Ok(())
}

async fn drop_database_succeeds_while_a_job_runs() -> Result<()> {
    let world = World::new().await?;
    // The gate of the other tests needs a session, which would prevent the database from being dropped.
    let sleep = "CREATE OR REPLACE FUNCTION app.gate() RETURNS boolean LANGUAGE plpgsql
                   AS 'BEGIN PERFORM pg_sleep(600); RETURN true; END'";
    world.admin.batch_execute(sleep).await?;
    let id = world.submit("alice", "search", SEARCH).await?;
    world.until_status(id, "running").await?;
    let World { server, database, admin } = world;
    admin.close().await?;
    let postgres = server.connect("postgres").await?;
    // PostgreSQL raises an error after five seconds.
    postgres.batch_execute(&format!("DROP DATABASE {database}")).await?;
    Ok(())
}

async fn drop_extension_waits_for_no_job() -> Result<()> {
    let world = World::new().await?;
    world.close_gate().await?;
    // The job waits for this session, which will wait for the job: PostgreSQL ends the process that checks
    // for a deadlock first.
    world.admin.batch_execute("ALTER ROLE alice SET deadlock_timeout = '5s'").await?;
    world.submit("alice", "search", SEARCH).await?;
    let worker = worker(&world).await?;
    let drop = "SET deadlock_timeout = '1min'; SET lock_timeout = '1min'; DROP EXTENSION ragstone CASCADE";
    world.admin.batch_execute(drop).await?;
    world.open_gate().await?;
    wait::until("the worker exits", async || Ok((!worker.runs()).then_some(()))).await?;
    // Numbers start again at 1, and are unrelated to the former ones.
    world.admin.batch_execute("CREATE EXTENSION ragstone").await?;
    let id = world.submit("alice", "embed", r#"{"input": "x"}"#).await?;
    ensure!(id == 1 && world.ended("alice", id).await? == "done");
    Ok(())
}

async fn what_is_not_done_yet_comes_through_a_dump() -> Result<()> {
    let world = World::new().await?;
    let done = world.submit("alice", "embed", r#"{"input": "x"}"#).await?;
    ensure!(world.ended("alice", done).await? == "done");
    world.close_gate().await?;
    let running = world.submit("alice", "search", SEARCH).await?;
    worker(&world).await?;
    let dump = world.server.folder().join("jobs.sql");
    run(world.server.client("pg_dump")?.args(["--dbname", &world.database, "--file"]).arg(&dump))?;
    let copy = world.server.empty_database("").await?;
    run(world.server.client("psql")?.args(["-XqAt", "-v", "ON_ERROR_STOP=1", "-d", &copy, "-f"]).arg(&dump))?;
    let session = world.server.connect(&copy).await?;
    ensure!(session.value::<Vec<i64>>("SELECT array_agg(id) FROM rag.jobs").await? == [running]);
    // The gate belongs to one database.
    let alice = world.server.connect_as("alice", &copy).await?;
    ensure!(ended(&alice, running).await? == "done");
    ensure!(submit(&alice, "embed", r#"{"input": "x"}"#).await? == running + 1);
    world.open_gate().await
}

async fn a_job_may_submit_and_cancel_jobs() -> Result<()> {
    let world = World::new().await?;
    world
        .admin
        .batch_execute(
            r#"CREATE OR REPLACE FUNCTION app.gate() RETURNS boolean LANGUAGE plpgsql AS $$
               BEGIN
                 PERFORM rag.submit('embed', '{"input": "x"}', 'from a job');
                 PERFORM rag.cancel_job(max(id)) FROM rag.jobs WHERE kind = 'search';
                 RETURN true;
               END $$"#,
        )
        .await?;
    let id = world.submit("alice", "search", SEARCH).await?;
    ensure!(world.ended("alice", id).await? == "cancelled");
    let submitted: i64 = world.admin.value("SELECT count(*) FROM rag.jobs WHERE kind = 'embed'").await?;
    ensure!(submitted == 0 && attempts(&world, id).await? == 1);
    Ok(())
}
