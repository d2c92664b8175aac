//! Behind a PgBouncer in transaction mode: each statement of a client may use another connection to the
//! server.

use crate::jobs::World;
use anyhow::{Context, ensure};
use libtest_mimic::Trial;
use nix::sys::signal::Signal;
use ragstone_tests::Result;
use ragstone_tests::pgbouncer::{POOLED, PgBouncer};
use ragstone_tests::process::Process;
use ragstone_tests::provider::{Gate, Part, Provider, Reply};
use ragstone_tests::session::{Session, refusal_in};
use ragstone_tests::wait;
use std::process::Stdio;
use tokio_postgres::SimpleQueryMessage;

pub fn tests() -> Vec<Trial> {
    ragstone_tests::tests![
        a_job_is_submitted_read_and_waited_for_over_any_connection,
        a_stream_is_read_within_its_transaction,
        a_call_takes_the_key_of_the_transactions_role,
        a_cancelled_call_frees_its_pooled_connection,
    ]
}

/// A world behind a pooler, with a provider that alice, bob and `web` may use; `web` may switch to alice or
/// bob.
async fn pooled(provider: &Provider, connections: u32) -> Result<(World, PgBouncer)> {
    let world = World::new().await?;
    world
        .admin
        .batch_execute(&format!(
            "SELECT rag.create_provider('stub', kind => 'compatible', base_url => '{}', api_key => 'sk-all', model => 'm');
             CREATE ROLE web LOGIN NOINHERIT; GRANT alice, bob TO web;
             GRANT USAGE ON FOREIGN SERVER stub TO alice, bob;
             CREATE USER MAPPING FOR bob SERVER stub OPTIONS (api_key 'sk-bob')",
            provider.url()
        ))
        .await?;
    let bouncer = PgBouncer::before(&world.server, connections, &["alice", "bob", "web"]).await?;
    Ok((world, bouncer))
}

/// The rows of a statement that is sent in one message, and so needs a connection for one transaction only.
async fn rows(session: &Session, sql: &str) -> Result<Vec<Vec<String>>> {
    let messages = session.simple_query(sql).await.with_context(|| sql.to_owned())?;
    let rows = messages.iter().filter_map(|message| match message {
        SimpleQueryMessage::Row(row) => {
            Some((0..row.len()).map(|column| row.get(column).unwrap_or_default().to_owned()).collect())
        }
        _ => None,
    });
    Ok(rows.collect())
}

async fn value(session: &Session, sql: &str) -> Result<String> {
    let rows = rows(session, sql).await?;
    rows.into_iter().flatten().next().with_context(|| format!("nothing from {sql}"))
}

const BACKEND: &str = "SELECT pg_backend_pid()";

async fn a_job_is_submitted_read_and_waited_for_over_any_connection() -> Result<()> {
    let gates = [Gate::new(), Gate::new()];
    let parts = [
        Part::Gate(gates[0].clone()),
        Part::piece("one "),
        Part::Gate(gates[1].clone()),
        Part::piece("two"),
        Part::end(),
    ];
    let provider = Provider::start([Reply::stream(parts)])?;
    let (world, bouncer) = pooled(&provider, 2).await?;
    let client = bouncer.connect_as("alice", &world.database).await?;
    let submit = r#"SELECT rag.submit('generate', '{"prompt": "Say it", "model": "stub"}', 'once')"#;
    let id = value(&client, submit).await?;
    let other = bouncer.connect_as("alice", &world.database).await?;
    ensure!(value(&other, submit).await? == id, "the same key gave another job");
    ensure!(provider.wait_for_requests(1));
    // The waiting client has a connection of its own; all readers share the second one.
    let waiter = bouncer.connect_as("alice", &world.database).await?;
    let waiting = format!("CALL rag.wait_for_job({id}, '60s')");
    let waits = rows(&waiter, &waiting);
    let reads = async {
        wait::until("a session waits for the job", async || {
            let active = "SELECT count(*) FROM pg_stat_activity WHERE usename = 'alice' AND state = 'active' AND query LIKE 'CALL%'";
            Ok((world.admin.value::<i64>(active).await? == 1).then_some(()))
        })
        .await?;
        gates[0].open();
        let mut text = String::new();
        let mut after = "0".to_owned();
        let mut status = String::from("running");
        while status == "running" {
            let reader = bouncer.connect_as("alice", &world.database).await?;
            for row in
                rows(&reader, &format!("SELECT seq, piece, status FROM rag.job_pieces({id}, {after}, 20000)"))
                    .await?
            {
                if !row[0].is_empty() {
                    after.clone_from(&row[0]);
                }
                text.push_str(&row[1]);
                status.clone_from(&row[2]);
            }
            gates[1].open();
        }
        ensure!(text == "one two" && status == "done", "{text} {status}");
        let backends = "SELECT count(*) FROM pg_stat_activity WHERE usename = 'alice' AND backend_type = 'client backend'";
        let backends: i64 = world.admin.value(backends).await?;
        ensure!(backends <= 2, "{backends} connections to the server");
        anyhow::Ok(())
    };
    let (waited, read) = tokio::join!(waits, reads);
    read?;
    waited?;
    ensure!(value(&client, &format!("SELECT rag.job_result({id}) #>> '{{}}'")).await? == "one two");
    ensure!(provider.requests().len() == 1);
    Ok(())
}

async fn a_stream_is_read_within_its_transaction() -> Result<()> {
    let gate = Gate::new();
    let parts = [Part::piece("one "), Part::Gate(gate.clone()), Part::piece("two"), Part::end()];
    let provider = Provider::start([Reply::stream(parts)])?;
    let (world, bouncer) = pooled(&provider, 1).await?;
    let (client, other) = (
        bouncer.connect_as("alice", &world.database).await?,
        bouncer.connect_as("alice", &world.database).await?,
    );
    client
        .batch_execute("BEGIN; DECLARE c NO SCROLL CURSOR FOR SELECT rag.stream('hi', model => 'stub')")
        .await?;
    ensure!(value(&client, "FETCH 1 FROM c").await? == "one ");
    gate.open();
    ensure!(value(&client, "FETCH 1 FROM c").await? == "two");
    let backend = value(&client, BACKEND).await?;
    client.batch_execute("COMMIT").await?;
    // The same connection has no state left of it.
    ensure!(value(&other, BACKEND).await? == backend);
    let refusal = other.simple_query("FETCH 1 FROM c").await.err().context("the cursor is there still")?;
    ensure!(refusal_in(&refusal)?.code == "34000");
    ensure!(value(&other, "SELECT length(rag.embed('goes on')::text) > 0").await? == "t");
    Ok(())
}

async fn a_call_takes_the_key_of_the_transactions_role() -> Result<()> {
    let provider = Provider::start([Reply::chat("yes")])?;
    let (world, bouncer) = pooled(&provider, 1).await?;
    let (one, two) = (
        bouncer.connect_as("web", &world.database).await?,
        bouncer.connect_as("web", &world.database).await?,
    );
    let call = |role: &str| {
        format!(
            "BEGIN; SET LOCAL ROLE {role}; SET LOCAL rag.default_llm = 'stub'; SELECT rag.generate('hi'); COMMIT"
        )
    };
    for (client, role) in [(&one, "bob"), (&two, "alice"), (&one, "alice"), (&two, "bob")] {
        ensure!(value(client, &call(role)).await? == "yes");
    }
    let refusal = one.simple_query("SELECT rag.generate('hi', model => 'stub')").await.err();
    let refusal = refusal_in(&refusal.context("web may not call by himself")?)?;
    refusal.expect("42501", "permission denied for foreign server stub", "GRANT USAGE")?;
    let keys: Vec<_> = provider
        .requests()
        .iter()
        .filter_map(|seen| seen.header("authorization").map(str::to_owned))
        .collect();
    ensure!(keys == ["Bearer sk-bob", "Bearer sk-all", "Bearer sk-all", "Bearer sk-bob"], "{keys:?}");
    Ok(())
}

async fn a_cancelled_call_frees_its_pooled_connection() -> Result<()> {
    let provider = Provider::start([Reply::stall(), Reply::chat("yes")])?;
    let (world, bouncer) = pooled(&provider, 1).await?;
    let call = "SELECT rag.generate('hi', model => 'stub')";
    let mut psql = world.server.client("psql")?;
    psql.env("PGPORT", POOLED.to_string()).args(["-Xq", "-U", "alice", "-d", &world.database, "-c", call]);
    let psql = psql.stdout(Stdio::null()).stderr(Stdio::piped()).spawn()?;
    ensure!(provider.wait_for_requests(1));
    // As Ctrl-C does.
    Process(psql.id().cast_signed()).signal(Signal::SIGINT);
    let said = String::from_utf8(psql.wait_with_output()?.stderr)?;
    ensure!(said.contains("canceling statement due to user request"), "{said}");
    ensure!(provider.wait_until_abandoned(0), "the provider was not told");
    let other = bouncer.connect_as("alice", &world.database).await?;
    ensure!(value(&other, call).await? == "yes");
    Ok(())
}
