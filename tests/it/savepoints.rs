//! Rolling back to a savepoint also undoes jobs, and changes for which the transaction itself would have to
//! wait.

use crate::jobs::{SEARCH, World, ended, submit};
use anyhow::ensure;
use libtest_mimic::Trial;
use ragstone_tests::Result;
use ragstone_tests::server::shared;

pub fn tests() -> Vec<Trial> {
    ragstone_tests::tests![
        a_job_of_a_savepoint_that_was_rolled_back_is_none,
        a_job_of_a_released_savepoint_is_the_transactions,
        a_change_of_a_savepoint_that_was_rolled_back_is_not_waited_for,
    ]
}

async fn a_job_of_a_savepoint_that_was_rolled_back_is_none() -> Result<()> {
    let world = World::new().await?;
    let alice = world.session("alice").await?;
    alice.batch_execute("BEGIN; SAVEPOINT before; SAVEPOINT after").await?;
    let lost = submit(&alice, "search", SEARCH).await?;
    for end in ["ROLLBACK TO after", "RELEASE after; ROLLBACK TO before"] {
        alice.batch_execute(end).await?;
        for call in ["SELECT rag.job_result({id})", "SELECT rag.job_pieces({id}, 0, 60000)"] {
            alice.batch_execute("SAVEPOINT call").await?;
            let refusal = alice.refusal(&call.replace("{id}", &lost.to_string())).await?;
            refusal.expect("42704", "does not exist", "")?;
            alice.batch_execute("ROLLBACK TO call").await?;
        }
    }
    // As an exception block in PL/pgSQL does.
    alice
        .batch_execute(&format!(
            "DO $$ DECLARE job bigint; BEGIN
               BEGIN job := rag.submit('search', '{SEARCH}'); RAISE 'no'; EXCEPTION WHEN raise_exception THEN NULL; END;
               BEGIN PERFORM rag.job_result(job); EXCEPTION WHEN undefined_object THEN RETURN; END;
               RAISE 'a job that is none';
             END $$"
        ))
        .await?;
    let kept = submit(&alice, "search", SEARCH).await?;
    alice.batch_execute("COMMIT").await?;
    ensure!(ended(&alice, kept).await? == "done");
    Ok(())
}

async fn a_job_of_a_released_savepoint_is_the_transactions() -> Result<()> {
    let world = World::new().await?;
    let alice = world.session("alice").await?;
    alice.batch_execute("BEGIN; SAVEPOINT before; SAVEPOINT after").await?;
    let id = submit(&alice, "search", SEARCH).await?;
    alice.batch_execute("RELEASE after; RELEASE before; SAVEPOINT call").await?;
    let refusal = alice.refusal(&format!("SELECT rag.job_result({id})")).await?;
    refusal.expect("55000", "by the current transaction", "COMMIT first")?;
    alice.batch_execute("ROLLBACK TO call; COMMIT").await?;
    ensure!(ended(&alice, id).await? == "done");
    Ok(())
}

async fn a_change_of_a_savepoint_that_was_rolled_back_is_not_waited_for() -> Result<()> {
    let server = shared().await?;
    let session = server.session().await?;
    session
        .batch_execute(
            "CREATE TABLE pages (id int PRIMARY KEY, body text);
             SELECT rag.create_collection('pages', 'pages', 'body', sync => 'background');
             INSERT INTO pages VALUES (1, 'one')",
        )
        .await?;
    ensure!(session.value::<bool>("SELECT rag.wait_until_current('pages', '60s')").await?);
    session.batch_execute("BEGIN; SAVEPOINT s; INSERT INTO pages VALUES (2, 'two'); ROLLBACK TO s").await?;
    ensure!(session.value::<bool>("SELECT rag.wait_until_current('pages', '60s')").await?);
    session.batch_execute("SAVEPOINT s; INSERT INTO pages VALUES (3, 'three'); RELEASE s").await?;
    session.refusal("SELECT rag.wait_until_current('pages', '60s')").await?.expect("55000", "", "")?;
    session.batch_execute("ROLLBACK").await?;
    Ok(())
}
