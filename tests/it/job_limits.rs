//! Jobs: how many of them run, what prevents them from running, and how they are cancelled and deleted.

use crate::jobs::{KEYED, SEARCH, World, ended, submit};
use anyhow::ensure;
use libtest_mimic::Trial;
use ragstone_tests::Result;
use ragstone_tests::server::Options;
use ragstone_tests::wait;
use std::time::{Duration, Instant};

pub fn tests() -> Vec<Trial> {
    ragstone_tests::tests![
        jobs_over_the_cap_wait_and_the_oldest_is_first,
        one_role_does_not_take_all_workers_of_the_server,
        many_jobs_of_one_role_hide_no_jobs_of_others,
        looking_for_jobs_does_not_depend_on_changes_of_rows,
        without_a_free_slot_a_job_stays_queued,
        a_role_that_only_reads_by_default_has_jobs_done,
        a_job_of_a_role_that_has_gone_fails,
        old_jobs_are_forgotten;
        alone: a_cancelled_job_ends_at_once
    ]
}

/// Maximum time between the cancel and the end of a job: 100 ms, and the same again for a busy machine.
const LIMIT: Duration = Duration::from_millis(200);

async fn a_cancelled_job_ends_at_once() -> Result<()> {
    let world = World::with(Options::default().set("rag.max_job_workers", "1")).await?;
    world.close_gate().await?;
    let alice = world.session("alice").await?;
    let mut best = Duration::MAX;
    for _ in 0..3 {
        let running = submit(&alice, "search", SEARCH).await?;
        world.until_status(running, "running").await?;
        wait::until("the job waits at the gate", async || {
            let waiting: i64 = world
                .admin
                .value("SELECT count(*) FROM pg_locks WHERE NOT granted AND locktype = 'advisory'")
                .await?;
            Ok((waiting == 1).then_some(()))
        })
        .await?;
        let queued = submit(&alice, "search", SEARCH).await?;
        ensure!(alice.value::<bool>(&format!("SELECT rag.cancel_job({queued})")).await?);
        ensure!(world.status(queued).await? == "cancelled");
        let cancel = format!(
            "SELECT extract(epoch FROM clock_timestamp())::float8 FROM rag.cancel_job({running}) it WHERE it"
        );
        let asked: f64 = alice.value(&cancel).await?;
        ensure!(ended(&alice, running).await? == "cancelled");
        let done: f64 = alice
            .value_of(
                "SELECT extract(epoch FROM finished_at)::float8 FROM rag.jobs WHERE id = $1",
                &[&running],
            )
            .await?;
        best = best.min(Duration::from_secs_f64((done - asked).max(0.0)));
        for id in [queued, running] {
            alice.refusal(&format!("SELECT rag.job_result({id})")).await?.expect(
                "57014",
                "was cancelled",
                "",
            )?;
            ensure!(!alice.value::<bool>(&format!("SELECT rag.cancel_job({id})")).await?);
        }
    }
    ensure!(best < LIMIT, "cancelled after {best:?}");
    world.open_gate().await
}

async fn jobs_over_the_cap_wait_and_the_oldest_is_first() -> Result<()> {
    let world = World::with(
        Options::default().set("rag.max_job_workers", "2").set("rag.max_job_workers_per_role", "2"),
    )
    .await?;
    world.close_gate().await?;
    let alice = world.session("alice").await?;
    let mut ids = Vec::new();
    for _ in 0..6 {
        ids.push(submit(&alice, "search", SEARCH).await?);
    }
    for id in &ids[..2] {
        world.until_status(*id, "running").await?;
    }
    let queued: i64 = alice.value("SELECT count(*) FROM rag.jobs WHERE status = 'queued'").await?;
    let workers = "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'ragstone job'";
    ensure!(queued == 4 && world.admin.value::<i64>(workers).await? == 2);
    let bobs = world.submit("bob", "embed", r#"{"input": "x"}"#).await?;
    ensure!(waits_for(&world, bobs).await?.as_deref() == Some("rag.max_job_workers"));
    ensure!(waits_for(&world, ids[0]).await?.is_none() && waits_for(&world, ids[2]).await?.is_some());
    world.open_gate().await?;
    for id in &ids {
        ensure!(ended(&alice, *id).await? == "done");
    }
    let started: Vec<i64> = alice.value("SELECT array_agg(id ORDER BY started_at) FROM rag.jobs").await?;
    // Two jobs start at the same time, in any order.
    ensure!(
        started.chunks(2).flatten().zip(&ids).all(|(started, id)| (started - id).abs() <= 1),
        "{started:?}"
    );
    Ok(())
}

/// The reason why a job waits, as `rag.jobs` shows it.
async fn waits_for(world: &World, id: i64) -> Result<Option<String>> {
    world.admin.value_of("SELECT waits_for FROM rag.jobs WHERE id = $1", &[&id]).await
}

async fn one_role_does_not_take_all_workers_of_the_server() -> Result<()> {
    // By default a role may use half of the workers, here one.
    let world = World::with(Options::default().set("rag.max_job_workers", "3")).await?;
    world.close_gate().await?;
    let alice = world.session("alice").await?;
    let mut ids = Vec::new();
    for _ in 0..4 {
        ids.push(submit(&alice, "search", SEARCH).await?);
    }
    world.until_status(ids[0], "running").await?;
    // Her jobs in another database count as well.
    let other = world.server.database().await?;
    let elsewhere = world.server.connect_as("alice", &other).await?;
    let hers = submit(&elsewhere, "embed", r#"{"input": "x"}"#).await?;
    let theirs = submit(&world.server.connect(&other).await?, "embed", r#"{"input": "x"}"#).await?;
    ensure!(ended(&world.server.connect(&other).await?, theirs).await? == "done");
    let bobs = world.submit("bob", "embed", r#"{"input": "x"}"#).await?;
    ensure!(world.ended("bob", bobs).await? == "done");
    for id in &ids[1..] {
        ensure!(world.status(*id).await? == "queued");
        let reason = waits_for(&world, *id).await?;
        ensure!(reason.as_deref() == Some("rag.max_job_workers_per_role"), "{reason:?}");
    }
    let state: String =
        elsewhere.value_of("SELECT status || ' ' || waits_for FROM rag.jobs WHERE id = $1", &[&hers]).await?;
    ensure!(state == "queued rag.max_job_workers_per_role", "{state}");
    world.open_gate().await?;
    for id in &ids {
        ensure!(ended(&alice, *id).await? == "done" && waits_for(&world, *id).await?.is_none());
    }
    ensure!(ended(&elsewhere, hers).await? == "done");
    Ok(())
}

async fn many_jobs_of_one_role_hide_no_jobs_of_others() -> Result<()> {
    let world = World::with(Options::default().set("rag.max_job_workers", "2")).await?;
    world.close_gate().await?;
    let alice = world.session("alice").await?;
    let many = format!("SELECT count(rag.submit('search', '{SEARCH}')) FROM generate_series(1, 600)");
    ensure!(alice.value::<i64>(&many).await? == 600);
    let bobs = world.submit("bob", "embed", r#"{"input": "x"}"#).await?;
    ensure!(world.ended("bob", bobs).await? == "done");
    world.open_gate().await
}

async fn looking_for_jobs_does_not_depend_on_changes_of_rows() -> Result<()> {
    const CHANGES: i64 = 60;
    let world = World::new().await?;
    world
        .admin
        .batch_execute(
            "CREATE TABLE pages (id int PRIMARY KEY, body text);
             SELECT rag.create_collection('pages', 'pages', 'body', sync => 'background')",
        )
        .await?;
    ensure!(world.admin.value::<bool>("SELECT rag.wait_until_current('pages', '60s')").await?);
    let looks = "SELECT coalesce(seq_scan, 0) + coalesce(idx_scan, 0)
                 FROM pg_stat_user_tables WHERE relid = 'rag._job'::regclass";
    let (before, start): (i64, _) = (world.admin.value(looks).await?, Instant::now());
    for page in 0..CHANGES {
        world.admin.execute("INSERT INTO pages VALUES ($1, 'a page')", &[&i32::try_from(page)?]).await?;
        ensure!(world.admin.value::<bool>("SELECT rag.wait_until_current('pages', '60s')").await?);
    }
    let looks = world.admin.value::<i64>(looks).await? - before;
    // Each change causes at least one pass of the worker's loop. It checks for jobs once a second, and
    // occasionally for old jobs.
    let expected = i64::try_from(start.elapsed().as_secs())? + 10;
    ensure!(looks <= expected, "{looks} looks for jobs in {CHANGES} changes");
    // Jobs that are submitted meanwhile are found.
    let mut ids = Vec::new();
    for page in 0..5 {
        world.admin.execute("UPDATE pages SET body = 'another page' WHERE id % 5 = $1", &[&page]).await?;
        ids.push(world.submit("alice", "embed", r#"{"input": "x"}"#).await?);
    }
    for id in ids {
        ensure!(world.ended("alice", id).await? == "done");
    }
    Ok(())
}

async fn without_a_free_slot_a_job_stays_queued() -> Result<()> {
    // One process for logical replication, one for the supervisor, one for the database's coordinator.
    let options = Options::default().set("max_worker_processes", "3");
    let world = World::with(options).await?;
    let coordinators = "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'ragstone coordinator'";
    let id = world.submit("alice", "embed", r#"{"input": "x"}"#).await?;
    wait::until("the coordinator has the last slot", async || {
        Ok((world.admin.value::<i64>(coordinators).await? == 1).then_some(()))
    })
    .await?;
    let alice = world.session("alice").await?;
    let refusal = alice.refusal(&format!("CALL rag.wait_for_job({id}, '1500ms')")).await?;
    refusal.expect("57014", "and is queued", "")?;
    ensure!(waits_for(&world, id).await?.as_deref() == Some("max_worker_processes"));
    let lines =
        world.server.log()?.matches("a job waits for its worker: PostgreSQL has no free slot").count();
    ensure!(lines == 1, "the log says it {lines} times");
    drop(alice);
    // Queued jobs outlive the server.
    world.server.stop(nix::sys::signal::Signal::SIGINT)?;
    world.server.configure(&Options::default().set("max_worker_processes", "8"))?;
    world.server.restart().await?;
    ensure!(world.ended("alice", id).await? == "done");
    Ok(())
}

async fn a_role_that_only_reads_by_default_has_jobs_done() -> Result<()> {
    let world = World::new().await?;
    world
        .admin
        .batch_execute(
            "ALTER ROLE alice SET default_transaction_read_only = on;
             ALTER ROLE alice SET default_transaction_isolation = serializable",
        )
        .await?;
    let alice = world.session("alice").await?;
    alice.batch_execute("BEGIN READ WRITE").await?;
    let id = submit(&alice, "search", SEARCH).await?;
    alice.batch_execute("COMMIT").await?;
    ensure!(ended(&alice, id).await? == "done");
    Ok(())
}

async fn a_job_of_a_role_that_has_gone_fails() -> Result<()> {
    let world = World::with(Options::default().set("rag.max_job_workers", "1")).await?;
    world.close_gate().await?;
    world.submit("alice", "search", SEARCH).await?;
    let nologin = world.submit("bob", "embed", r#"{"input": "x"}"#).await?;
    world.admin.batch_execute("CREATE ROLE carol LOGIN; CREATE ROLE dave LOGIN").await?;
    let gone = world.submit("carol", "embed", r#"{"input": "x"}"#).await?;
    let locked_out = world.submit("dave", "embed", r#"{"input": "x"}"#).await?;
    let database = &world.database;
    world
        .admin
        .batch_execute(&format!(
            "DROP ROLE carol; REVOKE CONNECT ON DATABASE {database} FROM PUBLIC; GRANT CONNECT ON DATABASE {database} TO bob"
        ))
        .await?;
    world.open_gate().await?;
    world.until_status(gone, "failed").await?;
    world.until_status(locked_out, "failed").await?;
    world.until_status(nologin, "done").await?;
    let refusal = world.admin.refusal(&format!("SELECT rag.job_result({gone})")).await?;
    refusal.expect("42704", "no longer exists", "")?;
    let refusal = world.admin.refusal(&format!("SELECT rag.job_result({locked_out})")).await?;
    refusal.expect("42501", "may no longer connect", "")
}

async fn old_jobs_are_forgotten() -> Result<()> {
    let world = World::with(Options::default().set("rag.sync_idle_timeout", "1s")).await?;
    let alice = world.session("alice").await?;
    let (old, recent) = (alice.value::<i64>(KEYED).await?, submit(&alice, "search", SEARCH).await?);
    ensure!(ended(&alice, old).await? == "done" && ended(&alice, recent).await? == "done");
    let age = "UPDATE rag._job SET finished_at = finished_at - interval '8 days' WHERE id = $1";
    world.admin.execute(age, &[&old]).await?;
    let coordinators = "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'ragstone coordinator'";
    wait::until("the coordinator has exited", async || {
        Ok((world.admin.value::<i64>(coordinators).await? == 0).then_some(()))
    })
    .await?;
    let new = submit(&alice, "search", SEARCH).await?;
    ensure!(ended(&alice, new).await? == "done");
    let kept: Vec<i64> = alice.value("SELECT array_agg(id ORDER BY id) FROM rag.jobs").await?;
    ensure!(kept == [recent, new], "{kept:?}");
    ensure!(alice.value::<i64>(KEYED).await? > new);
    Ok(())
}
