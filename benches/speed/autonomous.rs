//! Sixteen sessions that log steps which outlive their transactions, compared with sixteen sessions that
//! insert the same rows and commit each.

use anyhow::{Context, Result, anyhow};
use ragstone_benches::options::Options;
use ragstone_benches::timing::{Times, median};
use ragstone_benches::{report, world};
use ragstone_tests::process::Process;
use ragstone_tests::server::Server;
use ragstone_tests::session::Session;
use ragstone_tests::wait;
use std::thread;
use std::time::{Duration, Instant};

const SESSIONS: usize = 16;

/// The goal for all sessions together.
const STEPS_PER_SECOND: f64 = 20_000.0;

/// Number of steps in one call of `rag.log_steps`.
const TOGETHER: usize = 20;

const IN: &str = r#"{"query": "how do I take a base backup", "k": 5, "mode": "hybrid"}"#;
const OUT: &str =
    r#"[{"key": 17, "score": 0.0325}, {"key": 4, "score": 0.0316}, {"key": 9, "score": 0.0299}]"#;

/// The same columns, keys and indexes as the log's.
const PLAIN: &str = "CREATE TABLE plain (LIKE rag._steps INCLUDING DEFAULTS, PRIMARY KEY (id, started));
    CREATE INDEX ON plain (run_id, number); CREATE INDEX ON plain (started); CREATE SEQUENCE plain_id;";

pub async fn run(options: &Options) -> Result<()> {
    report::part("sixteen sessions log steps that outlive their transactions");
    let server = world::server("onnxruntime", false).await?;
    let database = server.database().await?;
    let session = server.connect(&database).await?;
    session.batch_execute(PLAIN).await?;
    session.batch_execute("SET rag.log_durability = 'autonomous'").await?;
    let run: i64 = session.value("SELECT rag.start_run('bench')").await?;
    let (rounds, window) = options.size((3, Duration::from_secs(5)), (1, Duration::from_millis(500)));
    let insert = format!(
        "INSERT INTO plain (id, run_id, number, owner, agent, kind, name, input, output, started, status, written)
         VALUES (nextval('plain_id'), {run}, 1, 'postgres', 'bench', 'tool', 'search', '{IN}', '{OUT}', clock_timestamp(), 'ok', 1)"
    );
    let step = format!("SELECT rag.log_step({run}, 'tool', 'search', '{IN}', '{OUT}')");
    let one = format!(r#"{{"kind": "tool", "name": "search", "input": {IN}, "output": {OUT}}}"#);
    let steps = format!("SELECT rag.log_steps({run}, '[{}]')", vec![one; TOGETHER].join(", "));
    let world = World { server: &server, database: &database, session: &session, window };
    let contests = contests(&insert, &step, &steps);
    let mut seen: Vec<Vec<Seen>> = contests.iter().map(|_| Vec::new()).collect();
    for _ in 0..rounds {
        for (contest, seen) in contests.iter().zip(&mut seen) {
            seen.push(world.hold(contest).await?);
        }
    }
    for (contest, seen) in contests.iter().zip(&seen) {
        tell(contest, seen);
    }
    Ok(())
}

/// One row at a time, twenty at a time, and at the rate of a typical application.
fn contests<'a>(insert: &'a str, step: &'a str, steps: &'a str) -> [Contest<'a>; 6] {
    [
        Contest {
            what: "INSERT and commit, as fast as it goes",
            sql: insert,
            steps: 1,
            rate: None,
            logs: false,
        },
        Contest { what: "log_step, as fast as it goes", sql: step, steps: 1, rate: None, logs: true },
        Contest {
            what: "log_step, 20,000 a second wanted",
            sql: step,
            steps: 1,
            rate: Some(STEPS_PER_SECOND),
            logs: true,
        },
        Contest {
            what: "log_step, 5,000 a second wanted",
            sql: step,
            steps: 1,
            rate: Some(5000.0),
            logs: true,
        },
        Contest {
            what: "log_steps of 20, as fast as it goes",
            sql: steps,
            steps: TOGETHER,
            rate: None,
            logs: true,
        },
        Contest {
            what: "log_steps of 20, 20,000 a second wanted",
            sql: steps,
            steps: TOGETHER,
            rate: Some(STEPS_PER_SECOND),
            logs: true,
        },
    ]
}

struct World<'a> {
    server: &'a Server,
    database: &'a str,
    session: &'a Session,
    window: Duration,
}

/// One way of logging.
struct Contest<'a> {
    what: &'a str,
    sql: &'a str,
    /// Number of steps per call.
    steps: usize,
    /// Target rate of all sessions together, in steps per second; None for full speed.
    rate: Option<f64>,
    /// True if the rows are written to the agent log.
    logs: bool,
}

/// The result of one turn of a contest.
struct Seen {
    /// Steps per second, until the last call returned.
    rate: f64,
    /// Steps per second, until the last row was stored.
    written: f64,
    waits: Times,
    /// Processor time divided by elapsed time: of client, sessions, engine and coordinator.
    shares: [f64; 4],
}

impl World<'_> {
    async fn hold(&self, contest: &Contest<'_>) -> Result<Seen> {
        let logged = "SELECT (SELECT count(*) FROM rag._steps) + (SELECT count(*) FROM plain)";
        let before: i64 = self.session.value(logged).await?;
        let (engines, coordinators) = (self.server.engines(), self.coordinators().await?);
        let time = || -> Result<[Duration; 3]> {
            Ok([
                Process(std::process::id().cast_signed()).processor_time()?,
                of_all(&engines)?,
                of_all(&coordinators)?,
            ])
        };
        let (start, times) = (Instant::now(), time()?);
        let turns = thread::scope(|scope| {
            let threads: Vec<_> =
                (0..SESSIONS).map(|place| scope.spawn(move || self.log(contest, place, start))).collect();
            let turns =
                threads.into_iter().map(|thread| thread.join().map_err(|_| anyhow!("a session panicked"))?);
            turns.collect::<Result<Vec<_>>>()
        })?;
        let answered = start.elapsed().as_secs_f64();
        if contest.logs {
            let all = "SELECT NOT EXISTS (SELECT FROM rag.stat_log WHERE waiting > 0)";
            wait::until("the log is written", async || {
                Ok(self.session.value::<bool>(all).await?.then_some(()))
            })
            .await?;
        }
        let (written, after) = (start.elapsed().as_secs_f64(), time()?);
        let calls: usize = turns.iter().map(|turn| turn.waits.len()).sum();
        let found: i64 = self.session.value(logged).await?;
        let steps = calls * contest.steps;
        anyhow::ensure!(found - before == steps as i64, "{} rows of {steps} steps", found - before);
        let sessions: Duration = turns.iter().map(|turn| turn.processor_time).sum();
        let share = |place: usize| (after[place] - times[place]).as_secs_f64() / written;
        let mut waits = Times::default();
        turns.iter().flat_map(|turn| &turn.waits).for_each(|wait| waits.push(*wait));
        Ok(Seen {
            rate: steps as f64 / answered,
            written: steps as f64 / written,
            waits,
            shares: [share(0), sessions.as_secs_f64() / written, share(1), share(2)],
        })
    }

    async fn coordinators(&self) -> Result<Vec<Process>> {
        let sql = "SELECT pid FROM pg_stat_activity WHERE backend_type = 'ragstone coordinator'";
        Ok(self.session.query(sql, &[]).await?.iter().map(|row| Process(row.get(0))).collect())
    }

    /// The part of one session, in a thread of its own.
    fn log(&self, contest: &Contest, place: usize, start: Instant) -> Result<Turn> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (session, backend, statement) = runtime.block_on(async {
            let session = self.server.connect(self.database).await?;
            session.batch_execute("SET rag.log_durability = 'autonomous'").await?;
            let statement = session.prepare(contest.sql).await?;
            let backend = session.backend().await?;
            anyhow::Ok((session, backend, statement))
        })?;
        let pause =
            contest.rate.map(|rate| Duration::from_secs_f64((contest.steps * SESSIONS) as f64 / rate));
        // Steps that were due while the sessions connected are made up for.
        let mut due = start + pause.map_or(Duration::ZERO, |pause| pause * place as u32 / SESSIONS as u32);
        let mut waits = Vec::new();
        while start.elapsed() < self.window {
            if let Some(pause) = pause {
                thread::sleep(due.saturating_duration_since(Instant::now()));
                due += pause;
            }
            let begin = Instant::now();
            runtime.block_on(session.query(&statement, &[]))?;
            waits.push(begin.elapsed());
        }
        let processor_time = backend.processor_time().context("the session's process has gone")?;
        Ok(Turn { waits, processor_time })
    }
}

struct Turn {
    waits: Vec<Duration>,
    /// Processor time of the session's process.
    processor_time: Duration,
}

fn of_all(processes: &[Process]) -> Result<Duration> {
    processes.iter().map(|process| process.processor_time()).sum()
}

fn tell(contest: &Contest, seen: &[Seen]) {
    let of = |value: fn(&Seen) -> f64| median(&seen.iter().map(value).collect::<Vec<_>>());
    report::note(&format!("-- {}", contest.what));
    let (rate, p50) = (of(|seen| seen.rate), of(|seen| seen.waits.p50()));
    match contest.rate {
        Some(STEPS_PER_SECOND) if contest.steps == 1 => {
            report::at_least("steps", rate, STEPS_PER_SECOND * 0.99, "steps/s");
            report::at_most("a caller waits, p50", p50, 0.2, "ms");
        }
        _ => {
            report::figure("steps", rate, "steps/s");
            report::figure("a caller waits, p50", p50, "ms");
        }
    }
    report::figure("a caller waits, p95", of(|seen| seen.waits.p95()), "ms");
    report::figure("rows, until the last one is there", of(|seen| seen.written), "rows/s");
    let shares = [
        of(|seen| seen.shares[0]),
        of(|seen| seen.shares[1]),
        of(|seen| seen.shares[2]),
        of(|seen| seen.shares[3]),
    ];
    let processors = world::processors();
    report::note(&format!(
        "of {processors} processors: clients {:.2}, sessions {:.2}, engine {:.2}, coordinator {:.2}",
        shares[0], shares[1], shares[2], shares[3]
    ));
}
