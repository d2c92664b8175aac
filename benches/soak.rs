//! Many kinds of trouble at once for an hour: how long changes of collections of the local model wait
//! meanwhile, how much memory the background processes keep, and what the server logs.
//!
//! `cargo bench -p ragstone-benches --bench soak -- [--full]`

use anyhow::Result;
use ragstone_benches::options::Options;
use ragstone_benches::timing::Times;
use ragstone_benches::{program, report};
use ragstone_tests::chance::Chance;
use ragstone_tests::process::Process;
use ragstone_tests::session::Session;
use ragstone_tests::troubles::{Database, World};
use std::cell::Cell;
use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// Steps per second of a database's clients. At full speed, clients change each of their few rows again
/// before its text is embedded, and use up the processors: the age of the oldest change would then measure
/// the clients instead of the workers.
const STEPS_PER_SECOND: u32 = 20;

/// Interval at which queues and memory are sampled.
const SAMPLE_INTERVAL: Duration = Duration::from_millis(200);

fn main() -> ExitCode {
    program::run(async |options| program::told(run(options).await))
}

async fn run(options: &Options) -> Result<()> {
    let time = options.size(Duration::from_secs(3600), Duration::from_secs(20));
    report::part(&format!("troubles for {} s", time.as_secs()));
    let world = World::start(Chance::seed("RAGSTONE_CHAOS_SEED")).await?;
    world.begin_troubles();
    let is_over = Cell::new(false);
    let (rounds, samples) = futures_util::future::try_join(
        async {
            let rounds = write_for(&world, time).await;
            is_over.set(true);
            rounds
        },
        sample_until(&world, &is_over),
    )
    .await?;
    world.end_troubles().await?;
    world.check().await?;
    report::figure("rounds of writes, each with a kill of the engine", rounds as f64, "");
    report::figure("age of the oldest change of a healthy collection, p50", samples.ages.p50(), "ms");
    report::at_most(
        "age of the oldest change of a healthy collection, p95",
        samples.ages.p95(),
        5000.0,
        "ms",
    );
    report::figure(
        "age of the oldest change of a healthy collection, p99",
        samples.ages.quantile(0.99),
        "ms",
    );
    report::figure(
        "age of the oldest change of a healthy collection, longest",
        samples.ages.quantile(1.0),
        "ms",
    );
    for (process, (first, last)) in samples.memory {
        report::note(&format!("{process}: {first} kB of its own at first, {last} kB at last"));
    }
    for (line, count) in log_lines(&world.server.log()?) {
        report::note(&format!("{count:>7} times in the log: {line}"));
    }
    Ok(())
}

async fn write_for(world: &World, time: Duration) -> Result<usize> {
    let begin = Instant::now();
    let mut rounds = 0;
    while begin.elapsed() < time {
        world.round(Some(STEPS_PER_SECOND)).await?;
        rounds += 1;
    }
    Ok(rounds)
}

#[derive(Default)]
struct Samples {
    /// Age of the oldest change that is not indexed, of each collection of the local model.
    ages: Times,
    /// By database and process: its private memory when it was first and last seen, in kB.
    memory: BTreeMap<String, (u64, u64)>,
}

async fn sample_until(world: &World, is_over: &Cell<bool>) -> Result<Samples> {
    let mut samples = Samples::default();
    let mut sessions = Vec::new();
    for database in &world.databases {
        sessions.push(world.server.connect(&database.name).await?);
    }
    while !is_over.get() {
        for (database, session) in world.databases.iter().zip(&sessions) {
            sample(database, session, &mut samples).await?;
        }
        tokio::time::sleep(SAMPLE_INTERVAL).await;
    }
    Ok(samples)
}

async fn sample(database: &Database, session: &Session, samples: &mut Samples) -> Result<()> {
    for (name, _) in database.collections.iter().filter(|(_, provider)| provider.is_none()) {
        let age: f64 = session
            .value_of(
                "SELECT coalesce(extract(epoch FROM max(clock_timestamp() - queued_at)), 0)::float8
                 FROM rag._queue q JOIN rag.collection c ON c.id = q.collection WHERE c.name = $1",
                &[name],
            )
            .await?;
        samples.ages.push(Duration::from_secs_f64(age.max(0.0)));
    }
    let workers = "SELECT pid, backend_type FROM pg_stat_activity
                   WHERE backend_type LIKE 'ragstone%' AND datname = current_database()";
    for row in session.query(workers, &[]).await? {
        let (pid, kind): (i32, String) = (row.get(0), row.get(1));
        // The process may have ended since.
        let Ok(bytes) = Process(pid).anonymous_bytes() else { continue };
        let key = format!("{} {kind} {pid}", database.name);
        samples.memory.entry(key).or_insert((bytes / 1024, 0)).1 = bytes / 1024;
    }
    Ok(())
}

/// The lines of a log without their variable parts, each with its number of occurrences.
fn log_lines(log: &str) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for line in log.lines().filter_map(|line| line.split_once("] ").map(|(_, rest)| rest)) {
        let line: String =
            line.chars().map(|letter| if letter.is_ascii_digit() { '#' } else { letter }).collect();
        *counts.entry(line).or_default() += 1;
    }
    counts
}
