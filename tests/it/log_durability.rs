//! Steps that are logged autonomously outlive the transaction in which they were logged, and show whether it
//! was rolled back.

use crate::restore::name;
use anyhow::{Context, ensure};
use libtest_mimic::Trial;
use nix::sys::signal::Signal;
use ragstone_tests::Result;
use ragstone_tests::process::Process;
use ragstone_tests::server::{Server, shared};
use ragstone_tests::session::Session;
use ragstone_tests::wait;
use std::time::{Duration, Instant};

pub fn tests() -> Vec<Trial> {
    ragstone_tests::tests![
        steps_survive_whatever_ends_their_transaction,
        steps_say_whether_their_transaction_was_rolled_back,
        an_end_follows_its_run,
        a_run_that_another_session_has_just_begun_is_found,
        posted_entries_are_counted_at_once,
        steps_logged_together_go_together_or_not_at_all,
        a_read_only_transaction_logs_and_a_standby_refuses,
        what_an_encoding_lacks_is_replaced,
        values_that_jsonb_refuses_are_kept_as_text;
        alone:
        a_step_that_is_being_posted_can_be_cancelled,
        a_step_is_visible_soon_after_it_was_posted,
    ]
}

pub const AUTONOMOUS: &str = "SET rag.log_durability = 'autonomous'";

/// A session in a database of its own, with a run that was started.
pub async fn begun(server: &Server) -> Result<(Session, i64)> {
    let session = server.session().await?;
    session.batch_execute(AUTONOMOUS).await?;
    let run = session.value("SELECT rag.start_run('agent')").await?;
    Ok((session, run))
}

pub async fn another(server: &Server, session: &Session) -> Result<Session> {
    let other = server.connect(&name(session).await?).await?;
    other.batch_execute(AUTONOMOUS).await?;
    Ok(other)
}

/// Waits until all posted entries are written.
pub async fn written(session: &Session) -> Result<()> {
    let all = "SELECT NOT EXISTS (SELECT FROM rag.stat_log WHERE waiting > 0)";
    wait::until("the log is written", async || Ok(session.value::<bool>(all).await?.then_some(()))).await
}

/// Names of all steps, by number; those that were rolled back in brackets.
pub async fn steps(session: &Session) -> Result<String> {
    written(session).await?;
    session
        .value(
            "SELECT coalesce(string_agg(CASE WHEN rolled_back THEN '(' || name || ')' ELSE name END, ' ' ORDER BY started, number, id), '')
             FROM rag.steps",
        )
        .await
}

pub fn log(run: i64, name: &str) -> String {
    format!("SELECT rag.log_step({run}, 'tool', '{name}')")
}

pub async fn coordinator(session: &Session) -> Result<Process> {
    wait::until("a coordinator runs", async || {
        let sql = "SELECT pid FROM pg_stat_activity WHERE backend_type = 'ragstone coordinator' AND datname = current_database()";
        Ok(session.query_opt(sql, &[]).await?.map(|row| Process(row.get(0))))
    })
    .await
}

/// A coordinator that is stopped until this value is dropped.
pub struct Held(pub Process);

impl Held {
    pub async fn hold(session: &Session) -> Result<Self> {
        written(session).await?;
        let coordinator = coordinator(session).await?;
        let locks = "SELECT count(*) FROM pg_locks WHERE pid = $1";
        wait::until("the coordinator stops between two transactions", async || {
            // Lets it continue if it holds locks for which other processes would wait.
            let held = Self(coordinator);
            coordinator.stop_at_latch().await?;
            let locks: i64 = session.value_of(locks, &[&coordinator.0]).await?;
            Ok((locks == 0).then_some(held))
        })
        .await
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.0.signal(Signal::SIGCONT);
    }
}

async fn steps_survive_whatever_ends_their_transaction() -> Result<()> {
    let server = Server::start().await?;
    let (session, run) = begun(&server).await?;
    session.batch_execute(&format!("BEGIN; {}; ROLLBACK", log(run, "rollback"))).await?;
    let error = session.refusal(&format!("{}, 1 / (SELECT 0)", log(run, "error"))).await?;
    ensure!(error.code == "22012", "{error:?}");
    session.batch_execute("SET statement_timeout = '300ms'").await?;
    let timeout = session.refusal(&format!("{}, pg_sleep(60)", log(run, "timeout"))).await?;
    ensure!(timeout.code == "57014", "{timeout:?}");
    session.batch_execute("RESET statement_timeout").await?;

    let other = another(&server, &session).await?;
    let backend = other.backend().await?;
    other.batch_execute(&format!("BEGIN; {}", log(run, "terminated"))).await?;
    session.execute("SELECT pg_terminate_backend($1)", &[&backend.0]).await?;
    wait::until("the session ends", async || Ok((!backend.runs()).then_some(()))).await?;
    let found = steps(&session).await?;
    ensure!(found == "(rollback) (error) (timeout) (terminated)", "{found}");
    Ok(())
}

async fn steps_say_whether_their_transaction_was_rolled_back() -> Result<()> {
    let server = Server::start().await?;
    let (session, run) = begun(&server).await?;
    let watcher = another(&server, &session).await?;
    let statements = [
        "BEGIN".to_owned(),
        log(run, "kept"),
        "SAVEPOINT s".into(),
        log(run, "undone"),
        "ROLLBACK TO s".into(),
        log(run, "kept_too"),
        "SAVEPOINT t".into(),
        log(run, "released"),
        "RELEASE t".into(),
    ];
    session.batch_execute(&statements.join("; ")).await?;
    // The transaction has not ended yet.
    let found = steps(&watcher).await?;
    ensure!(found == "kept (undone) kept_too released", "{found}");
    session.batch_execute("COMMIT").await?;
    session.batch_execute(&format!("BEGIN; {}", log(run, "later"))).await?;
    written(&watcher).await?;
    session.batch_execute("ROLLBACK").await?;
    // The state is visible at once, before any worker has checked it.
    let expected = "kept (undone) kept_too released (later)";
    ensure!(steps(&watcher).await? == expected, "{}", steps(&watcher).await?);
    let uncommitted = "SELECT count(*) FROM rag._uncommitted_row";
    wait::until("the outcome is written", async || {
        Ok((watcher.value::<i64>(uncommitted).await? == 0).then_some(()))
    })
    .await?;
    ensure!(steps(&watcher).await? == expected);
    let marked = "SELECT string_agg(name, ' ' ORDER BY id) FROM rag._steps WHERE rolled_back";
    ensure!(watcher.value::<String>(marked).await? == "undone later");

    // A run whose transaction was rolled back is shown as well.
    session
        .batch_execute("BEGIN; SELECT rag.start_run('vain'); ROLLBACK; SELECT rag.start_run('apt')")
        .await?;
    written(&session).await?;
    let runs = "SELECT string_agg(agent || ' ' || rolled_back, ', ' ORDER BY id) FROM rag.runs";
    ensure!(session.value::<String>(runs).await? == "agent false, vain true, apt false");

    // A step in the caller's own transaction has no state of another transaction.
    session.batch_execute(&format!("RESET rag.log_durability; {}", log(run, "plain"))).await?;
    ensure!(steps(&session).await? == format!("{expected} plain"));
    for table in ["_uncommitted_row", "_server", "_owner", "_rolled_back"] {
        session.batch_execute("CREATE ROLE anybody; SET ROLE anybody").await?;
        let refusal = session.refusal(&format!("SELECT * FROM rag.{table}")).await?;
        ensure!(refusal.code == "42501", "{table}: {refusal:?}");
        session.batch_execute("RESET ROLE; DROP ROLE anybody").await?;
    }
    Ok(())
}

pub async fn status(session: &Session, run: i64) -> Result<String> {
    written(session).await?;
    session.value_of("SELECT concat_ws(' ', status, output) FROM rag.runs WHERE id = $1", &[&run]).await
}

async fn an_end_follows_its_run() -> Result<()> {
    let server = shared().await?;
    let (session, run) = begun(&server).await?;
    // In one statement, so that the run is not in its table when it ends.
    let other: i64 = session
        .value("WITH r AS MATERIALIZED (SELECT rag.start_run('short') AS id) SELECT id FROM r, rag.finish_run(r.id, '7', 'waiting')")
        .await?;
    ensure!(status(&session, other).await? == "waiting 7");
    // The end, in a transaction, of a run that is not in its table yet.
    session
        .batch_execute(
            "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT rag.start_run('mixed'); SET LOCAL rag.log_durability = 'transaction';
             SELECT rag.finish_run(current_setting('rag.run')::bigint, '8'); COMMIT",
        )
        .await?;
    ensure!(status(&session, other + 1).await? == "done 8");
    // The end of a run that the same transaction has started.
    session
        .batch_execute(
            "BEGIN; SET LOCAL rag.log_durability = 'transaction'; SELECT rag.start_run('own'); SET LOCAL rag.log_durability = 'autonomous';
             SELECT rag.finish_run(current_setting('rag.run')::bigint, '9'); COMMIT",
        )
        .await?;
    ensure!(status(&session, other + 2).await? == "done 9");
    // Another session keeps the run locked: the worker does not wait for that session, and retries the end.
    written(&session).await?;
    let locker = another(&server, &session).await?;
    locker.batch_execute(&format!("BEGIN; UPDATE rag._runs SET agent = agent WHERE id = {run}")).await?;
    session
        .batch_execute(&format!("SELECT rag.finish_run({run}, '10', 'failed'); {}", log(other, "on")))
        .await?;
    ensure!(steps(&session).await? == "on" && status(&session, run).await? == "running");
    locker.batch_execute("COMMIT").await?;
    wait::until(
        "the end is written",
        async || Ok((status(&session, run).await? == "failed 10").then_some(())),
    )
    .await
}

async fn a_run_that_another_session_has_just_begun_is_found() -> Result<()> {
    let server = Server::start().await?;
    let (session, _) = begun(&server).await?;
    let other = another(&server, &session).await?;
    for round in 0..20 {
        let run: i64 = session.value("SELECT rag.start_run('pooled')").await?;
        other.batch_execute(&log(run, &format!("s{round}"))).await?;
        other.batch_execute(&format!("SELECT rag.finish_run({run})")).await?;
        ensure!(status(&session, run).await? == "done");
    }
    let refusal = other.refusal(&log(1_000_000, "nowhere")).await?;
    refusal.expect("42704", "run 1000000 does not exist", "rag.runs")
}

async fn posted_entries_are_counted_at_once() -> Result<()> {
    let server = shared().await?;
    let (session, run) = begun(&server).await?;
    let (begun_run, step) = ("SELECT rag.start_run('agent', current => false)", log(run, "a"));
    let posted = "SELECT posted FROM rag.stat_log";
    let other = another(&server, &session).await?;
    let before: i64 = session.value(posted).await?;
    for round in 1..=500 {
        session.execute(&step, &[]).await?;
        let counted: i64 = session.value(posted).await?;
        ensure!(counted == before + 2 * round - 1, "{counted} after {round} steps, {before} before");
        session.execute(begun_run, &[]).await?;
        let counted: i64 = other.value(posted).await?;
        ensure!(counted == before + 2 * round, "{counted} after {round} runs, {before} before");
    }
    Ok(())
}

async fn steps_logged_together_go_together_or_not_at_all() -> Result<()> {
    let server = shared().await?;
    let (session, run) = begun(&server).await?;
    let bad = r#"[{"kind": "tool", "name": "a"}, {"kind": "tool", "name": "b", "cost": -1}]"#;
    ensure!(session.refusal(&format!("SELECT rag.log_steps({run}, '{bad}')")).await?.code == "22023");
    let broken = r#"[{"kind": "tool", "name": "a"}, {"kind": "tool", "started": "never"}]"#;
    ensure!(session.refusal(&format!("SELECT rag.log_steps({run}, '{broken}')")).await?.code == "22007");
    let good = bad.replace("-1", "1");
    let ids: Vec<i64> = session.value(&format!("SELECT rag.log_steps({run}, '{good}')")).await?;
    session.batch_execute(&log(run, "c")).await?;
    ensure!(ids.len() == 2 && steps(&session).await? == "a b c", "{}", steps(&session).await?);
    Ok(())
}

async fn a_read_only_transaction_logs_and_a_standby_refuses() -> Result<()> {
    let primary = Server::start().await?;
    let (session, run) = begun(&primary).await?;
    session.batch_execute(&format!("BEGIN READ ONLY; {}; ROLLBACK", log(run, "read_only"))).await?;
    // Nothing was rolled back, because the transaction could not write.
    ensure!(steps(&session).await? == "read_only");
    session.batch_execute(&format!("BEGIN READ ONLY; {}", log(run, "not_labelled"))).await?;
    let refusal = session.refusal("CREATE TABLE t ()").await?;
    ensure!(refusal.code == "25006", "{refusal:?}");
    session.batch_execute("ROLLBACK").await?;
    let standby = Server::standby_of(&primary).await?;
    let reader = standby.connect(&name(&session).await?).await?;
    reader.batch_execute(AUTONOMOUS).await?;
    let refusal = reader.refusal(&log(run, "standby")).await?;
    ensure!(refusal.code == "25006", "{refusal:?}");
    let logged = "read_only not_labelled";
    wait::until("the standby has them", async || Ok((steps(&reader).await? == logged).then_some(()))).await
}

async fn what_an_encoding_lacks_is_replaced() -> Result<()> {
    let server = shared().await?;
    let options = "ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C'";
    let session = server.connect(&server.empty_database(options).await?).await?;
    session.batch_execute("CREATE EXTENSION ragstone CASCADE").await?;
    session.batch_execute(AUTONOMOUS).await?;
    let run: i64 = session.value("SELECT rag.start_run('agént')").await?;
    session.batch_execute(&log(run, "café")).await?;
    ensure!(steps(&session).await? == "café");
    let agent: String = session.value("SELECT agent FROM rag.runs").await?;
    ensure!(agent == "agént");
    Ok(())
}

async fn values_that_jsonb_refuses_are_kept_as_text() -> Result<()> {
    let server = shared().await?;
    let (session, run) = begun(&server).await?;
    // `jsonb` refuses nothing that SQL can log, so a column is made to refuse it.
    session
        .batch_execute(&format!(
            "ALTER TABLE rag._steps ADD CHECK (jsonb_typeof(input) = 'string');
             SELECT rag.log_steps({run}, '[{{\"kind\": \"tool\", \"name\": \"good\", \"input\": \"x\"}},
                                           {{\"kind\": \"tool\", \"name\": \"bad\", \"input\": {{\"a\": [1]}}}}]')"
        ))
        .await?;
    ensure!(steps(&session).await? == "good bad", "{}", steps(&session).await?);
    let kept: String = session.value("SELECT input #>> '{}' FROM rag.steps WHERE name = 'bad'").await?;
    ensure!(kept == "{\"a\": [1]}", "{kept}");
    Ok(())
}

/// Time from a cancel to the end of a statement that posts a step while the engine does not read.
async fn cancelled_while_posting(session: &Session, watcher: &Session, run: i64) -> Result<Duration> {
    let backend = session.backend().await?.0;
    let large = format!("SELECT rag.log_step({run}, 'tool', 'large', to_jsonb(repeat('x', 1000000)))");
    let token = session.canceller();
    let cancel = async {
        let waits = "SELECT wait_event_type = 'Extension' FROM pg_stat_activity WHERE pid = $1";
        wait::until("the session waits for the engine", async || {
            let waits: Option<bool> = watcher.value_of(waits, &[&backend]).await?;
            Ok(waits.unwrap_or(false).then_some(()))
        })
        .await?;
        token.cancel().await?;
        anyhow::Ok(Instant::now())
    };
    let refused = async {
        let refusal = session.refusal(&large).await?;
        anyhow::Ok((refusal, Instant::now()))
    };
    let (cancelled, (refusal, ended)) = tokio::try_join!(cancel, refused)?;
    ensure!(refusal.code == "57014", "{refusal:?}");
    Ok(ended.saturating_duration_since(cancelled))
}

async fn a_step_that_is_being_posted_can_be_cancelled() -> Result<()> {
    let server = Server::start().await?;
    let (session, run) = begun(&server).await?;
    session.batch_execute(&log(run, "before")).await?;
    written(&session).await?;
    let engine = server.engines().first().copied().context("no engine")?;
    let watcher = another(&server, &session).await?;
    wait::at_best_within(Duration::from_millis(200), async || {
        engine.signal(Signal::SIGSTOP);
        let time = cancelled_while_posting(&session, &watcher, run).await;
        engine.signal(Signal::SIGCONT);
        time
    })
    .await?;
    session.batch_execute(&log(run, "after")).await?;
    let found = steps(&session).await?;
    ensure!(found == "before after", "{found}");
    Ok(())
}

async fn a_step_is_visible_soon_after_it_was_posted() -> Result<()> {
    let server = Server::start().await?;
    let (session, run) = begun(&server).await?;
    let watcher = another(&server, &session).await?;
    written(&session).await?;
    let (step, there) =
        (session.prepare(&log(run, "s")).await?, watcher.prepare("SELECT count(*) FROM rag._steps").await?);
    let mut times = Vec::new();
    for round in 1..=50_i64 {
        session.query(&step, &[]).await?;
        let begin = Instant::now();
        while watcher.query_one(&there, &[]).await?.get::<_, i64>(0) < round {
            ensure!(begin.elapsed() < wait::SOON, "step {round} is not visible");
        }
        times.push(begin.elapsed());
    }
    times.sort_unstable();
    let (half, most) = (times[times.len() / 2], times[times.len() - 1]);
    eprintln!("visible after {half:?}, {most:?} at most");
    ensure!(half < Duration::from_millis(100), "{half:?}");
    Ok(())
}
