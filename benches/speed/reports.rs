//! Reports on the agent log, compared with the same results computed from the steps by plain SQL.

use anyhow::{Result, bail, ensure};
use ragstone_benches::options::Options;
use ragstone_benches::timing::Times;
use ragstone_benches::{report, world};
use ragstone_tests::server::{Options as Settings, Server};
use ragstone_tests::session::Session;
use ragstone_tests::wait;
use std::time::{Duration, Instant};

/// Steps per run.
const STEPS: usize = 10;

/// Number of runs that are created in one transaction.
const AT_ONCE: usize = 50_000;

/// A goal of the project, in milliseconds.
const A_SECOND: f64 = 1000.0;

/// Number of weeks before the current one that the log covers.
const WEEKS: usize = 13;

/// Time without any change of the roll-ups after which the cause is looked for: the coordinator adds a part
/// within a fraction of a second.
const STALLED: Duration = Duration::from_secs(2);

/// Time without any change after which the bench fails, if no row is missing and no error is reported.
const STUCK: Duration = Duration::from_secs(120);

/// Reports: title, query, and the same result from the steps themselves, if that is another query.
const REPORTS: &[(&str, &str, Option<&str>)] = &[
    ("agent_daily, all days", "SELECT * FROM rag.agent_daily", Some(AGENT_DAILY)),
    (
        "tool_stats",
        "SELECT * FROM rag.tool_stats",
        Some(
            "SELECT name, agent, count(*), count(*) FILTER (WHERE status = 'error'), max(started),
                    percentile_disc(0.5) WITHIN GROUP (ORDER BY duration_ms),
                    percentile_disc(0.95) WITHIN GROUP (ORDER BY duration_ms)
             FROM rag._steps WHERE kind = 'tool' GROUP BY 1, 2",
        ),
    ),
    (
        "error_groups",
        "SELECT * FROM rag.error_groups",
        Some(
            "SELECT agent, kind, name, sqlstate, regexp_replace(error, '[0-9]+', '#', 'g'), count(*), min(started), max(started)
             FROM rag._steps WHERE status = 'error' GROUP BY 1, 2, 3, 4, 5",
        ),
    ),
    (
        "slowest_steps LIMIT 20",
        "SELECT * FROM rag.slowest_steps LIMIT 20",
        Some("SELECT id, run_id, name, duration_ms FROM rag._steps ORDER BY duration_ms DESC NULLS LAST LIMIT 20"),
    ),
    (
        "run_summary, the latest 100",
        "SELECT * FROM rag.run_summary LIMIT 100",
        Some(
            "SELECT r.id, r.status, s.* FROM (SELECT * FROM rag._runs ORDER BY id DESC LIMIT 100) r
             CROSS JOIN LATERAL (SELECT count(*), sum(input_tokens), sum(output_tokens), sum(cost)
                                 FROM rag._steps WHERE run_id = r.id) s",
        ),
    ),
    ("run_summary, ORDER BY id DESC LIMIT 100", "SELECT * FROM rag.run_summary ORDER BY id DESC LIMIT 100", None),
    ("run_summary of one run", "SELECT * FROM rag.run_summary WHERE id = (SELECT max(run_id) FROM rag.slowest_steps)", None),
    ("trace of a run", "SELECT rag.trace((SELECT max(run_id) FROM rag.slowest_steps))", None),
    ("spans of a run, as OTLP", "SELECT rag.otlp((SELECT max(run_id) FROM rag.slowest_steps))", None),
];

const AGENT_DAILY: &str = "
SELECT r.*, s.*
FROM (SELECT (started AT TIME ZONE 'UTC')::date AS day, agent, count(*), count(*) FILTER (WHERE status = 'done'),
             percentile_disc(0.5) WITHIN GROUP (ORDER BY finished - started),
             percentile_disc(0.95) WITHIN GROUP (ORDER BY finished - started)
      FROM rag._runs WHERE finished IS NOT NULL GROUP BY 1, 2) r
JOIN (SELECT (started AT TIME ZONE 'UTC')::date AS day, agent, count(*), count(*) FILTER (WHERE kind = 'model'),
             count(*) FILTER (WHERE kind = 'tool'), count(*) FILTER (WHERE status = 'error'), sum(input_tokens),
             sum(output_tokens), sum(cost)
      FROM rag._steps GROUP BY 1, 2) s USING (day, agent)";

pub async fn run(options: &Options) -> Result<()> {
    let runs = options.size(1_000_000, 5_000);
    report::part(&format!("reports over {} steps of {runs} runs", runs * STEPS));
    let server = world::server("onnxruntime", false).await?;
    keep_all(&server).await?;
    let database = server.database().await?;
    let session = server.connect(&database).await?;
    let filled = Instant::now();
    fill(&session, runs).await?;
    report::figure("writing them, 50,000 runs in a transaction", filled.elapsed().as_secs_f64(), "s");
    let seconds = fold(&server, &session, runs).await?;
    report::figure("adding them to the reports, by the coordinator", seconds, "s");
    report::figure("that is, for a million steps", seconds * 1e6 / (runs * STEPS) as f64, "s");
    session.batch_execute("VACUUM ANALYZE").await?;
    sizes(&session).await?;
    compare(&server, &database, options).await
}

/// Makes the server keep the log forever. The oldest week ends 84 to 90 days ago: on Sundays (UTC) the
/// coordinator would drop it with its runs. This is set before there is a database for which a coordinator
/// could start.
async fn keep_all(server: &Server) -> Result<()> {
    server.configure(&Settings::default().set("rag.log_retention", "0"))?;
    server.connect("postgres").await?.batch_execute("SELECT pg_reload_conf()").await?;
    wait::until("the server uses the new retention", async || {
        let retention: String =
            server.connect("postgres").await?.value("SELECT current_setting('rag.log_retention')").await?;
        Ok((retention == "0").then_some(()))
    })
    .await
}

/// Creates weekly partitions as the coordinator does, and rows in all of them. The sequences are set last:
/// before that the coordinator adds nothing.
async fn fill(session: &Session, runs: usize) -> Result<()> {
    session
        .batch_execute("CREATE ROLE app LOGIN; CREATE ROLE auditor LOGIN; GRANT rag_auditor TO auditor")
        .await?;
    session.batch_execute(&weeks()).await?;
    for first in (0..runs).step_by(AT_ONCE) {
        let last = (first + AT_ONCE).min(runs);
        session.batch_execute(&rows(first, last, runs)).await?;
    }
    let numbers = format!("SELECT setval('rag._run_id', {runs}), setval('rag._step_id', {})", runs * STEPS);
    session.batch_execute(&numbers).await?;
    Ok(())
}

fn weeks() -> String {
    format!(
        "DO $$
         DECLARE
           monday timestamp;
           week text;
         BEGIN
           FOR i IN 0..{WEEKS} LOOP
             monday := date_trunc('week', now() AT TIME ZONE 'UTC') - i * interval '7 days';
             week := to_char(monday, 'IYYY\"w\"IW');
             EXECUTE format('CREATE TABLE rag._runs_%s PARTITION OF rag._runs (PRIMARY KEY (id, started)) FOR VALUES FROM (%L) TO (%L)',
                            week, monday::text || '+00', (monday + interval '7 days')::text || '+00');
             EXECUTE format('CREATE INDEX ON rag._runs_%s (id) WHERE NOT counted AND finished IS NOT NULL', week);
             EXECUTE format('CREATE TABLE rag._steps_%s PARTITION OF rag._steps (PRIMARY KEY (id, started)) FOR VALUES FROM (%L) TO (%L)',
                            week, monday::text || '+00', (monday + interval '7 days')::text || '+00');
             EXECUTE format('CREATE INDEX ON rag._steps_%s (run_id, number)', week);
             EXECUTE format('CREATE INDEX ON rag._steps_%s (written, id)', week);
           END LOOP;
         END
         $$"
    )
}

/// Runs of five agents over the weeks, with ten steps each: four model calls, five calls of twenty tools, one
/// retrieval. One step in fifty fails with one of thirty messages. The durations are distributed like those
/// of networks: many short, few long.
fn rows(first: usize, last: usize, runs: usize) -> String {
    let began = format!(
        "date_trunc('week', now() AT TIME ZONE 'UTC') AT TIME ZONE 'UTC' - interval '{WEEKS} weeks'
         + r * (interval '{WEEKS} weeks' / {runs})"
    );
    format!(
        "INSERT INTO rag._runs (id, owner, agent, status, error, started, finished, written)
         SELECT r + 1, 'app', 'agent ' || r % 5, CASE WHEN r % 20 = 0 THEN 'failed' ELSE 'done' END,
                CASE WHEN r % 20 = 0 THEN 'step ' || r || ' failed' END, {began},
                {began} + exp(6 + 3 * random()) * interval '1 ms', pg_current_xact_id()::text::bigint
         FROM generate_series({first}, {last} - 1) r;
         INSERT INTO rag._steps (id, run_id, number, owner, agent, kind, name, model, input, output, input_tokens, output_tokens,
                                 cost, started, duration_ms, status, error, written)
         SELECT r * {STEPS} + k + 1, r + 1, k + 1, 'app', 'agent ' || r % 5,
                CASE WHEN k = 0 THEN 'retrieval' WHEN k % 2 = 1 AND k < 9 THEN 'model' ELSE 'tool' END,
                CASE WHEN k = 0 THEN 'manual' WHEN k % 2 = 1 AND k < 9 THEN 'chat' ELSE 'tool_' || (r * 7 + k * 3) % 20 END,
                CASE WHEN k % 2 = 1 AND k < 9 THEN 'provider/model-' || r % 3 END,
                jsonb_build_object('id', r), '{{\"state\": \"sent\"}}',
                CASE WHEN k % 2 = 1 AND k < 9 THEN 800 + r % 400 END, CASE WHEN k % 2 = 1 AND k < 9 THEN 50 + r % 100 END,
                CASE WHEN k % 2 = 1 AND k < 9 THEN 0.001 END,
                {began} + k * interval '1 ms', exp(2 + 5 * random()),
                CASE WHEN (r * {STEPS} + k) % 50 = 0 THEN 'error' ELSE 'ok' END,
                CASE WHEN (r * {STEPS} + k) % 50 = 0
                     THEN 'order ' || r || chr(97 + r % 26) || ' of \"' || md5(r::text) || '\" is ' || chr(97 + (r / 5 % 30)::int) END,
                pg_current_xact_id()::text::bigint
         FROM generate_series({first}, {last} - 1) r CROSS JOIN generate_series(0, {STEPS} - 1) k"
    )
}

/// Numbers of steps and runs: those in the reports, or those expected there.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Sums {
    steps: i64,
    runs: i64,
}

/// Causes a coordinator to start, and waits until everything is in the reports. Returns the time in seconds.
async fn fold(server: &Server, session: &Session, runs: usize) -> Result<f64> {
    let begin = Instant::now();
    // Logging starts a coordinator.
    session.batch_execute("SELECT rag.finish_run(rag.start_run('the bench'))").await?;
    let expected = Sums { steps: (runs * STEPS) as i64, runs: runs as i64 + 1 };
    let mut last = (Sums { steps: 0, runs: 0 }, Instant::now());
    let mut looked = begin;
    wait::until_within(Duration::from_secs(3600), "all steps are in the reports", async || {
        let row = session
            .query_one(
                "SELECT (SELECT coalesce(sum(steps), 0)::bigint FROM rag._step_day), NOT EXISTS (SELECT FROM rag._totals_progress WHERE anew_before IS NOT NULL),
                        (SELECT coalesce(sum(runs), 0)::bigint FROM rag._run_day)",
                &[],
            )
            .await?;
        let added = Sums { steps: row.get(0), runs: row.get(2) };
        if added == expected && row.get(1) {
            return Ok(Some(()));
        }
        if added != last.0 {
            last = (added, Instant::now());
        }
        if last.1.elapsed() > STALLED && looked.elapsed() > STALLED {
            can_still_come(server, session, added, expected).await?;
            ensure!(last.1.elapsed() < STUCK, "{} for {} s", short(added, expected), STUCK.as_secs());
            looked = Instant::now();
        }
        Ok(None)
    })
    .await?;
    Ok(begin.elapsed().as_secs_f64())
}

/// Fails if the expected numbers can no longer be reached. It counts all rows, so it is called only if the
/// roll-ups stop changing.
async fn can_still_come(server: &Server, session: &Session, added: Sums, expected: Sums) -> Result<()> {
    let log = server.log()?;
    if let Some(error) = log.lines().rev().find(|line| line.contains("ragstone coordinator: could not")) {
        bail!("{}, and the coordinator has failed: {error}", short(added, expected));
    }
    let there = "SELECT (SELECT count(*) FROM rag._steps), (SELECT count(*) FROM rag._runs WHERE finished IS NOT NULL),
                        (SELECT coalesce(min(inhrelid::regclass::text), 'gone') FROM pg_inherits
                         WHERE inhparent = 'rag._steps'::regclass AND inhrelid <> 'rag._steps_other'::regclass)";
    let row = session.query_one(there, &[]).await?;
    let there = Sums { steps: row.get(0), runs: row.get(1) };
    ensure!(
        there.steps >= expected.steps && there.runs >= expected.runs,
        "{}, and no more can come: the log has lost {} steps and {} runs, and its oldest week is {}",
        short(added, expected),
        (expected.steps - there.steps).max(0),
        (expected.runs - there.runs).max(0),
        row.get::<_, String>(2),
    );
    ensure!(
        added.steps <= expected.steps && added.runs <= expected.runs,
        "{}, which is more than was logged",
        short(added, expected)
    );
    Ok(())
}

fn short(added: Sums, expected: Sums) -> String {
    format!(
        "reports have {} of {} steps and {} of {} runs that have ended",
        added.steps, expected.steps, added.runs, expected.runs
    )
}

async fn sizes(session: &Session) -> Result<()> {
    let size = async |pattern: &str| {
        let sql = "SELECT sum(pg_total_relation_size(oid))::float8 / 1e6 FROM pg_class
                   WHERE relnamespace = 'rag'::regnamespace AND relkind = 'r' AND relname ~ $1";
        session.value_of::<f64>(sql, &[&pattern]).await
    };
    report::figure("steps, with their indexes", size("^_steps_").await?, "MB");
    report::figure(
        "sums of reports",
        size("^_(run_day|step_day|error_day|slow_step|totals_progress)$").await?,
        "MB",
    );
    Ok(())
}

async fn compare(server: &Server, database: &str, options: &Options) -> Result<()> {
    let owner = server.connect_as("app", database).await?;
    let auditor = server.connect_as("auditor", database).await?;
    let direct = server.connect(database).await?;
    let (rounds, direct_rounds) = options.size((7, 3), (3, 1));
    for (what, report, plain) in REPORTS {
        let owned = p50(&owner, report, rounds).await?;
        report::at_most(&format!("{what}: by the owner, p50"), owned, A_SECOND, "ms");
        let audited = p50(&auditor, report, rounds).await?;
        report::at_most(&format!("{what}: by an auditor, p50"), audited, A_SECOND, "ms");
        if let Some(plain) = plain {
            let from_steps = p50(&direct, plain, direct_rounds).await?;
            report::figure(&format!("{what}: plain SQL over the steps, p50"), from_steps, "ms");
        }
    }
    Ok(())
}

async fn p50(session: &Session, sql: &str, rounds: usize) -> Result<f64> {
    let statement = session.prepare(sql).await?;
    let mut times = Times::default();
    // The first round includes the time for planning and for reading data into memory.
    for round in 0..=rounds {
        let begin = Instant::now();
        let rows = session.query(&statement, &[]).await?;
        ensure!(!rows.is_empty(), "nothing from {sql}");
        if round > 0 {
            times.push(begin.elapsed());
        }
    }
    Ok(times.p50())
}
