//! A database's coordinator continues its work whatever holds up the indexing: locks and code of users, and
//! providers.

use crate::followed::{converged, current, make};
use crate::generate::provide;
use crate::jobs::{ended, submit};
use crate::log_durability::{AUTONOMOUS, begun, coordinator, log, steps};
use crate::restore::name;
use anyhow::ensure;
use libtest_mimic::Trial;
use ragstone_tests::Result;
use ragstone_tests::provider::{Gate, Provider, Reply};
use ragstone_tests::server::{Options, Server};
use ragstone_tests::session::Session;
use ragstone_tests::wait;
use std::time::Duration;

pub fn tests() -> Vec<Trial> {
    ragstone_tests::tests![
        a_lock_on_a_chunk_table_holds_up_one_collection,
        a_lock_on_a_source_holds_up_one_collection,
        a_check_that_never_ends_holds_up_one_collection,
        a_change_of_a_collection_that_is_not_committed_holds_up_nothing_else,
        a_provider_that_is_waited_for_holds_up_nothing_else,
        each_kind_of_worker_is_there_only_for_its_own_work,
        a_worker_and_a_coordinator_share_the_only_slot,
        a_coordinator_that_is_terminated_has_a_successor,
        drop_extension_and_drop_database_end_both_kinds,
    ]
}

/// Twice the time limit of a worker's transaction, including its pauses.
const TWO_LIMITS: Duration = Duration::from_secs(180);

/// A database with the collection `c` of the table `t`, the collection `d` of the table `u`, and an agent's
/// run.
async fn two_collections(server: &Server) -> Result<(Session, i64)> {
    let (session, run) = begun(server).await?;
    make(&session, 3, "").await?;
    session
        .batch_execute(
            "CREATE TABLE u (id int PRIMARY KEY, body text); INSERT INTO u VALUES (1, 'one');
             SELECT rag.create_collection('d', 'u', 'body')",
        )
        .await?;
    ensure!(session.value::<bool>("SELECT rag.wait_until_current('d', '60s')").await?);
    Ok((session, run))
}

async fn other(server: &Server, session: &Session) -> Result<Session> {
    server.connect(&name(session).await?).await
}

/// Fails unless a job starts and ends, and steps are logged. The roll-ups are not checked, since they wait
/// for open transactions.
async fn duties_are_done(session: &Session, run: i64) -> Result<()> {
    let job = submit(session, "embed", r#"{"input": "x"}"#).await?;
    ensure!(ended(session, job).await? == "done");
    session.batch_execute(&log(run, "kept")).await?;
    // The engine may not have read the step yet, and then does not report it as waiting.
    wait::until("the step is there", async || Ok((steps(session).await? == "kept").then_some(()))).await
}

/// Fails unless the collection `d` becomes current.
async fn the_other_goes_on(session: &Session) -> Result<()> {
    session.batch_execute("INSERT INTO u SELECT coalesce(max(id), 0) + 1, 'one more' FROM u").await?;
    ensure!(session.value::<bool>("SELECT rag.wait_until_current('d', '180s')").await?);
    Ok(())
}

/// Fails unless the collection `d` becomes current, and `c` is shown as waiting because of `sqlstate`.
async fn only_one_waits(session: &Session, sqlstate: &str) -> Result<()> {
    the_other_goes_on(session).await?;
    // `rag.stat_collection` waits for the lock itself, because it shows the size of the table.
    let reason = wait::until_within(TWO_LIMITS, "the collection says what it waits for", async || {
        let sql =
            "SELECT reason FROM rag.collections WHERE name = 'c' AND state = 'waiting' AND next_try IS NOT NULL";
        Ok(session.query_opt(sql, &[]).await?.map(|row| row.get::<_, String>(0)))
    })
    .await?;
    ensure!(reason.starts_with(sqlstate), "{reason}");
    ensure!(session.value::<i64>("SELECT count(*) FROM rag.failed").await? == 0);
    Ok(())
}

/// Fails unless `c` becomes current and waits for nothing.
async fn recovered(session: &Session) -> Result<()> {
    converged(session).await?;
    let waits: bool = session.value("SELECT bool_or(state = 'waiting') FROM rag.stat_collection").await?;
    ensure!(!waits);
    Ok(())
}

async fn a_lock_on_a_chunk_table_holds_up_one_collection() -> Result<()> {
    let server = Server::start().await?;
    let (session, run) = two_collections(&server).await?;
    let locker = other(&server, &session).await?;
    locker.batch_execute("BEGIN; LOCK TABLE c_chunks IN ACCESS EXCLUSIVE MODE").await?;
    session.batch_execute("INSERT INTO t VALUES (4, 'four')").await?;
    duties_are_done(&session, run).await?;
    only_one_waits(&session, "55P03: ").await?;
    locker.batch_execute("ROLLBACK").await?;
    recovered(&session).await
}

async fn a_lock_on_a_source_holds_up_one_collection() -> Result<()> {
    let server = Server::start().await?;
    let (session, run) = two_collections(&server).await?;
    let locker = other(&server, &session).await?;
    locker.batch_execute("BEGIN; LOCK TABLE t IN ACCESS EXCLUSIVE MODE").await?;
    session
        .batch_execute(
            "INSERT INTO rag._queue (collection, key) SELECT id, '{1}' FROM rag.collection WHERE name = 'c'",
        )
        .await?;
    duties_are_done(&session, run).await?;
    only_one_waits(&session, "55P03: ").await?;
    locker.batch_execute("ROLLBACK").await?;
    recovered(&session).await
}

async fn a_check_that_never_ends_holds_up_one_collection() -> Result<()> {
    let server = Server::start().await?;
    let (session, run) = two_collections(&server).await?;
    session
        .batch_execute(
            "CREATE FUNCTION never() RETURNS boolean LANGUAGE plpgsql AS
               $$ BEGIN
                 LOOP
                   BEGIN PERFORM pg_sleep(3600); EXCEPTION WHEN query_canceled THEN NULL; END;
                 END LOOP;
               END $$;
             ALTER TABLE c_chunks ADD CONSTRAINT never CHECK (never()) NOT VALID;
             INSERT INTO t VALUES (4, 'four')",
        )
        .await?;
    wait::until("the worker is in the check", async || {
        let sql = "SELECT count(*) FROM pg_stat_activity
                   WHERE backend_type = 'ragstone worker' AND wait_event = 'PgSleep'";
        Ok((session.value::<i64>(sql).await? == 1).then_some(()))
    })
    .await?;
    duties_are_done(&session, run).await?;
    only_one_waits(&session, "57014: the transaction took longer than 30s").await?;
    session.batch_execute("ALTER TABLE c_chunks DROP CONSTRAINT never").await?;
    recovered(&session).await
}

async fn a_change_of_a_collection_that_is_not_committed_holds_up_nothing_else() -> Result<()> {
    let server = Server::start().await?;
    let (session, run) = two_collections(&server).await?;
    let owner = other(&server, &session).await?;
    owner.batch_execute("BEGIN; UPDATE rag.collection SET language = language WHERE name = 'c'").await?;
    session.batch_execute("INSERT INTO t VALUES (4, 'four')").await?;
    duties_are_done(&session, run).await?;
    the_other_goes_on(&session).await?;
    owner.batch_execute("ROLLBACK").await?;
    recovered(&session).await
}

async fn a_provider_that_is_waited_for_holds_up_nothing_else() -> Result<()> {
    let server = Server::start().await?;
    let (session, run) = two_collections(&server).await?;
    let gate = Gate::new();
    let provider = Provider::start([Reply::embeddings(8)])?;
    provide(&session, &provider).await?;
    session
        .batch_execute(
            "CREATE TABLE notes (id int PRIMARY KEY, body text);
             SELECT rag.create_collection('notes', 'notes', 'body', model => 'stub/small')",
        )
        .await?;
    let asked = provider.requests().len();
    provider.script([Reply::embeddings(8).behind(&gate)]);
    session.batch_execute("INSERT INTO notes SELECT i, 'note ' || i FROM generate_series(1, 20) i").await?;
    ensure!(provider.wait_for_requests(asked + 1), "the provider is not asked");
    duties_are_done(&session, run).await?;
    session.batch_execute("INSERT INTO t VALUES (4, 'four')").await?;
    current(&session).await?;
    ensure!(session.value::<i64>("SELECT count(*) FROM notes_chunks").await? == 0, "the gate is open");
    gate.open();
    ensure!(session.value::<bool>("SELECT rag.wait_until_current('notes', '60s')").await?);
    Ok(())
}

/// The number of processes of a kind.
async fn count(session: &Session, kind: &str) -> Result<i64> {
    session.value_of("SELECT count(*) FROM pg_stat_activity WHERE backend_type = $1", &[&kind]).await
}

async fn gone(session: &Session, kind: &str) -> Result<()> {
    let what = format!("every {kind} has left");
    wait::until(&what, async || Ok((count(session, kind).await? == 0).then_some(()))).await
}

async fn each_kind_of_worker_is_there_only_for_its_own_work() -> Result<()> {
    let server = Server::start_with(Options::default().set("rag.sync_idle_timeout", "1s")).await?;
    let session = server.session().await?;
    make(&session, 3, "").await?;
    ensure!(count(&session, "ragstone coordinator").await? == 0, "for a collection");
    gone(&session, "ragstone worker").await?;
    let job = submit(&session, "embed", r#"{"input": "x"}"#).await?;
    ensure!(ended(&session, job).await? == "done");
    ensure!(count(&session, "ragstone worker").await? == 0, "for a job");
    gone(&session, "ragstone coordinator").await
}

async fn a_worker_and_a_coordinator_share_the_only_slot() -> Result<()> {
    // One process for logical replication, one for the supervisor.
    let options = Options::default().set("max_worker_processes", "3").set("rag.sync_idle_timeout", "3600s");
    let server = Server::start_with(options).await?;
    let session = server.session().await?;
    make(&session, 3, "").await?;
    session.batch_execute(AUTONOMOUS).await?;
    for id in 4..6 {
        let run: i64 = session.value("SELECT rag.start_run('agent')").await?;
        session.batch_execute(&log(run, "step")).await?;
        wait::until("the steps are written", async || {
            let written: i64 = session.value("SELECT count(*) FROM rag.steps").await?;
            Ok((written == id - 3).then_some(()))
        })
        .await?;
        session.batch_execute(&format!("INSERT INTO t VALUES ({id}, 'one more')")).await?;
        converged(&session).await?;
    }
    Ok(())
}

async fn a_coordinator_that_is_terminated_has_a_successor() -> Result<()> {
    let server = Server::start().await?;
    let (session, run) = begun(&server).await?;
    let mut ended = Vec::new();
    for number in 1..=3 {
        let next = wait::until("another coordinator runs", async || {
            let found = coordinator(&session).await?.0;
            Ok((!ended.contains(&found)).then_some(found))
        })
        .await?;
        session.execute("SELECT pg_terminate_backend($1)", &[&next]).await?;
        ended.push(next);
        session.batch_execute(&log(run, &format!("step{number}"))).await?;
    }
    let found = steps(&session).await?;
    ensure!(found == "step1 step2 step3", "{found}");
    crate::worker_process::no_fatal_worker(&server)
}

async fn drop_extension_and_drop_database_end_both_kinds() -> Result<()> {
    let server = Server::start().await?;
    let (session, _) = two_collections(&server).await?;
    let admin = server.connect("postgres").await?;
    for kind in ["ragstone worker", "ragstone coordinator"] {
        ensure!(count(&admin, kind).await? == 1, "{kind}");
    }
    session.batch_execute("DROP EXTENSION ragstone CASCADE").await?;
    for kind in ["ragstone worker", "ragstone coordinator"] {
        gone(&admin, kind).await?;
    }
    let (session, _) = two_collections(&server).await?;
    let database = name(&session).await?;
    session.close().await?;
    admin.batch_execute(&format!("DROP DATABASE {database}")).await?;
    for kind in ["ragstone worker", "ragstone coordinator"] {
        gone(&admin, kind).await?;
    }
    crate::worker_process::no_fatal_worker(&server)
}
