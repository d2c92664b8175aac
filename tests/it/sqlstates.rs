//! SQLSTATEs that users' functions raise inside Ragstone's functions.

use crate::followed::make;
use crate::jobs::{SEARCH, World};
use anyhow::ensure;
use libtest_mimic::Trial;
use ragstone_tests::Result;
use ragstone_tests::server::{Options, Server};
use ragstone_tests::wait;

pub fn tests() -> Vec<Trial> {
    ragstone_tests::tests![
        an_error_has_no_backtrace,
        an_own_sqlstate_passes_through_a_function,
        an_own_sqlstate_passes_through_a_job,
        an_own_sqlstate_that_was_caught_is_forgotten,
    ]
}

/// Makes each search raise this error.
async fn raise(world: &World, body: &str) -> Result<()> {
    let gate = format!(
        "CREATE OR REPLACE FUNCTION app.gate() RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN {body} END $$"
    );
    world.admin.batch_execute(&gate).await?;
    Ok(())
}

async fn an_error_has_no_backtrace() -> Result<()> {
    let server = Server::prepare(Options::default())?.with_environment("RUST_BACKTRACE", "full");
    server.launch()?;
    wait::until("the server answers", async || Ok(server.connect("postgres").await.ok())).await?;
    let session = server.session().await?;
    make(&session, 3, "").await?;
    session
        .batch_execute(
            "CREATE FUNCTION gate() RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN RAISE 'the gate is closed'; END $$;
             ALTER TABLE t ENABLE ROW LEVEL SECURITY; CREATE POLICY p ON t USING (gate());
             CREATE ROLE reader; GRANT SELECT ON t TO reader; SET ROLE reader",
        )
        .await?;
    for search in ["SELECT * FROM rag.search('c', 'text')", "SELECT * FROM rag.search('none', 'text')"] {
        let refusal = session.refusal(search).await?;
        ensure!(refusal.detail.is_empty(), "{refusal:?}");
    }
    Ok(())
}

const OWN: &str = "RAISE 'the gate is closed' USING ERRCODE = 'RG001', HINT = 'Open it.';";

const DIRECTLY: &str = "SELECT * FROM rag.search('notes', 'harbour of a town', k => 2)";

async fn an_own_sqlstate_passes_through_a_function() -> Result<()> {
    let world = World::new().await?;
    raise(&world, OWN).await?;
    let alice = world.session("alice").await?;
    for _ in 0..2 {
        alice.refusal(DIRECTLY).await?.expect("RG001", "the gate is closed", "Open it.")?;
    }
    alice
        .batch_execute(&format!(
            "DO $$ BEGIN PERFORM * FROM ({DIRECTLY}) it; EXCEPTION WHEN SQLSTATE 'RG001' THEN RETURN; END $$"
        ))
        .await?;
    // Later errors have their own code.
    alice.refusal("SELECT 1/0").await?.expect("22012", "division by zero", "")?;
    raise(&world, "RAISE 'internal' USING ERRCODE = 'internal_error';").await?;
    alice.refusal(DIRECTLY).await?.expect("XX000", "internal", "")
}

async fn an_own_sqlstate_passes_through_a_job() -> Result<()> {
    let world = World::new().await?;
    raise(&world, OWN).await?;
    let id = world.submit("alice", "search", SEARCH).await?;
    ensure!(world.ended("alice", id).await? == "failed");
    let alice = world.session("alice").await?;
    ensure!(alice.value::<String>("SELECT sqlstate FROM rag.jobs").await? == "RG001");
    let result = format!("SELECT rag.job_result({id})");
    alice.refusal(&result).await?.expect("RG001", "the gate is closed", "Open it.")?;
    alice
        .batch_execute(&format!(
            "DO $$ BEGIN PERFORM rag.job_result({id}); EXCEPTION WHEN SQLSTATE 'RG001' THEN RETURN; END $$"
        ))
        .await?;
    alice.refusal("SELECT 1/0").await?.expect("22012", "division by zero", "")?;
    alice.refusal("SELECT rag.job_result(0)").await?.expect("42704", "does not exist", "")
}

async fn an_own_sqlstate_that_was_caught_is_forgotten() -> Result<()> {
    let world = World::new().await?;
    let catches = format!("BEGIN {OWN} EXCEPTION WHEN SQLSTATE 'RG001' THEN NULL; END;");
    let alice = world.session("alice").await?;
    raise(&world, &format!("{catches} RETURN true;")).await?;
    ensure!(!alice.query(DIRECTLY, &[]).await?.is_empty());
    raise(&world, &format!("{catches} RAISE division_by_zero;")).await?;
    alice.refusal(DIRECTLY).await?.expect("22012", "division_by_zero", "")?;
    raise(&world, &format!("{catches} RAISE internal_error;")).await?;
    alice.refusal(DIRECTLY).await?.expect("XX000", "internal_error", "")
}
