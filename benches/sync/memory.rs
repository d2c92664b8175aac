//! Memory of each background process after many changes and logged steps, compared with its memory after a
//! tenth of them.

use crate::texts::{pieces, table, until_current};
use anyhow::{Context, Result};
use ragstone_benches::options::Options;
use ragstone_benches::seeded::SEEDED;
use ragstone_benches::{report, world};
use ragstone_tests::process::Process;
use ragstone_tests::server::Server;
use ragstone_tests::session::Session;

/// Maximum growth of a process's memory, in MB, between a tenth of the changes and all of them.
const BOUND: f64 = 5.0;

/// The process that starts the engine. It connects to no database, so `pg_stat_activity` does not show it.
const SUPERVISOR: &str = "ragstone supervisor";

/// The processes that index rows, write the log, and start the engine.
const PROCESSES: [&str; 3] = ["ragstone worker", "ragstone coordinator", SUPERVISOR];

/// Logs steps in each round of changes, which the coordinator then adds to the reports.
const STEPS: &str = "SELECT rag.log_steps(rag.start_run('bench'), jsonb_agg(jsonb_build_object('kind', 'tool', 'name', 'tool ' || g)))
                     FROM generate_series(1, 500) g";

pub async fn run(options: &Options) -> Result<()> {
    let (rows, tenth) = (options.size(10_000, 500), options.size(100_000, 2_000));
    report::part(&format!("memory of background processes after {tenth} and {} changes", tenth * 10));
    let server = world::server("auto", true).await?;
    let session = server.session().await?;
    table(&session, "t", &pieces(rows, 300)?).await?;
    let create = format!("SELECT rag.create_collection('t', 't', 'body', model => '{SEEDED}')");
    session.batch_execute(&create).await?;
    until_current(&session, "t").await?;
    session.batch_execute(STEPS).await?;
    let mut before: Vec<f64> = Vec::new();
    let (mut changes, mut round) = (0, 0);
    for goal in [tenth, tenth * 10] {
        while changes < goal {
            session.batch_execute(&format!("UPDATE t SET body = '{round} ' || substr(body, 3)")).await?;
            session.batch_execute(STEPS).await?;
            (changes, round) = (changes + rows, (round + 1) % 10);
            until_current(&session, "t").await?;
        }
        for (place, process) in PROCESSES.iter().enumerate() {
            let megabytes = memory(&server, &session, process).await?;
            report::figure(&format!("{process}, after {changes} changes"), megabytes, "MB");
            match before.get(place) {
                None => before.push(megabytes),
                Some(first) => report::at_most(
                    &format!("{process}, more after all of them"),
                    megabytes - first,
                    BOUND,
                    "MB",
                ),
            }
        }
    }
    Ok(())
}

/// Private memory of the first process of a kind, in MB.
async fn memory(server: &Server, session: &Session, process: &str) -> Result<f64> {
    let process = if process == SUPERVISOR {
        *Process::supervisors_of(&server.data()).first().context("no supervisor runs")?
    } else {
        let sql = "SELECT pid FROM pg_stat_activity WHERE backend_type = $1 ORDER BY backend_start LIMIT 1";
        Process(session.value_of(sql, &[&process]).await?)
    };
    Ok(process.anonymous_bytes()? as f64 / 1e6)
}
