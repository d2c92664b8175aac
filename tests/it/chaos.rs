//! Thirty kills of engine, worker and postmaster while pgbench writes. After each kill, the collection
//! becomes equal to a rebuilt one.

use anyhow::{Context, ensure};
use futures_util::future::try_join;
use libtest_mimic::Trial;
use nix::sys::signal::Signal;
use ragstone_tests::Result;
use ragstone_tests::chance::Chance;
use ragstone_tests::process::Process;
use ragstone_tests::rebuilt;
use ragstone_tests::server::{Options, Server};
use ragstone_tests::session::Session;
use ragstone_tests::wait;
use ragstone_tests::writers::{CLIENTS, KEYS, Writers};

pub fn tests() -> Vec<Trial> {
    ragstone_tests::tests![thirty_kills_under_writes_leave_what_a_rebuild_gives]
}

const KILLS: usize = 30;
/// Number of steps of all clients in one round.
const STEPS: i64 = 200 * CLIENTS;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Victim {
    Engine,
    Worker,
    Postmaster,
}

/// The moment at which the victim is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Moment {
    /// After this number of steps.
    Written(i64),
    /// After all steps, when this number of changes is left in the queue.
    Left(i64),
}

async fn thirty_kills_under_writes_leave_what_a_rebuild_gives() -> Result<()> {
    let seed = Chance::seed("RAGSTONE_CHAOS_SEED");
    kill_again_and_again(&Chance::of(seed)).await.with_context(|| format!("RAGSTONE_CHAOS_SEED={seed}"))
}

async fn kill_again_and_again(chance: &Chance) -> Result<()> {
    // The runtime that loads faster, because the test is about kills.
    let options = Options::default().set("rag.engine_runtime", "onnxruntime").set("rag.sync_workers", "2");
    let server = Server::start_with(options).await?;
    let database = server.database().await?;
    let session = server.connect(&database).await?;
    let writers = Writers::prepare(&server, &session).await?;
    rebuilt::create(&session, "c", "").await?;
    let world = World { server, database, chance, writers };
    let kinds = [Victim::Engine, Victim::Worker, Victim::Postmaster];
    let mut victims: Vec<_> = kinds.into_iter().cycle().take(KILLS).collect();
    chance.shuffle(&mut victims);
    for (round, victim) in victims.into_iter().enumerate() {
        let moment = match chance.below(3) {
            0 => Moment::Left(chance.below(KEYS) as i64),
            _ => Moment::Written(chance.below(STEPS as usize) as i64),
        };
        world
            .round(victim, moment)
            .await
            .with_context(|| format!("round {round}: {victim:?} at {moment:?}"))?;
    }
    Ok(())
}

struct World<'a> {
    server: Server,
    database: String,
    chance: &'a Chance,
    writers: Writers,
}

impl World<'_> {
    async fn round(&self, victim: Victim, moment: Moment) -> Result<()> {
        let begun = self.steps().await?;
        try_join(self.write(begun + STEPS), self.kill(victim, moment, begun)).await?;
        let session = self.session().await?;
        let current: bool = session.value("SELECT rag.wait_until_current('c', '60s')").await?;
        ensure!(current, "not current after 60 s: {}", self.pending(&session).await?);
        rebuilt::check(&session, "c", "").await
    }

    /// Opens a session as soon as the server accepts one.
    async fn session(&self) -> Result<Session> {
        wait::until("the server answers", async || Ok(self.server.connect(&self.database).await.ok())).await
    }

    /// Number of steps so far, as soon as the server can return it.
    async fn steps(&self) -> Result<i64> {
        wait::until("the steps are counted", async || {
            let Ok(session) = self.server.connect(&self.database).await else { return Ok(None) };
            Ok(Writers::steps(&session).await.ok())
        })
        .await
    }

    /// Writes until this number of steps has been done. Clients whose connections end are replaced by new
    /// ones.
    async fn write(&self, end: i64) -> Result<()> {
        loop {
            let left = end - self.steps().await?;
            if left <= 0 {
                return Ok(());
            }
            self.writers.run(&self.server, &self.database, left, None, self.chance.below(1 << 31)).await?;
        }
    }

    async fn kill(&self, victim: Victim, moment: Moment, begun: i64) -> Result<()> {
        let watcher = self.session().await?;
        wait::until("the moment for the kill comes", async || {
            let written = Writers::steps(&watcher).await? - begun;
            let ripe = match moment {
                Moment::Written(count) => written >= count,
                Moment::Left(count) => {
                    let left: i64 = watcher.value("SELECT count(*) FROM rag._queue").await?;
                    written >= STEPS && left <= count
                }
            };
            Ok(ripe.then_some(()))
        })
        .await?;
        match victim {
            Victim::Engine => self.engine().await?.signal(Signal::SIGKILL),
            Victim::Worker => {
                self.worker(&watcher).await?.signal(Signal::SIGKILL);
                // The server restarts, and ends all sessions before it accepts new ones.
                wait::until("the session is ended", async || Ok(watcher.is_closed().then_some(()))).await?;
            }
            Victim::Postmaster => {
                self.server.crash().await?;
                self.server.restart().await?;
            }
        }
        Ok(())
    }

    async fn engine(&self) -> Result<Process> {
        wait::until("an engine runs", async || Ok(self.server.engines().first().copied())).await
    }

    async fn worker(&self, watcher: &Session) -> Result<Process> {
        let sql = "SELECT pid FROM pg_stat_activity WHERE backend_type IN ('ragstone worker', 'ragstone coordinator')";
        let mut workers = wait::until("a worker runs", async || {
            let rows = watcher.query(sql, &[]).await?;
            Ok((!rows.is_empty()).then_some(rows))
        })
        .await?;
        Ok(Process(workers.swap_remove(self.chance.below(workers.len())).get(0)))
    }

    async fn pending(&self, session: &Session) -> Result<String> {
        let sql = "SELECT concat_ws('; ', (SELECT string_agg(q::text, ' ') FROM rag._queue q),
                     (SELECT string_agg(f::text, ' ') FROM rag._failure f),
                     (SELECT string_agg(a.query, ' ') FROM pg_stat_activity a WHERE backend_type = 'ragstone worker'))";
        session.value(sql).await
    }
}
