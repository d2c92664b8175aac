//! Jobs that take too long: limits by `statement_timeout` of their role, and by their own `timeout_ms`.

use crate::agent_jobs::{self, RUN, write};
use crate::jobs::{SEARCH, World, ended, submit};
use anyhow::ensure;
use libtest_mimic::Trial;
use ragstone_tests::Result;
use ragstone_tests::provider::{Gate, Part, Provider, Reply};
use ragstone_tests::session::Session;
use ragstone_tests::wait;
use std::time::SystemTime;

pub fn tests() -> Vec<Trial> {
    ragstone_tests::tests![
        statement_timeout_of_a_role_or_database_holds_in_jobs,
        statement_timeout_does_not_count_the_wait_for_a_model,
        a_job_that_takes_longer_than_its_timeout_fails_in_sql,
        a_job_that_takes_longer_than_its_timeout_abandons_its_provider,
        a_job_that_takes_longer_than_its_timeout_ends_its_agents_tool,
        a_function_that_catches_the_limit_is_ended_all_the_same,
        a_lock_timeout_that_was_caught_is_no_cancel,
        a_cancelled_job_with_limits_is_cancelled,
        a_job_within_its_timeout_is_done,
    ]
}

const GENERATE: &str = r#"{"prompt": "Say it", "model": "stub/m"}"#;

/// Submits a job with a time limit.
async fn submit_within(session: &Session, kind: &str, args: &str, timeout_ms: i32) -> Result<i64> {
    let submit = "SELECT rag.submit($1, $2::text::jsonb, timeout_ms => $3)";
    session.value_of(submit, &[&kind, &args, &timeout_ms]).await
}

/// Waits for the end of a job, which must fail with 57014 and this message.
async fn expect_timeout(session: &Session, id: i64, message: &str, hint: &str) -> Result<()> {
    let status = ended(session, id).await?;
    ensure!(status == "failed", "job {id} is {status}");
    session.refusal(&format!("SELECT rag.job_result({id})")).await?.expect("57014", message, hint)
}

async fn a_stub(world: &World, provider: &Provider) -> Result<()> {
    let create = format!(
        "SELECT rag.create_provider('stub', kind => 'compatible', base_url => '{}', api_key => 'k', model => 'm');
         GRANT USAGE ON FOREIGN SERVER stub TO alice",
        provider.url()
    );
    world.admin.batch_execute(&create).await?;
    Ok(())
}

async fn statement_timeout_of_a_role_or_database_holds_in_jobs() -> Result<()> {
    let world = World::new().await?;
    world.close_gate().await?;
    let (alice, bob) = (world.session("alice").await?, world.session("bob").await?);
    let free = submit(&bob, "search", SEARCH).await?;
    for (set, session) in [
        ("ALTER ROLE alice SET statement_timeout = '300ms'", &alice),
        (&format!("ALTER DATABASE {} SET statement_timeout = '300ms'", world.database), &bob),
    ] {
        world.admin.batch_execute(set).await?;
        let id = submit(session, "search", SEARCH).await?;
        expect_timeout(session, id, "canceling statement due to statement timeout", "ALTER ROLE").await?;
        let refusal = session.refusal(&format!("SELECT rag.job_result({id})")).await?;
        ensure!(refusal.detail.contains("is 300 ms"), "{refusal:?}");
    }
    // A job that started before the setting was made continues.
    ensure!(world.status(free).await? == "running");
    world.open_gate().await?;
    ensure!(ended(&bob, free).await? == "done");
    Ok(())
}

async fn statement_timeout_does_not_count_the_wait_for_a_model() -> Result<()> {
    let gate = Gate::new();
    let provider =
        Provider::start([Reply::stream([Part::Gate(gate.clone()), Part::piece("one"), Part::end()])])?;
    let world = World::new().await?;
    a_stub(&world, &provider).await?;
    world.admin.batch_execute("ALTER ROLE alice SET statement_timeout = '2s'").await?;
    let id = world.submit("alice", "generate", GENERATE).await?;
    wait::until("the provider is asked", async || Ok((!provider.requests().is_empty()).then_some(())))
        .await?;
    let asked: SystemTime = world.admin.value("SELECT clock_timestamp()").await?;
    wait::until("the job waits for longer than statement_timeout", async || {
        let is_longer = "SELECT clock_timestamp() > $1::timestamptz + interval '2 s'";
        Ok(world.admin.value_of::<bool>(is_longer, &[&asked]).await?.then_some(()))
    })
    .await?;
    ensure!(world.status(id).await? == "running");
    gate.open();
    ensure!(world.ended("alice", id).await? == "done");
    Ok(())
}

async fn a_job_that_takes_longer_than_its_timeout_fails_in_sql() -> Result<()> {
    let world = World::new().await?;
    world.close_gate().await?;
    let alice = world.session("alice").await?;
    let id = submit_within(&alice, "search", SEARCH, 300).await?;
    ensure!(alice.value::<i32>("SELECT timeout_ms FROM rag.jobs").await? == 300);
    expect_timeout(&alice, id, "took longer than its timeout_ms of 300", "higher timeout_ms").await?;
    world.open_gate().await
}

async fn a_job_that_takes_longer_than_its_timeout_abandons_its_provider() -> Result<()> {
    let reply = Reply::stream([Part::piece("one "), Part::Gate(Gate::new()), Part::end()]);
    let provider = Provider::start([reply])?;
    let world = World::new().await?;
    a_stub(&world, &provider).await?;
    let alice = world.session("alice").await?;
    let id = submit_within(&alice, "generate", GENERATE, 1500).await?;
    expect_timeout(&alice, id, "took longer than its timeout_ms of 1500", "").await?;
    if !provider.requests().is_empty() {
        wait::until("the provider is abandoned", async || Ok(provider.requests()[0].abandoned.then_some(())))
            .await?;
    }
    Ok(())
}

async fn a_job_that_takes_longer_than_its_timeout_ends_its_agents_tool() -> Result<()> {
    let provider = Provider::start([write("write_slowly", "late"), Reply::chat("done")])?;
    let world = agent_jobs::world(&provider).await?;
    world.close_gate().await?;
    let alice = world.session("alice").await?;
    let id = submit_within(&alice, "agent", RUN, 3000).await?;
    expect_timeout(&alice, id, "took longer than its timeout_ms of 3000", "").await?;
    ensure!(agent_jobs::written(&world).await?.is_empty());
    let status: Option<String> = alice.value("SELECT max(status) FROM rag.runs").await?;
    ensure!(status.is_none_or(|status| status == "failed"));
    world.open_gate().await
}

async fn a_function_that_catches_the_limit_is_ended_all_the_same() -> Result<()> {
    let world = World::new().await?;
    let stubborn = "CREATE OR REPLACE FUNCTION app.gate() RETURNS boolean LANGUAGE plpgsql AS $$
                      BEGIN
                        BEGIN PERFORM pg_sleep(600); EXCEPTION WHEN query_canceled THEN NULL; END;
                        PERFORM pg_sleep(600);
                        RETURN true;
                      END $$";
    world.admin.batch_execute(stubborn).await?;
    let alice = world.session("alice").await?;
    let id = submit_within(&alice, "search", SEARCH, 300).await?;
    expect_timeout(&alice, id, "took longer than its timeout_ms of 300", "").await?;
    world.admin.batch_execute("ALTER ROLE alice SET statement_timeout = '300ms'").await?;
    let id = submit(&alice, "search", SEARCH).await?;
    expect_timeout(&alice, id, "due to statement timeout", "").await
}

async fn a_lock_timeout_that_was_caught_is_no_cancel() -> Result<()> {
    let world = World::new().await?;
    let patient = "CREATE OR REPLACE FUNCTION app.gate() RETURNS boolean LANGUAGE plpgsql
                     SET lock_timeout = '100ms' AS $$
                     BEGIN
                       BEGIN PERFORM pg_advisory_lock_shared(42); EXCEPTION WHEN lock_not_available THEN NULL; END;
                       PERFORM pg_sleep(600);
                       RETURN true;
                     END $$";
    world.admin.batch_execute(patient).await?;
    world.close_gate().await?;
    let alice = world.session("alice").await?;
    let id = submit_within(&alice, "search", SEARCH, 1500).await?;
    expect_timeout(&alice, id, "took longer than its timeout_ms of 1500", "").await?;
    world.open_gate().await
}

async fn a_cancelled_job_with_limits_is_cancelled() -> Result<()> {
    let world = World::new().await?;
    world.close_gate().await?;
    world.admin.batch_execute("ALTER ROLE alice SET statement_timeout = '1h'").await?;
    let alice = world.session("alice").await?;
    let id = submit_within(&alice, "search", SEARCH, 3_600_000).await?;
    world.until_status(id, "running").await?;
    ensure!(alice.value::<bool>(&format!("SELECT rag.cancel_job({id})")).await?);
    ensure!(ended(&alice, id).await? == "cancelled");
    world.open_gate().await
}

async fn a_job_within_its_timeout_is_done() -> Result<()> {
    let world = World::new().await?;
    let alice = world.session("alice").await?;
    world.admin.batch_execute("ALTER ROLE alice SET statement_timeout = '1h'").await?;
    let id = submit_within(&alice, "search", SEARCH, 3_600_000).await?;
    ensure!(ended(&alice, id).await? == "done");
    Ok(())
}
