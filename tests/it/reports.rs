//! The roll-ups that reports read match the committed steps, each counted once, whatever happens to writers,
//! the worker and the server.

use crate::restore::{Format, dump, restore};
use anyhow::ensure;
use futures_util::future::try_join_all;
use libtest_mimic::Trial;
use ragstone_tests::Result;
use ragstone_tests::chance::Chance;
use ragstone_tests::server::shared;
use ragstone_tests::session::Session;
use ragstone_tests::wait;

pub fn tests() -> Vec<Trial> {
    ragstone_tests::tests![
        steps_of_many_writers_are_counted_once_each,
        an_open_transaction_holds_reports_back_and_loses_nothing,
        the_longest_steps_are_the_longest,
        the_longest_steps_of_an_imported_log_stay_as_long_as_it_does,
        days_outlive_their_steps,
        a_restore_counts_what_it_brings_once,
        steps_that_wait_for_approval_are_no_calls,
        a_run_that_fails_is_an_error_once,
        no_amount_stops_the_reports,
    ]
}

/// The expected roll-ups, and the actual ones. Costs are chosen so that the order of addition makes no
/// difference.
const STEPS: (&str, &str) = (
    "SELECT (started AT TIME ZONE 'UTC')::date, owner, agent, kind, coalesce(name, ''), coalesce(model, ''),
            CASE WHEN status IN ('approved', 'rejected') THEN 'waiting' ELSE status END, count(*),
            coalesce(sum(input_tokens), 0)::bigint, coalesce(sum(output_tokens), 0)::bigint, coalesce(sum(cost), 0),
            max(started), rag._histogram(duration_ms)
     FROM rag._steps GROUP BY 1, 2, 3, 4, 5, 6, 7",
    "SELECT day, owner, agent, kind, name, model, status, steps, input_tokens, output_tokens, cost, last_started, durations
     FROM rag._step_day",
);

const RUNS: (&str, &str) = (
    "SELECT (started AT TIME ZONE 'UTC')::date, owner, agent, status, count(*),
            rag._histogram(extract(epoch FROM finished - started)::float8 * 1000)
     FROM rag._runs WHERE finished IS NOT NULL GROUP BY 1, 2, 3, 4",
    "SELECT day, owner, agent, status, runs, durations FROM rag._run_day",
);

const ERRORS: (&str, &str) = (
    "SELECT (started AT TIME ZONE 'UTC')::date, owner, agent, kind, coalesce(name, ''), coalesce(sqlstate, ''),
            rag._error_pattern(coalesce(error, '')), count(*), min(started), max(started)
     FROM rag._steps WHERE status = 'error' GROUP BY 1, 2, 3, 4, 5, 6, 7",
    "SELECT day, owner, agent, kind, name, sqlstate, pattern, errors, first_seen, last_seen FROM rag._error_day
     WHERE kind <> 'run'",
);

/// Number of rows that only one of the two queries returns.
async fn different(session: &Session, (expected, found): (&str, &str)) -> Result<i64> {
    let sql = format!(
        "WITH e AS MATERIALIZED ({expected}), f AS MATERIALIZED ({found})
         SELECT count(*) FROM ((TABLE e EXCEPT ALL TABLE f) UNION ALL (TABLE f EXCEPT ALL TABLE e)) d"
    );
    session.value(&sql).await
}

/// Waits until the roll-ups match the steps.
pub async fn until_exact(session: &Session) -> Result<()> {
    wait::until("the sums are those of the steps", async || {
        for pair in [STEPS, RUNS, ERRORS] {
            if different(session, pair).await? > 0 {
                return Ok(None);
            }
        }
        Ok(Some(()))
    })
    .await
}

/// Causes a worker to start, and waits until nothing is left to add.
pub async fn until_folded(session: &Session) -> Result<()> {
    wait::until("all steps are in the reports", async || {
        let rows = session.query("SELECT waiting, computed_anew FROM rag.stat_reports", &[]).await?;
        let done = rows.first().is_some_and(|row| row.get::<_, i64>(0) == 0 && !row.get::<_, bool>(1));
        let ended: i64 = session
            .value("SELECT count(*) FROM rag._runs WHERE NOT counted AND finished IS NOT NULL")
            .await?;
        Ok((done && ended == 0).then_some(()))
    })
    .await
}

async fn counted(session: &Session) -> Result<i64> {
    session.value("SELECT coalesce(sum(steps), 0)::bigint FROM rag._step_day").await
}

async fn end_workers(session: &Session) -> Result<()> {
    let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
               WHERE backend_type = 'ragstone coordinator' AND datname = current_database()";
    session.batch_execute(end).await?;
    Ok(())
}

/// One transaction of a writer: steps logged one by one or many at once, some in subtransactions that are
/// rolled back; sometimes the whole transaction is rolled back.
async fn transaction(session: &Session, chance: &Chance) -> Result<()> {
    let agent = *chance.pick(&["a", "b"]);
    session.batch_execute("BEGIN").await?;
    let run: i64 = session.value_of("SELECT rag.start_run($1)", &[&agent]).await?;
    for _ in 0..chance.below(6) {
        let kind = *chance.pick(&["model", "tool", "retrieval"]);
        let name = *chance.pick(&[Some("x"), Some("y"), None]);
        let error = chance.pick(&[None, Some(format!("order {} is gone", chance.below(100)))]).clone();
        let status = if error.is_some() { "error" } else { "ok" };
        let undone = chance.below(4) == 0;
        if undone {
            session.batch_execute("SAVEPOINT s").await?;
        }
        if chance.below(3) == 0 {
            let steps = "SELECT rag.log_steps($1, jsonb_agg(jsonb_build_object('kind', $2::text, 'name', $3::text, 'duration_ms', g,
                                                                            'cost', 0.5)))
                         FROM generate_series(1, $4) g";
            let count = chance.below(30) as i32 + 1;
            session.query(steps, &[&run, &kind, &name, &count]).await?;
        } else {
            let step = "SELECT rag.log_step($1, $2, $3, input_tokens => 7, cost => 0.25, duration_ms => $4, status => $5, error => $6,
                                            started => now() - $7 * interval '1 day')";
            let (ms, days) = (chance.below(5000) as f64, chance.below(4) as f64);
            session.query(step, &[&run, &kind, &name, &ms, &status, &error, &days]).await?;
        }
        if undone {
            session.batch_execute("ROLLBACK TO s").await?;
        }
    }
    if chance.below(3) > 0 {
        let status = *chance.pick(&["done", "failed", "cancelled"]);
        session.execute("SELECT rag.finish_run($1, status => $2)", &[&run, &status]).await?;
    }
    let end = if chance.below(4) == 0 { "ROLLBACK" } else { "COMMIT" };
    session.batch_execute(end).await?;
    Ok(())
}

async fn steps_of_many_writers_are_counted_once_each() -> Result<()> {
    let server = shared().await?;
    let database = server.database().await?;
    let seed = Chance::seed("RAGSTONE_REPORTS_SEED");
    let watcher = server.connect(&database).await?;
    let slow = server.connect(&database).await?;
    slow.batch_execute("BEGIN; SELECT rag.log_step(rag.start_run('slow'), 'tool', 'first of all')").await?;
    let mut sessions = Vec::new();
    for number in 0..4 {
        sessions.push((server.connect(&database).await?, Chance::of(seed + number)));
    }
    let writers = try_join_all(sessions.iter().map(|(session, chance)| async move {
        for _ in 0..40 {
            transaction(session, chance).await?;
        }
        anyhow::Ok(())
    }));
    let ends = async {
        for _ in 0..5 {
            end_workers(&watcher).await?;
            // Some statement has to cause the next coordinator to start.
            watcher.batch_execute("SELECT pg_sleep(0.3)").await?;
            server
                .connect(&database)
                .await?
                .batch_execute("SELECT rag.finish_run(rag.start_run('watcher'))")
                .await?;
        }
        anyhow::Ok(())
    };
    let (wrote, ended) = tokio::join!(writers, ends);
    wrote?;
    ended?;
    ensure!(different(&watcher, STEPS).await? > 0, "steps are counted while an older transaction is open");
    slow.batch_execute("COMMIT").await?;
    server.connect(&database).await?.batch_execute("SELECT rag.start_run('last')").await?;
    until_exact(&watcher).await?;
    let total: i64 = watcher.value("SELECT count(*) FROM rag._steps").await?;
    ensure!(total > 100 && counted(&watcher).await? == total, "{total} steps, seed {seed}");
    // The report matches the steps.
    let report = "SELECT sum(steps)::bigint, sum(cost), sum(errors)::bigint, sum(tool_calls)::bigint FROM rag.agent_daily";
    let steps = "SELECT count(*), sum(cost), count(*) FILTER (WHERE status = 'error'), count(*) FILTER (WHERE kind = 'tool') FROM rag.steps";
    ensure!(
        different(&watcher, (report, steps)).await? == 0,
        "rag.agent_daily says something else, seed {seed}"
    );
    Ok(())
}

async fn an_open_transaction_holds_reports_back_and_loses_nothing() -> Result<()> {
    let server = shared().await?;
    let database = server.database().await?;
    let (open, other) = (server.connect(&database).await?, server.connect(&database).await?);
    open.batch_execute("BEGIN; SELECT rag.log_step(rag.start_run('a'), 'tool', 'open')").await?;
    let pid: i32 = open.value("SELECT pg_backend_pid()").await?;
    other.batch_execute("SELECT rag.log_step(rag.start_run('a'), 'tool', 'other')").await?;
    wait::until("the other step is seen to wait", async || {
        let rows = other.query("SELECT waiting FROM rag.stat_reports", &[]).await?;
        Ok(rows.first().is_some_and(|row| row.get::<_, i64>(0) == 1).then_some(()))
    })
    .await?;
    // A transaction of another test may be older; the reports are held back in any case.
    let held: Option<i32> = other.value("SELECT held_back_by FROM rag.stat_reports").await?;
    ensure!(held.is_some(), "held_back_by is NULL, although process {pid} holds the reports back");
    ensure!(counted(&other).await? == 0, "a step is counted before an older transaction has ended");
    open.batch_execute("COMMIT").await?;
    until_exact(&other).await?;
    ensure!(counted(&other).await? == 2);
    Ok(())
}

async fn the_longest_steps_are_the_longest() -> Result<()> {
    wait::for_one_period().await?;
    let session = shared().await?.session().await?;
    let run: i64 = session.value("SELECT rag.start_run('a')").await?;
    for part in 0..3 {
        let steps = "SELECT rag.log_steps($1, jsonb_agg(jsonb_build_object('kind', 'tool', 'started', now(),
                                                                            'duration_ms', (g * 7919 + $2) % 10007)))
                     FROM generate_series(1, 100) g";
        session.query(steps, &[&run, &part]).await?;
        until_exact(&session).await?;
    }
    let pair = (
        "SELECT id, duration_ms FROM rag._steps ORDER BY duration_ms DESC, id LIMIT 20",
        "SELECT id, duration_ms FROM rag.slowest_steps LIMIT 20",
    );
    ensure!(different(&session, pair).await? == 0);
    ensure!(session.value::<i64>("SELECT count(*) FROM rag._slow_step").await? == 20);
    Ok(())
}

async fn the_longest_steps_of_an_imported_log_stay_as_long_as_it_does() -> Result<()> {
    let server = shared().await?;
    let session = server.session().await?;
    let old = "SELECT rag.log_step(rag.start_run('old', started => '2020-01-08'), 'tool', name, started => '2020-01-08', duration_ms => 5)
               FROM unnest('{kept,deleted}'::text[]) name";
    session.batch_execute(old).await?;
    until_exact(&session).await?;
    session.batch_execute("DELETE FROM rag._steps WHERE name = 'deleted'").await?;
    // A new worker looks at once for rows about deleted steps.
    end_workers(&session).await?;
    let database: String = session.value("SELECT current_database()::text").await?;
    let longest =
        "SELECT coalesce(string_agg(name, ' ' ORDER BY name), '') FROM rag.slowest_steps WHERE agent = 'old'";
    wait::until("the data of deleted steps are deleted", async || {
        let caller = server.connect(&database).await?;
        caller.batch_execute("SELECT rag.finish_run(rag.start_run('new'))").await?;
        let longest: String = session.value(longest).await?;
        ensure!(
            longest.contains("kept"),
            "the step of the imported log is not among the longest: {longest:?}"
        );
        Ok((longest == "kept").then_some(()))
    })
    .await
}

async fn days_outlive_their_steps() -> Result<()> {
    wait::for_one_period().await?;
    let session = shared().await?.session().await?;
    session.batch_execute("SELECT rag.log_step(rag.start_run('a'), 'tool', 'x', duration_ms => 5)").await?;
    session.batch_execute("SELECT rag.finish_run((SELECT max(id) FROM rag.runs))").await?;
    until_exact(&session).await?;
    session.batch_execute("DELETE FROM rag._steps; DELETE FROM rag._runs").await?;
    session.batch_execute("SELECT rag.log_step(rag.start_run('b'), 'tool', 'y')").await?;
    wait::until("the next step is counted", async || Ok((counted(&session).await? == 2).then_some(())))
        .await?;
    let row = session.query_one("SELECT runs, steps FROM rag.agent_daily WHERE agent = 'a'", &[]).await?;
    ensure!((row.get::<_, i64>(0), row.get::<_, i64>(1)) == (1, 1), "{row:?}");
    Ok(())
}

async fn a_restore_counts_what_it_brings_once() -> Result<()> {
    let server = shared().await?;
    let session = server.session().await?;
    let log = "SELECT rag.log_step(rag.start_run('a'), 'tool', 'x', duration_ms => g, started => now() - g * interval '1 day', cost => 0.5)
               FROM generate_series(1, 50) g";
    session.batch_execute(log).await?;
    until_exact(&session).await?;
    // One step of a day is missing; some steps are of transactions with numbers that this server has not
    // reached, as from a busier one.
    session
        .batch_execute(
            "SELECT rag.log_step(rag.start_run('a'), 'tool', 'x', started => now() - interval '3 days')",
        )
        .await?;
    until_exact(&session).await?;
    session.batch_execute("DELETE FROM rag._steps WHERE id = (SELECT max(id) FROM rag._steps)").await?;
    end_workers(&session).await?;
    let raise = "UPDATE rag._steps SET written = written + CASE WHEN id % 2 = 0 THEN 100 ELSE 4000000000 END
                 WHERE started < now() - interval '10 days'";
    session.batch_execute(raise).await?;
    let path = dump(&server, &session, Format::Plain).await?;
    let restored = restore(&server, &path, Format::Plain).await?;
    ensure!(counted(&restored).await? == 51, "the dump has not carried the sums");
    restored.batch_execute("SELECT rag.log_step(rag.start_run('new'), 'tool', 'y')").await?;
    until_folded(&restored).await?;
    ensure!(counted(&restored).await? == 52, "{} steps are counted", counted(&restored).await?);
    // Next come the transactions whose numbers the restored rows have: first other transactions, which log
    // nothing.
    for _ in 0..150 {
        restored.batch_execute("SELECT pg_current_xact_id()").await?;
    }
    until_folded(&restored).await?;
    for _ in 0..150 {
        restored.batch_execute("SELECT rag.log_step((SELECT max(id) FROM rag.runs), 'tool', 'y')").await?;
    }
    until_folded(&restored).await?;
    ensure!(counted(&restored).await? == 202, "{} steps are counted", counted(&restored).await?);
    let days = "SELECT count(*) FROM rag.agent_daily WHERE agent = 'a' AND steps = 1";
    ensure!(restored.value::<i64>(days).await? == 49, "a restored day has other sums");
    ensure!(restored.value::<i64>("SELECT count(*) FROM rag._totals_progress").await? == 1);
    Ok(())
}

async fn steps_that_wait_for_approval_are_no_calls() -> Result<()> {
    wait::for_one_period().await?;
    let session = shared().await?.session().await?;
    session
        .batch_execute("SELECT rag.log_step(rag.start_run('a'), 'tool', 'x', status => 'waiting')")
        .await?;
    until_exact(&session).await?;
    session.batch_execute("UPDATE rag._steps SET status = 'approved'").await?;
    session.batch_execute("SELECT rag.log_step((SELECT max(id) FROM rag.runs), 'tool', 'x')").await?;
    let pair = ("SELECT 1::bigint, 2::bigint", "SELECT tool_calls, steps FROM rag.agent_daily");
    wait::until("both steps are in the report", async || {
        Ok((different(&session, pair).await? == 0).then_some(()))
    })
    .await?;
    ensure!(session.value::<i64>("SELECT calls FROM rag.tool_stats").await? == 1);
    ensure!(session.value::<i64>("SELECT tool_calls FROM rag.run_summary").await? == 1);
    Ok(())
}

async fn a_run_that_fails_is_an_error_once() -> Result<()> {
    let session = shared().await?.session().await?;
    session
        .batch_execute(
            "SELECT rag.finish_run(rag.start_run('a'), status => 'failed', error => 'no room in 17')",
        )
        .await?;
    session
        .batch_execute(
            "SELECT rag.finish_run(rag.start_run('a'), status => 'failed', error => 'no room in 18')",
        )
        .await?;
    wait::until("both are in the report", async || {
        let rows = session.query("SELECT kind, error, count FROM rag.error_groups", &[]).await?;
        Ok(rows.iter().any(|row| row.get::<_, i64>(2) == 2).then_some(()))
    })
    .await?;
    let pair = ("SELECT 'run', 'no room in #', 2::bigint", "SELECT kind, error, count FROM rag.error_groups");
    ensure!(different(&session, pair).await? == 0);
    let rate: f64 = session.value("SELECT success_rate FROM rag.agent_daily").await?;
    ensure!(rate == 0.0);
    Ok(())
}

async fn no_amount_stops_the_reports() -> Result<()> {
    wait::for_one_period().await?;
    let session = shared().await?.session().await?;
    let run: i64 = session.value("SELECT rag.start_run('a')").await?;
    for amount in [
        "input_tokens => 9223372036854775807",
        "output_tokens => 1000000000001",
        "cost => 1e300",
        "duration_ms => 1e308",
    ] {
        let log = format!("SELECT rag.log_step({run}, 'model', {amount})");
        session.refusal(&log).await?.expect("22023", "must be a number from 0 to 1000000000000", "")?;
    }
    // The earliest timestamp, less a duration, is still valid.
    session
        .batch_execute(&format!(
            "SELECT rag.log_step({run}, 'tool', started => '4714-11-24 00:00:00+00 BC', duration_ms => 1e12)"
        ))
        .await?;
    session.batch_execute("COPY (SELECT * FROM rag._steps) TO '/dev/null'; SELECT count(s::text), count(p::text) FROM rag.steps s, rag.spans p").await?;
    // A restore may bring any number.
    session
        .batch_execute(&format!(
            "SELECT rag.log_step({run}, 'model'), rag.log_step({run}, 'model');
             UPDATE rag._steps SET input_tokens = 9223372036854775807 WHERE run_id = {run};
             SELECT rag.finish_run({run})"
        ))
        .await?;
    until_folded(&session).await?;
    for view in ["rag.agent_daily", "rag.run_summary"] {
        let tokens: i64 =
            session.value(&format!("SELECT max(input_tokens) FROM {view} WHERE agent = 'a'")).await?;
        ensure!(tokens == i64::MAX, "{view}: {tokens}");
    }
    Ok(())
}
