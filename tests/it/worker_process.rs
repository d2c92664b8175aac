//! Workers as processes: their locks.

use crate::followed::{converged, make};
use anyhow::{Context, ensure};
use libtest_mimic::Trial;
use ragstone_tests::Result;
use ragstone_tests::server::{Options, Server};
use ragstone_tests::session::Session;
use ragstone_tests::wait;

pub fn tests() -> Vec<Trial> {
    ragstone_tests::tests![
        a_worker_keeps_its_lock_when_a_trigger_asks_for_the_status,
        a_worker_that_starts_another_one_keeps_its_lock,
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

/// A session of its own for each row: one that has just had a worker started does not look for it again.
async fn insert(server: &Server, database: &str, id: usize) -> Result<()> {
    let session = server.connect(database).await?;
    session.execute("INSERT INTO t VALUES ($1, 'one more row')", &[&i32::try_from(id)?]).await?;
    session.close().await
}

async fn a_worker_keeps_its_lock_when_a_trigger_asks_for_the_status() -> Result<()> {
    let server = Server::start().await?;
    let session = server.session().await?;
    let database: String = session.value("SELECT current_database()::text").await?;
    make(&session, 3, "").await?;
    let before = workers(&session).await?;
    ensure!(before.len() == 1 && locks(&session).await? == 1, "{before:?}");
    session
        .batch_execute(
            "CREATE TABLE asked (pid int);
             CREATE FUNCTION ask() RETURNS trigger LANGUAGE plpgsql AS
               $$ BEGIN PERFORM rag.status(); INSERT INTO public.asked VALUES (pg_backend_pid()); RETURN NEW; END $$;
             CREATE TRIGGER ask BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION ask();
             CREATE TRIGGER ask BEFORE INSERT ON c_chunks FOR EACH ROW EXECUTE FUNCTION ask();",
        )
        .await?;
    for id in 4..10 {
        insert(&server, &database, id).await?;
        converged(&session).await?;
        let held = locks(&session).await?;
        ensure!(held == 1, "{held} locks are held");
    }
    let asked: bool = session.value(&format!("SELECT EXISTS (SELECT FROM asked WHERE pid = {})", before[0])).await?;
    ensure!(asked, "the worker has not fired the trigger");
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
        ensure!(held > 0 && found.len() <= 2 && found.contains(&both[0]), "{held} locks, {both:?}, {found:?}");
        if session.value::<bool>("SELECT rag.wait_until_current('c', '100 ms')").await? {
            break;
        }
    }
    converged(&session).await
}
