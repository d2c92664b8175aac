//! `rag.log_step` in the caller's transaction, compared with a plain INSERT of the same row.

use anyhow::Result;
use ragstone_benches::options::Options;
use ragstone_benches::timing::Times;
use ragstone_benches::{report, world};
use ragstone_tests::session::Session;
use ragstone_tests::wait;
use serde_json::{Value, json};
use std::time::Instant;
use tokio_postgres::Statement;

/// Steps of each contestant per transaction.
const TRANSACTION: usize = 200;

const COLUMNS: &str = "run_id, kind, name, input, output, model, input_tokens, output_tokens, cost, started, duration_ms, status";

/// The additional columns that a plain INSERT has to fill in.
const REST: &str = "id, number, owner, agent, written";

pub async fn run(options: &Options) -> Result<()> {
    let steps = options.size(20_000, 400);
    report::part(&format!("rag.log_step in a transaction, {steps} steps of 500 bytes"));
    let server = world::server("auto", false).await?;
    let session = server.session().await?;
    let run: i64 = session.value("SELECT rag.start_run('bench')").await?;
    until_partitioned(&session).await?;
    session
        .batch_execute(
            "CREATE TABLE plain (LIKE rag._steps INCLUDING CONSTRAINTS, PRIMARY KEY (id, started));
             CREATE INDEX ON plain (run_id, number)",
        )
        .await?;
    let parameters = "$1, $2, $3, $4, $5, $6, $7, $8, $9, now(), $10, 'ok'";
    let insert = |table: &str| {
        format!(
            "INSERT INTO {table} ({COLUMNS}, {REST})
             VALUES ({parameters}, nextval('rag._step_id'), 1, current_user, 'bench', 1) RETURNING id"
        )
    };
    let call = "SELECT rag.log_step($1, $2, $3, input => $4, output => $5, model => $6, input_tokens => $7, output_tokens => $8,
                                    cost => $9, duration_ms => $10)";
    let mut contestants = [
        Contestant::new("rag.log_step", &session, call).await?,
        Contestant::new("a plain INSERT into the same table", &session, &insert("rag._steps")).await?,
        Contestant::new("a plain INSERT into a table without partitions", &session, &insert("plain")).await?,
    ];
    play(&mut contestants, &session, run, steps).await?;
    for contestant in &contestants {
        report::figure(&format!("{}, p50", contestant.name), contestant.times.p50() * 1e3, "µs");
        report::figure(&format!("{}, p95", contestant.name), contestant.times.p95() * 1e3, "µs");
    }
    let [ours, same, plain] = contestants.map(|contestant| contestant.times.p50());
    report::at_most("rag.log_step to a plain INSERT into the same table, p50", ours / same, 1.3, "×");
    report::at_most(
        "rag.log_step to a plain INSERT into a table without partitions, p50",
        ours / plain,
        1.3,
        "×",
    );
    Ok(())
}

/// Waits until the current week has its partition.
async fn until_partitioned(session: &Session) -> Result<()> {
    let made = "SELECT count(*) >= 3 FROM pg_inherits WHERE inhparent = 'rag._steps'::regclass";
    wait::until("the week is made", async || Ok(session.value::<bool>(made).await?.then_some(()))).await
}

struct Contestant {
    name: &'static str,
    statement: Statement,
    times: Times,
}

impl Contestant {
    async fn new(name: &'static str, session: &Session, sql: &str) -> Result<Self> {
        Ok(Self { name, statement: session.prepare(sql).await?, times: Times::default() })
    }
}

/// Logs all steps by all contestants in turn, in transactions that they share, after a tenth as many steps to
/// warm up.
async fn play(contestants: &mut [Contestant], session: &Session, run: i64, steps: usize) -> Result<()> {
    let count = contestants.len();
    session.batch_execute("BEGIN").await?;
    for step in 0..steps + steps / 10 {
        let (input, output) = values(step);
        for turn in 0..count {
            let contestant = &mut contestants[(turn + step) % count];
            let start = Instant::now();
            session
                .query_one(
                    &contestant.statement,
                    &[
                        &run,
                        &"tool",
                        &"find_parcel",
                        &input,
                        &output,
                        &"openai/gpt-4o",
                        &812_i64,
                        &57_i64,
                        &0.0021,
                        &181.5,
                    ],
                )
                .await?;
            if step >= steps / 10 {
                contestant.times.push(start.elapsed());
            }
        }
        if step % TRANSACTION == TRANSACTION - 1 {
            session.batch_execute("COMMIT; BEGIN").await?;
        }
    }
    session.batch_execute("COMMIT").await?;
    Ok(())
}

/// Input and output of a tool call, about 500 bytes together.
fn values(step: usize) -> (Value, Value) {
    let input = json!({
        "arguments": {"parcel": format!("JD{step:012}"), "country": "DE", "verbose": true},
        "call_id": format!("call_{step:020}"),
        "reason": "The customer asks where the parcel is that was sent on Monday.",
    });
    let output = json!({
        "status": "in transit",
        "history": [
            {"at": "2026-03-02T08:12:45Z", "place": "Leipzig", "event": "handed over by the sender"},
            {"at": "2026-03-02T23:40:10Z", "place": "Hannover", "event": "left the sorting centre"},
        ],
        "expected": "2026-03-04",
        "attempts": 0,
    });
    (input, output)
}
