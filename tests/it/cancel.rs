//! A session that waits for the engine can be stopped.

use anyhow::{Context, ensure};
use futures_util::future::join;
use libtest_mimic::Trial;
use ragstone_tests::Result;
use ragstone_tests::sample::texts;
use ragstone_tests::server::shared;
use ragstone_tests::session::{Session, refusal_in};
use ragstone_tests::wait;
use std::future::Future;
use std::time::{Duration, Instant};
use tokio_postgres::error::SqlState;

pub fn tests() -> Vec<Trial> {
    ragstone_tests::tests![; alone:
        a_cancelled_embed_stops_within_200_ms,
        a_cancelled_embed_is_dropped_by_the_engine,
        statement_timeout_stops_an_embed_within_200_ms,
        terminate_stops_an_embed_within_200_ms,
        a_cancelled_chunk_stops_within_200_ms,
        a_cancelled_embed_batch_stops_within_200_ms,
        a_cancelled_create_collection_stops_within_200_ms,
        a_cancelled_evaluation_stops_within_200_ms,
        a_query_is_served_before_bulk_work,
    ]
}

/// Maximum time for a stop to take effect, including the client's round trip.
const LIMIT: Duration = Duration::from_millis(200);

const EMBED: &str = "SELECT rag.embed(array_agg(body)) FROM bulk";

/// A session with a table of more texts than an engine embeds in a few seconds.
async fn session_with_bulk() -> Result<Session> {
    let session = shared().await?.session().await?;
    session.batch_execute("CREATE TABLE bulk (id int PRIMARY KEY, body text)").await?;
    let insert = "INSERT INTO bulk SELECT o, b FROM unnest($1::text[]) WITH ORDINALITY u(b, o)";
    session.execute(insert, &[&texts(3000, 150)]).await?;
    session.execute("SELECT rag.embed('the model is loaded')", &[]).await?;
    Ok(session)
}

/// Waits until the session's statement waits for the engine.
async fn until_waiting(watcher: &Session, backend: i32) -> Result<()> {
    let sql = "SELECT state = 'active' AND coalesce(wait_event_type = 'Extension', false) FROM pg_stat_activity WHERE pid = $1";
    wait::until("the session waits for the engine", async || {
        Ok(watcher.value_of::<bool>(sql, &[&backend]).await?.then_some(()))
    })
    .await
}

/// Runs `sql`, and stops it with `stop` as soon as it waits for the engine. Returns the SQLSTATE with which
/// it ended, and the time from the call of `stop` to its end.
async fn stopped<F>(session: &Session, sql: &str, stop: impl FnOnce(i32) -> F) -> Result<(String, Duration)>
where
    F: Future<Output = Result<()>>,
{
    let watcher = shared().await?.connect("postgres").await?;
    let backend = session.backend().await?.0;
    let stopping = async {
        until_waiting(&watcher, backend).await?;
        let called = Instant::now();
        stop(backend).await?;
        Result::Ok(called)
    };
    let running = async {
        let result = session.batch_execute(sql).await;
        (result, Instant::now())
    };
    let (called, (result, ended)) = join(stopping, running).await;
    let error = result.err().context("the statement was not stopped")?;
    Ok((refusal_in(&error)?.code, ended.duration_since(called?)))
}

async fn cancelled(session: &Session, sql: &str) -> Result<()> {
    wait::at_best_within(LIMIT, async || {
        let token = session.canceller();
        let (code, time) = stopped(session, sql, |_| async move { token.cancel().await }).await?;
        ensure!(code == "57014", "ended with {code}");
        goes_on(session).await?;
        Ok(time)
    })
    .await
}

/// PostgreSQL signals a backend twice for one cancel, by process id and by process group: on a busy machine
/// the second signal may reach the next statement.
async fn goes_on(session: &Session) -> Result<()> {
    wait::until("the session goes on", async || {
        match session.execute("SELECT rag.embed('still here')", &[]).await {
            Ok(_) => Ok(Some(())),
            Err(error) if error.code() == Some(&SqlState::QUERY_CANCELED) => Ok(None),
            Err(error) => Err(error.into()),
        }
    })
    .await
}

async fn a_cancelled_embed_stops_within_200_ms() -> Result<()> {
    cancelled(&session_with_bulk().await?, EMBED).await
}

async fn a_cancelled_embed_is_dropped_by_the_engine() -> Result<()> {
    let session = session_with_bulk().await?;
    cancelled(&session, EMBED).await?;
    let session = &session;
    wait::until("nothing waits in the engine", async || {
        let waiting: Option<i64> =
            session.value("SELECT sum(waiting)::bigint FROM rag._stat_engine()").await?;
        Ok((waiting == Some(0)).then_some(()))
    })
    .await
}

async fn statement_timeout_stops_an_embed_within_200_ms() -> Result<()> {
    let session = session_with_bulk().await?;
    session.batch_execute("SET statement_timeout = '400ms'").await?;
    wait::at_best_within(Duration::from_millis(400) + LIMIT, async || {
        let start = Instant::now();
        session.refusal(EMBED).await?.expect("57014", "statement timeout", "")?;
        Ok(start.elapsed())
    })
    .await
}

async fn terminate_stops_an_embed_within_200_ms() -> Result<()> {
    let admin = shared().await?.connect("postgres").await?;
    wait::at_best_within(LIMIT, async || {
        let session = session_with_bulk().await?;
        let (code, time) = stopped(&session, EMBED, async |backend| {
            admin.execute("SELECT pg_terminate_backend($1)", &[&backend]).await?;
            Ok(())
        })
        .await?;
        ensure!(code == "57P01", "ended with {code}");
        Ok(time)
    })
    .await
}

async fn a_cancelled_chunk_stops_within_200_ms() -> Result<()> {
    let session = session_with_bulk().await?;
    cancelled(&session, "SELECT count(*) FROM rag.chunk(repeat('some words of a sentence. ', 800000))").await
}

async fn a_cancelled_embed_batch_stops_within_200_ms() -> Result<()> {
    let session = session_with_bulk().await?;
    cancelled(&session, "SELECT id, rag.embed_batch(body) OVER () FROM bulk").await
}

async fn a_cancelled_create_collection_stops_within_200_ms() -> Result<()> {
    let session = session_with_bulk().await?;
    cancelled(&session, "SELECT rag.create_collection('c', 'bulk', 'body', sync => 'manual')").await?;
    let left: i64 = session.value("SELECT count(*) FROM rag.collections").await?;
    ensure!(left == 0, "a cancelled collection is left behind");
    Ok(())
}

async fn a_cancelled_evaluation_stops_within_200_ms() -> Result<()> {
    let session = session_with_bulk().await?;
    session
        .batch_execute(
            "CREATE TABLE t (id int PRIMARY KEY, body text); INSERT INTO t VALUES (1, 'a ship'), (2, 'a train');
             SELECT rag.create_collection('c', 't', 'body', sync => 'manual');
             CREATE VIEW questions AS SELECT body AS question, 1 AS key FROM bulk",
        )
        .await?;
    cancelled(&session, "SELECT rag.evaluate('c', 'questions')").await?;
    let left: i64 = session.value("SELECT count(*) FROM rag.evaluations").await?;
    ensure!(left == 0, "a cancelled evaluation is left behind");
    Ok(())
}

async fn a_query_is_served_before_bulk_work() -> Result<()> {
    let session = session_with_bulk().await?;
    let other = shared().await?.session().await?;
    other.execute("SELECT rag.embed('the connection is made')", &[]).await?;
    let token = session.canceller();
    let (code, _) = stopped(&session, EMBED, async |_| {
        other.execute("SELECT rag.embed('a question')", &[]).await?;
        token.cancel().await?;
        Ok(())
    })
    .await?;
    ensure!(code == "57014", "the bulk work ended with {code} before the question was answered");
    Ok(())
}
