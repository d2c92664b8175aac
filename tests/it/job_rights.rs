//! Jobs: the roles as which they run, the roles that can see them, and attempts to gain rights through them.

use crate::jobs::{SEARCH, World, ended};
use anyhow::{Context, ensure};
use libtest_mimic::Trial;
use ragstone_tests::Result;
use ragstone_tests::session::Refusal;

pub fn tests() -> Vec<Trial> {
    ragstone_tests::tests![
        a_worker_is_its_submitter_and_gains_nothing,
        a_job_is_the_current_roles,
        no_role_sees_or_cancels_the_jobs_of_another,
    ]
}

/// A policy's function runs as the role that searches; this is how another user's code gets into a job's
/// worker.
async fn policy(world: &World, body: &str) -> Result<()> {
    world
        .admin
        .batch_execute(&format!(
            "CREATE OR REPLACE FUNCTION app.gate() RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN {body} END $$"
        ))
        .await?;
    Ok(())
}

async fn error_of_job(world: &World, role: &str) -> Result<Refusal> {
    let id = world.submit(role, "search", SEARCH).await?;
    let status = world.ended(role, id).await?;
    ensure!(status == "failed", "the job is {status}");
    world.session(role).await?.refusal(&format!("SELECT rag.job_result({id})")).await
}

async fn a_worker_is_its_submitter_and_gains_nothing() -> Result<()> {
    let world = World::new().await?;
    policy(&world, "RAISE 'session %, current %, superuser %', session_user, current_user, current_setting('is_superuser');").await?;
    error_of_job(&world, "alice").await?.expect(
        "P0001",
        "session alice, current alice, superuser off",
        "",
    )?;
    for (attack, code) in [
        ("RESET ROLE; ALTER ROLE alice SUPERUSER; RETURN true;", "42501"),
        ("RESET SESSION AUTHORIZATION; ALTER ROLE alice SUPERUSER; RETURN true;", "42501"),
        ("SET ROLE postgres; RETURN true;", "42501"),
        ("SET SESSION AUTHORIZATION postgres; RETURN true;", "42501"),
        ("UPDATE rag._job SET submitter = 'postgres'; RETURN true;", "42501"),
        (
            "INSERT INTO rag._job (kind, args, submitter) VALUES ('embed', '{}', 'postgres'); RETURN true;",
            "42501",
        ),
        ("COMMIT; RETURN true;", "2D000"),
    ] {
        policy(&world, attack).await?;
        let refusal = error_of_job(&world, "alice").await.with_context(|| attack.to_owned())?;
        ensure!(refusal.code == code, "{attack}: {refusal:?}");
    }
    // Settings that the job leaves in the session have no effect when the job's end is stored.
    policy(
        &world,
        "PERFORM set_config('search_path', 'app, pg_temp', false), set_config('role', 'none', false),
                 set_config('default_transaction_read_only', 'on', false), pg_advisory_unlock_all();
         CREATE TEMP TABLE IF NOT EXISTS _job (id bigint); RETURN true;",
    )
    .await?;
    let id = world.submit("alice", "search", SEARCH).await?;
    ensure!(world.ended("alice", id).await? == "done");
    let superusers: i64 = world.admin.value("SELECT count(*) FROM pg_roles WHERE rolsuper").await?;
    ensure!(superusers == 1);
    Ok(())
}

async fn a_job_is_the_current_roles() -> Result<()> {
    let world = World::new().await?;
    // In a SECURITY DEFINER function the submitter is the function's owner.
    world
        .admin
        .batch_execute(
            "CREATE FUNCTION app.for_bob() RETURNS bigint LANGUAGE sql SECURITY DEFINER
               AS $$ SELECT rag.submit('embed', '{\"input\": \"x\"}') $$;
             ALTER FUNCTION app.for_bob() OWNER TO bob",
        )
        .await?;
    let id: i64 = world.session("alice").await?.value("SELECT app.for_bob()").await?;
    ensure!(world.ended("bob", id).await? == "done");
    // Since PostgreSQL 17, roles that cannot log in can have workers.
    world.admin.batch_execute("CREATE ROLE team; GRANT team TO alice").await?;
    let alice = world.session("alice").await?;
    alice.batch_execute("SET ROLE team").await?;
    let submission = "SELECT rag.submit('embed', '{\"input\": \"x\"}')";
    if world.admin.value::<i32>("SELECT current_setting('server_version_num')::int / 10000").await? < 17 {
        alice.refusal(submission).await?.expect("42501", "role \"team\" cannot log in", "LOGIN")?;
    } else {
        let id: i64 = alice.value(submission).await?;
        ensure!(ended(&alice, id).await? == "done");
    }
    Ok(())
}

async fn no_role_sees_or_cancels_the_jobs_of_another() -> Result<()> {
    let world = World::new().await?;
    world.close_gate().await?;
    let id = world.submit("alice", "search", SEARCH).await?;
    world.until_status(id, "running").await?;
    let bob = world.session("bob").await?;
    ensure!(bob.value::<i64>("SELECT count(*) FROM rag.jobs").await? == 0);
    let calls = [
        "SELECT rag.cancel_job({id})",
        "SELECT rag.job_result({id})",
        "SELECT rag.job_pieces({id})",
        "CALL rag.wait_for_job({id})",
    ];
    for call in calls {
        let refusal = bob.refusal(&call.replace("{id}", &id.to_string())).await?;
        refusal.expect("42704", "does not exist", "rag.jobs")?;
    }
    bob.refusal("SELECT * FROM rag._job").await?.expect("42501", "permission denied", "")?;
    bob.refusal("DELETE FROM rag.jobs").await?;
    let auditor = "DO $$ BEGIN CREATE ROLE rag_auditor; EXCEPTION WHEN duplicate_object THEN NULL; END $$;
                   GRANT rag_auditor TO bob";
    world.admin.batch_execute(auditor).await?;
    ensure!(bob.value::<String>("SELECT submitter::text FROM rag.jobs").await? == "alice");
    bob.refusal(&format!("SELECT rag.cancel_job({id})")).await?.expect(
        "42501",
        "belongs to another role",
        "",
    )?;
    // A member of the submitter has the submitter's rights.
    world.admin.batch_execute("GRANT alice TO bob").await?;
    ensure!(bob.value::<bool>(&format!("SELECT rag.cancel_job({id})")).await?);
    world.until_status(id, "cancelled").await
}
