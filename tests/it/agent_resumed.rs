//! Failed runs of agents that continue.

use crate::agent_jobs::{RUN, result, steps, world, write, written};
use crate::jobs::{ended, submit};
use anyhow::ensure;
use libtest_mimic::Trial;
use ragstone_tests::Result;
use ragstone_tests::provider::{Gate, Provider, Reply};
use ragstone_tests::session::Session;
use ragstone_tests::wait;

pub fn tests() -> Vec<Trial> {
    ragstone_tests::tests![
        what_a_provider_refuses_fails_the_run_and_keeps_its_steps,
        a_spent_budget_fails_the_run_and_more_of_it_resumes_it,
        a_limit_fails_the_run_and_a_higher_one_resumes_it,
        only_what_has_failed_is_resumed_and_only_by_its_owner,
        of_two_sessions_that_resume_a_run_one_comes_first,
    ]
}

async fn failed(session: &Session, job: i64, code: &str, message: &str) -> Result<()> {
    ensure!(ended(session, job).await? == "failed");
    session.refusal(&format!("SELECT rag.job_result({job})")).await?.expect(code, message, "")?;
    let run = session
        .query_one("SELECT status, sqlstate, error FROM rag.runs ORDER BY id DESC LIMIT 1", &[])
        .await?;
    let (status, state, error): (String, String, String) = (run.get(0), run.get(1), run.get(2));
    ensure!(status == "failed" && state == code && error.contains(message), "{run:?}");
    Ok(())
}

async fn what_a_provider_refuses_fails_the_run_and_keeps_its_steps() -> Result<()> {
    let provider = Provider::start([write("write_down", "a"), Reply::status(500)])?;
    let world = world(&provider).await?;
    let alice = world.session("alice").await?;
    let job = submit(&alice, "agent", RUN).await?;
    failed(&alice, job, "38000", "status 500").await?;
    let logged = ["message user ok", "model stub/m ok", "tool write_down ok", "error error"];
    ensure!(steps(&alice).await? == logged, "{:?}", steps(&alice).await?);
    ensure!(written(&world).await? == "a");
    provider.script([Reply::chat("Done.")]);
    let resumed: i64 = alice.value("SELECT rag.resume_run(max(id)) FROM rag.runs").await?;
    ensure!(ended(&alice, resumed).await? == "done" && written(&world).await? == "a");
    let result = result(&alice, resumed).await?;
    ensure!(result["answer"] == "Done." && result["steps"] == 2, "{result}");
    let run = alice.query_one("SELECT status, job, error FROM rag.runs", &[]).await?;
    ensure!(
        run.get::<_, String>(0) == "done"
            && run.get::<_, i64>(1) == resumed
            && run.get::<_, Option<String>>(2).is_none()
    );
    Ok(())
}

async fn a_spent_budget_fails_the_run_and_more_of_it_resumes_it() -> Result<()> {
    wait::for_one_period().await?;
    let provider = Provider::start([write("write_down", "a"), Reply::chat("Done.")])?;
    let world = world(&provider).await?;
    world
        .admin
        .batch_execute("INSERT INTO rag.budgets (role, period, max_calls) VALUES ('alice', 'month', 1)")
        .await?;
    let alice = world.session("alice").await?;
    let job = submit(&alice, "agent", RUN).await?;
    failed(&alice, job, "53400", "budget").await?;
    world.admin.batch_execute("UPDATE rag.budgets SET max_calls = 9").await?;
    let resumed: i64 = alice.value("SELECT rag.resume_run(max(id)) FROM rag.runs").await?;
    ensure!(ended(&alice, resumed).await? == "done" && written(&world).await? == "a");
    Ok(())
}

async fn a_limit_fails_the_run_and_a_higher_one_resumes_it() -> Result<()> {
    let provider =
        Provider::start([write("write_down", "a"), write("write_down", "b"), Reply::chat("Done.")])?;
    let world = world(&provider).await?;
    let limit = async |most: i32| {
        let create = format!(
            "SELECT rag.create_agent('writer', 'Write.', 'stub', ARRAY['write_down'], max_steps => {most}, replace => true)"
        );
        world.admin.batch_execute(&create).await
    };
    limit(2).await?;
    let alice = world.session("alice").await?;
    let job = submit(&alice, "agent", RUN).await?;
    // As in the function, a limit ends the run with a result instead of an error.
    ensure!(ended(&alice, job).await? == "done");
    let result = result(&alice, job).await?;
    ensure!(
        result["status"] == "failed" && result["sqlstate"] == "54000" && result["answer"].is_null(),
        "{result}"
    );
    ensure!(written(&world).await? == "a");
    limit(3).await?;
    let resumed: i64 =
        alice.value_of("SELECT rag.resume_run(id) FROM rag.runs WHERE status = 'failed'", &[]).await?;
    ensure!(ended(&alice, resumed).await? == "done" && written(&world).await? == "a,b");
    ensure!(alice.value::<String>("SELECT status FROM rag.runs").await? == "done");
    ensure!(provider.requests().len() == 3);
    Ok(())
}

async fn only_what_has_failed_is_resumed_and_only_by_its_owner() -> Result<()> {
    let gate = Gate::new();
    let provider = Provider::start([Reply::chat("Done.").behind(&gate)])?;
    let world = world(&provider).await?;
    let (alice, bob) = (world.session("alice").await?, world.session("bob").await?);
    let job = submit(&alice, "agent", RUN).await?;
    ensure!(provider.wait_for_requests(1));
    let run: i64 = alice.value("SELECT id FROM rag.runs").await?;
    let resume = format!("SELECT rag.resume_run({run})");
    alice.refusal(&resume).await?.expect("55000", &format!("is done by job {job}"), "rag.wait_for_job")?;
    bob.refusal(&resume).await?.expect("42704", "does not exist", "rag.runs")?;
    gate.open();
    ensure!(ended(&alice, job).await? == "done");
    alice.refusal(&resume).await?.expect("55000", "is done", "")?;
    let function: i64 = alice.value("SELECT rag.start_run('by hand')").await?;
    let refusal = alice.refusal(&format!("SELECT rag.resume_run({function})")).await?;
    refusal.expect("55000", "was not a job", "rag.submit")?;
    // A member of the owning role may resume a failed run, which runs as the owning role.
    provider.script([Reply::status(500), write("write_down", "a"), Reply::chat("Done.")]);
    let job = submit(&alice, "agent", RUN).await?;
    ensure!(ended(&alice, job).await? == "failed");
    let run: i64 = alice.value("SELECT max(id) FROM rag.runs WHERE status = 'failed'").await?;
    let resume = format!("SELECT rag.resume_run({run})");
    bob.refusal(&resume).await?.expect("42704", "does not exist", "")?;
    world.admin.batch_execute("GRANT alice TO bob").await?;
    let resumed: i64 = bob.value(&resume).await?;
    ensure!(ended(&alice, resumed).await? == "done");
    ensure!(world.admin.value::<String>("SELECT by::text FROM app.written").await? == "alice");
    Ok(())
}

async fn of_two_sessions_that_resume_a_run_one_comes_first() -> Result<()> {
    let gate = Gate::new();
    let provider = Provider::start([Reply::status(500), Reply::chat("Done.").behind(&gate)])?;
    let world = world(&provider).await?;
    let (alice, other) = (world.session("alice").await?, world.session("alice").await?);
    let job = submit(&alice, "agent", RUN).await?;
    ensure!(ended(&alice, job).await? == "failed");
    let run: i64 = alice.value("SELECT id FROM rag.runs").await?;
    let resume = format!("SELECT rag.resume_run({run})");
    alice.batch_execute("BEGIN").await?;
    let resumed: i64 = alice.value(&resume).await?;
    let second = other.refusal(&resume);
    let commits = async {
        wait::until("the second waits", async || {
            let waiting =
                "SELECT count(*) FROM pg_locks WHERE NOT granted AND locktype IN ('transactionid', 'tuple')";
            Ok((world.admin.value::<i64>(waiting).await? == 1).then_some(()))
        })
        .await?;
        alice.batch_execute("COMMIT").await?;
        anyhow::Ok(())
    };
    let (second, committed) = tokio::join!(second, commits);
    committed?;
    second?.expect("55000", &format!("is done by job {resumed}"), "")?;
    gate.open();
    ensure!(ended(&alice, resumed).await? == "done");
    Ok(())
}
