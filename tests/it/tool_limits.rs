//! Events that end a tool call: its time limit, a cancel, a statement timeout, the end of the session.

use anyhow::{Context, ensure};
use futures_util::future::join;
use libtest_mimic::Trial;
use ragstone_tests::Result;
use ragstone_tests::server::shared;
use ragstone_tests::session::{Refusal, Session, refusal_in};
use ragstone_tests::wait;
use std::time::{Duration, Instant};
use tokio_postgres::error::SqlState;

pub fn tests() -> Vec<Trial> {
    ragstone_tests::tests![
        ;
        alone:
        a_cancelled_tool_ends_the_statement_within_200_ms,
        a_cancel_that_a_tool_catches_is_not_its_limit,
        terminate_ends_a_tool_within_200_ms,
        statement_timeout_ends_a_tool_whose_limit_is_the_same,
        a_cancel_at_the_time_limit_cancels_nothing_else,
    ]
}

/// Maximum time between the cancel and the end of a tool call, including the client's round trip.
const LIMIT: Duration = Duration::from_millis(200);

pub const TOOLS: &str = "
    CREATE FUNCTION nap(seconds float8) RETURNS void LANGUAGE sql AS 'SELECT pg_sleep(seconds)';
    CREATE FUNCTION loop() RETURNS void LANGUAGE plpgsql AS 'BEGIN LOOP END LOOP; END';
    CREATE FUNCTION excuse() RETURNS text LANGUAGE plpgsql AS
      $$ BEGIN PERFORM pg_sleep(60); RETURN 'slept'; EXCEPTION WHEN query_canceled THEN RETURN 'could not sleep'; END $$;
    SELECT rag.create_tool(f, description => 'Takes its time.', timeout_ms => 30000)
    FROM unnest('{nap(float8), loop(), excuse()}'::regprocedure[]) f";

async fn session_with_tools() -> Result<Session> {
    let session = shared().await?.session().await?;
    session.batch_execute(TOOLS).await?;
    Ok(session)
}

/// Runs `sql`, and calls `stop` as soon as it is executing. Returns its result, and the time from `stop` to
/// its end.
async fn stopped(
    session: &Session,
    sql: &str,
    stop: impl AsyncFnOnce(i32) -> Result<()>,
) -> Result<(std::result::Result<Vec<String>, Refusal>, Duration)> {
    let watcher = shared().await?.connect("postgres").await?;
    let backend = session.backend().await?.0;
    let stopping = async {
        let active = "SELECT state = 'active' AND query = $2 FROM pg_stat_activity WHERE pid = $1";
        wait::until("the tool runs", async || {
            Ok(watcher.value_of::<bool>(active, &[&backend, &sql]).await?.then_some(()))
        })
        .await?;
        let called = Instant::now();
        stop(backend).await?;
        Result::Ok(called)
    };
    let running = async {
        let result = session.query(sql, &[]).await;
        (result, Instant::now())
    };
    let (called, (result, ended)) = join(stopping, running).await;
    let result = match result {
        Ok(rows) => Ok(rows.iter().map(|row| row.get(0)).collect()),
        Err(error) => Err(refusal_in(&error)?),
    };
    Ok((result, ended.duration_since(called?)))
}

/// The second signal of a cancel may reach the next statement: PostgreSQL sends two.
async fn goes_on(session: &Session) -> Result<()> {
    wait::until("the session goes on", async || match session.execute("SELECT pg_sleep(0.05)", &[]).await {
        Ok(_) => Ok(Some(())),
        Err(error) if error.code() == Some(&SqlState::QUERY_CANCELED) => Ok(None),
        Err(error) => Err(error.into()),
    })
    .await
}

async fn a_cancelled_tool_ends_the_statement_within_200_ms() -> Result<()> {
    let session = session_with_tools().await?;
    for call in ["rag.call_tool('nap', '{\"seconds\": 60}')", "rag.call_tool('loop')"] {
        let sql = format!("SELECT content FROM {call}");
        wait::at_best_within(LIMIT, async || {
            let token = session.canceller();
            let (result, time) = stopped(&session, &sql, async |_| token.cancel().await).await?;
            let refusal = result.err().context("the tool was not cancelled")?;
            refusal.expect("57014", "canceling statement due to user request", "")?;
            goes_on(&session).await?;
            Ok(time)
        })
        .await?;
    }
    Ok(())
}

async fn a_cancel_that_a_tool_catches_is_not_its_limit() -> Result<()> {
    let session = session_with_tools().await?;
    let sql = "SELECT content FROM rag.call_tool('excuse')";
    wait::at_best_within(LIMIT, async || {
        let token = session.canceller();
        // As with a manual cancel: a function that catches it continues.
        let (result, time) = stopped(&session, sql, async |_| token.cancel().await).await?;
        // The second of the two signals may still end the statement.
        match result {
            Ok(content) => ensure!(content == ["\"could not sleep\""], "{content:?}"),
            Err(refusal) => ensure!(refusal.code == "57014", "{refusal:?}"),
        }
        goes_on(&session).await?;
        Ok(time)
    })
    .await
}

async fn terminate_ends_a_tool_within_200_ms() -> Result<()> {
    let admin = shared().await?.connect("postgres").await?;
    let sql = "SELECT content FROM rag.call_tool('nap', '{\"seconds\": 60}')";
    wait::at_best_within(LIMIT, async || {
        let session = session_with_tools().await?;
        let (result, time) = stopped(&session, sql, async |backend| {
            admin.execute("SELECT pg_terminate_backend($1)", &[&backend]).await?;
            Ok(())
        })
        .await?;
        ensure!(result.is_err_and(|refusal| refusal.code == "57P01"));
        Ok(time)
    })
    .await
}

async fn statement_timeout_ends_a_tool_whose_limit_is_the_same() -> Result<()> {
    let session = session_with_tools().await?;
    session
        .batch_execute(
            "SELECT rag.create_tool('nap(float8)', 'short_nap', 'Sleeps.', timeout_ms => 60);
             SELECT rag.call_tool('nap', '{\"seconds\": 0}'); SET statement_timeout = 60",
        )
        .await?;
    for _ in 0..20 {
        let refusal =
            session.refusal("SELECT content FROM rag.call_tool('short_nap', '{\"seconds\": 60}')").await?;
        refusal.expect("57014", "canceling statement due to statement timeout", "")?;
    }
    // If the time limit ends first, the statement continues until its own timeout.
    session.batch_execute("SET statement_timeout = 1000").await?;
    let content: String =
        session.value("SELECT content FROM rag.call_tool('short_nap', '{\"seconds\": 60}')").await?;
    ensure!(content == "error 57014: tool \"short_nap\" took longer than 60 ms", "{content}");
    session
        .refusal("SELECT c.content FROM rag.call_tool('short_nap', '{\"seconds\": 60}') c, pg_sleep(60)")
        .await?
        .expect("57014", "statement timeout", "")
}

/// A cancel and the time limit at about the same moment: the statement ends or continues, and neither of them
/// cancels a later statement.
async fn a_cancel_at_the_time_limit_cancels_nothing_else() -> Result<()> {
    let session = session_with_tools().await?;
    session
        .batch_execute("SELECT rag.create_tool('nap(float8)', 'short_nap', 'Sleeps.', timeout_ms => 40)")
        .await?;
    let sql = "SELECT content FROM rag.call_tool('short_nap', '{\"seconds\": 60}')";
    // Prepared before, so that the statement's text is shown only while it runs and after it.
    let statement = session.prepare(sql).await?;
    let watcher = shared().await?.connect("postgres").await?;
    let backend = session.backend().await?.0;
    let (mut cancelled, mut observed) = (0, 0);
    // The delay follows the outcomes, so that it stays where the cancel and the limit meet on this machine.
    let mut delay_ms = 40.0_f64;
    for _ in 0..60 {
        let token = session.canceller();
        let cancel = async {
            let is_due = "SELECT query = $2 AND (state <> 'active'
                                                 OR clock_timestamp() >= query_start + $3 * interval '1 ms')
                          FROM pg_stat_activity WHERE pid = $1";
            wait::until("the statement has run for a while", async || {
                Ok(watcher.value_of::<bool>(is_due, &[&backend, &sql, &delay_ms]).await?.then_some(()))
            })
            .await?;
            token.cancel().await
        };
        let (sent, result) = join(cancel, session.query(&statement, &[])).await;
        sent?;
        match result {
            Ok(rows) => {
                let content: String = rows[0].get(0);
                ensure!(content.contains("took longer than 40 ms"), "{content}");
                observed += 1;
                delay_ms = (delay_ms - 2.0).max(0.0);
            }
            Err(error) => {
                refusal_in(&error)?.expect("57014", "due to user request", "")?;
                cancelled += 1;
                delay_ms += 2.0;
            }
        }
        goes_on(&session).await?;
        let left: String = session.value("SHOW transaction_read_only").await?;
        ensure!(left == "off");
    }
    ensure!(cancelled > 0 && observed > 0, "{cancelled} cancelled, {observed} observed: no race");
    Ok(())
}
