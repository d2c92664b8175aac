//! Thirty kills of engine, worker and postmaster under concurrent writes. After each, the collection becomes exactly what
//! a rebuild gives.

use crate::sample::texts;
use anyhow::{Context, ensure};
use futures_util::future::try_join_all;
use libtest_mimic::Trial;
use nix::sys::signal::Signal;
use ragstone_tests::Result;
use ragstone_tests::chance::Chance;
use ragstone_tests::process::Process;
use ragstone_tests::server::{Options, Server};
use ragstone_tests::session::Session;
use ragstone_tests::wait;
use std::cell::Cell;

pub fn tests() -> Vec<Trial> {
    ragstone_tests::tests![thirty_kills_under_writes_leave_what_a_rebuild_gives]
}

const KILLS: usize = 30;
const WRITERS: usize = 4;
/// Steps of each writer in one round.
const WRITES: usize = 200;
/// Rows have keys below this, so that writers meet.
const KEYS: usize = 150;

/// What the round's server may say to a writer: it goes down or comes up, two writers met, or a key was taken.
const EXPECTED: &[&str] = &["57P01", "57P02", "57P03", "40P01", "23505"];

const CREATE: &str = "
    CREATE TABLE t (id int PRIMARY KEY, body text, kind text NOT NULL DEFAULT 'new', hits int NOT NULL DEFAULT 0);
    SELECT rag.create_collection('c', 't', 'body', metadata => '{kind}', chunk_size => 32, chunk_overlap => 0)";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Victim {
    Engine,
    Worker,
    Postmaster,
}

/// When the victim dies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Moment {
    /// So many steps have been done.
    Written(usize),
    /// All have been done, and so many changes are left in the queue.
    Left(usize),
}

async fn thirty_kills_under_writes_leave_what_a_rebuild_gives() -> Result<()> {
    let seed = Chance::seed("RAGSTONE_CHAOS_SEED");
    kill_again_and_again(&Chance::of(seed)).await.with_context(|| format!("RAGSTONE_CHAOS_SEED={seed}"))
}

async fn kill_again_and_again(chance: &Chance) -> Result<()> {
    // The runtime that is the faster to load: the test is about deaths.
    let options = Options::default().set("rag.engine_runtime", "onnxruntime").set("rag.sync_workers", "2");
    let server = Server::start_with(options).await?;
    let world = World { database: server.database().await?, server, chance, written: Cell::new(0) };
    world.session().await?.batch_execute(CREATE).await?;
    let kinds = [Victim::Engine, Victim::Worker, Victim::Postmaster];
    let mut victims: Vec<_> = kinds.into_iter().cycle().take(KILLS).collect();
    chance.shuffle(&mut victims);
    for (round, victim) in victims.into_iter().enumerate() {
        let moment = match chance.below(3) {
            0 => Moment::Left(chance.below(KEYS)),
            _ => Moment::Written(chance.below(WRITERS * WRITES)),
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
    /// Steps that were done in this round, whatever came of them.
    written: Cell<usize>,
}

impl World<'_> {
    async fn round(&self, victim: Victim, moment: Moment) -> Result<()> {
        self.written.set(0);
        let writing = try_join_all((0..WRITERS).map(|_| self.write()));
        futures_util::future::try_join(writing, self.kill(victim, moment)).await?;
        let session = self.session().await?;
        let current: bool = session.value("SELECT rag.wait_until_current('c', '60s')").await?;
        ensure!(current, "not current after 60 s: {}", self.pending(&session).await?);
        check(&session).await
    }

    /// A session, as soon as the server takes one.
    async fn session(&self) -> Result<Session> {
        wait::until("the server answers", async || Ok(self.server.connect(&self.database).await.ok())).await
    }

    async fn write(&self) -> Result<()> {
        let mut session = self.session().await?;
        for _ in 0..WRITES {
            let outcome = run(&session, &step(self.chance)).await;
            self.written.set(self.written.get() + 1);
            if let Err(error) = outcome {
                let expected = error.code().is_none_or(|code| EXPECTED.contains(&code.code()));
                ensure!(expected, "a write was refused: {error:?}");
                session = self.session().await?;
            }
        }
        Ok(())
    }

    async fn kill(&self, victim: Victim, moment: Moment) -> Result<()> {
        let watcher = self.session().await?;
        wait::until("the moment of death", async || {
            let ripe = match moment {
                Moment::Written(count) => self.written.get() >= count,
                Moment::Left(count) => {
                    let left: i64 = watcher.value("SELECT count(*) FROM rag._queue").await?;
                    self.written.get() >= WRITERS * WRITES && left <= count as i64
                }
            };
            Ok(ripe.then_some(()))
        })
        .await?;
        match victim {
            Victim::Engine => self.engine().await?.signal(Signal::SIGKILL),
            Victim::Worker => {
                self.worker(&watcher).await?.signal(Signal::SIGKILL);
                // The server restarts, and ends all sessions before it takes new ones.
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
        let sql = "SELECT pid FROM pg_stat_activity WHERE backend_type = 'ragstone worker'";
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

async fn run(session: &Session, step: &[String]) -> std::result::Result<(), tokio_postgres::Error> {
    for statement in step {
        session.batch_execute(statement).await?;
    }
    Ok(())
}

/// One of the things that a writer may do, mostly a single statement.
fn step(chance: &Chance) -> Vec<String> {
    let (id, other, body) = (chance.below(KEYS), chance.below(KEYS), body(chance));
    let insert = format!(
        "INSERT INTO t (id, body) VALUES ({id}, {body}) ON CONFLICT (id) DO UPDATE SET body = excluded.body"
    );
    let update = format!("UPDATE t SET body = {body} WHERE id = {id}");
    let delete = format!("DELETE FROM t WHERE id = {id}");
    let one = match chance.below(100) {
        0..35 => insert,
        35..55 => update,
        55..65 => format!("UPDATE t SET hits = hits + 1 WHERE id BETWEEN {id} AND {id} + 5"),
        65..75 => delete,
        75..85 => format!("UPDATE t SET id = {other} WHERE id = {id}"),
        85..88 => format!("UPDATE t SET kind = 'kind ' || {other} % 3 WHERE id = {id}"),
        88..90 => format!("UPDATE t SET body = {body} WHERE id % 3 = {other} % 3"),
        90..92 => format!("UPDATE t SET id = id + {KEYS} WHERE id = {id}; {insert}; {delete}"),
        92..94 => format!("BEGIN; {insert}; UPDATE t SET id = {other} WHERE id = {id}; COMMIT"),
        94..96 => format!("BEGIN; {update}; DELETE FROM t WHERE id = {other}; ROLLBACK"),
        96 => format!("BEGIN; TRUNCATE t; {insert}; COMMIT"),
        // The worker comes to a row that seems to be going, and stays.
        _ => {
            let linger = format!("SELECT count(*) FROM generate_series(1, {})", chance.below(1_000_000));
            return vec![insert, format!("BEGIN; {delete}"), linger, "ROLLBACK".into()];
        }
    };
    vec![one]
}

/// Nothing, or one to four sentences of a few, so that rows share chunks.
fn body(chance: &Chance) -> String {
    match chance.below(20) {
        0 => "NULL".to_owned(),
        1 => "' '".to_owned(),
        _ => {
            let sentences = texts(40, 14);
            let count = 1 + chance.below(4);
            let chosen: Vec<_> = (0..count).map(|_| chance.pick(&sentences).as_str()).collect();
            format!("'{}.'", chosen.join(".\n\n"))
        }
    }
}

/// Compares the collection with one that is made anew of the same rows.
async fn check(session: &Session) -> Result<()> {
    let left: i64 = session.value("SELECT count(*) FROM rag._queue").await?;
    ensure!(left == 0, "{left} changes are left in the queue");
    let failed: i64 = session.value("SELECT count(*) FROM rag.failed").await?;
    ensure!(failed == 0, "{failed} rows failed");
    session
        .batch_execute(
            "SELECT rag.create_collection('fresh', 't', 'body', metadata => '{kind}', chunk_size => 32,
                                          chunk_overlap => 0, sync => 'manual')",
        )
        .await?;
    for (what, sql) in [("chunks", CHUNKS_THAT_DIFFER), ("words", WORDS_THAT_DIFFER)] {
        let differing: Option<String> = session.value(sql).await?;
        ensure!(
            differing.is_none(),
            "{what} differ from those of a rebuild: {}",
            differing.unwrap_or_default()
        );
    }
    session.batch_execute("SELECT rag.drop_collection('fresh')").await?;
    Ok(())
}

/// The levels of words are left out: each collection has them relative to its own first chunks.
const CHUNKS_THAT_DIFFER: &str = r"
    WITH c AS (SELECT *, ARRAY(SELECT lexeme FROM unnest(tsv) WHERE lexeme !~ '[\x01-\x03]$') AS lexemes FROM c_chunks),
         f AS (SELECT *, ARRAY(SELECT lexeme FROM unnest(tsv) WHERE lexeme !~ '[\x01-\x03]$') AS lexemes FROM fresh_chunks)
    SELECT string_agg(format('key %s chunk %s, rebuilt key %s chunk %s', c.key_1, c.seq, f.key_1, f.seq), E'\n')
    FROM c FULL JOIN f ON c.key_1 = f.key_1 AND c.seq = f.seq
    WHERE (c.row_hash, c.content_hash, c.heading, c.content, c.metadata, c.words, c.fingerprint, c.lexemes)
            IS DISTINCT FROM
          (f.row_hash, f.content_hash, f.heading, f.content, f.metadata, f.words, f.fingerprint, f.lexemes)
       OR (c.embedding <=> f.embedding > 0.001) IS NOT FALSE";

const WORDS_THAT_DIFFER: &str = "
    WITH c AS (SELECT lexeme, sum(chunks) AS chunks, sum(words) AS words FROM c_terms GROUP BY lexeme),
         f AS (SELECT lexeme, sum(chunks) AS chunks, sum(words) AS words FROM fresh_terms GROUP BY lexeme)
    SELECT string_agg(format('%s: %s, rebuilt %s: %s', c.lexeme, c.chunks, f.lexeme, f.chunks), E'\\n')
    FROM c FULL JOIN f USING (lexeme)
    WHERE (coalesce(c.chunks, 0), coalesce(c.words, 0)) <> (coalesce(f.chunks, 0), coalesce(f.words, 0))";
