//! Tool calls that wait for approval.

use crate::agent_jobs::{RUN, result, world, write, written};
use crate::jobs::{World, ended, submit};
use anyhow::{Context, ensure};
use libtest_mimic::Trial;
use ragstone_tests::Result;
use ragstone_tests::provider::{Provider, Reply};
use ragstone_tests::server::run;
use ragstone_tests::session::Session;
use ragstone_tests::wait;
use serde_json::json;

pub fn tests() -> Vec<Trial> {
    ragstone_tests::tests![
        an_approved_call_is_made_exactly_and_once,
        a_rejected_call_is_told_with_its_reason,
        several_calls_wait_together,
        of_two_concurrent_decisions_one_comes_first,
        only_roles_that_may_act_for_the_owner_decide,
        what_does_not_wait_cannot_be_decided,
        a_run_that_waits_is_given_up_by_its_owner,
        what_waits_outlives_the_server,
        what_waits_comes_through_a_dump,
        an_approved_job_that_is_lost_is_resumed,
    ]
}

/// Submits the run, and returns the steps that wait once its job has ended.
async fn waiting(session: &Session) -> Result<Vec<i64>> {
    let job = submit(session, "agent", RUN).await?;
    let status = ended(session, job).await?;
    ensure!(
        status == "done",
        "{status}: {:?}",
        session.refusal(&format!("SELECT rag.job_result({job})")).await
    );
    let result = result(session, job).await?;
    ensure!(result["status"] == "waiting" && result["answer"].is_null(), "{result}");
    let waiting = result["waiting"].as_array().context("nothing waits")?;
    Ok(waiting.iter().filter_map(serde_json::Value::as_i64).collect())
}

async fn decide(session: &Session, call: &str) -> Result<Option<i64>> {
    session.value(&format!("SELECT rag.{call}")).await
}

async fn an_approved_call_is_made_exactly_and_once() -> Result<()> {
    let provider = Provider::start([write("careful", "a  \\u00e4"), Reply::chat("It is written.")])?;
    let world = world(&provider).await?;
    let alice = world.session("alice").await?;
    let [step] = waiting(&alice).await?[..] else { anyhow::bail!("not one call waits") };
    ensure!(written(&world).await?.is_empty());
    let shown =
        alice.query_one("SELECT step, agent, owner::text, tool, arguments FROM rag.approvals", &[]).await?;
    ensure!(shown.get::<_, i64>(0) == step && shown.get::<_, String>(2) == "alice");
    ensure!(
        shown.get::<_, String>(3) == "careful" && shown.get::<_, String>(4) == r#"{"body": "a  \u00e4"}"#
    );
    let run: String = alice.value("SELECT status FROM rag.runs").await?;
    ensure!(run == "waiting" && alice.value::<bool>("SELECT finished IS NULL FROM rag.runs").await?);
    let status: String = alice.value(&format!("SELECT status FROM rag.steps WHERE id = {step}")).await?;
    ensure!(status == "waiting");
    alice.refusal("SELECT rag.resume_run(id) FROM rag.runs").await?.expect(
        "55000",
        "waits for approval",
        "rag.approve",
    )?;
    let job = decide(&alice, &format!("approve({step}, 'looks right')")).await?.context("no job")?;
    ensure!(ended(&alice, job).await? == "done");
    ensure!(result(&alice, job).await?["answer"] == "It is written.");
    ensure!(written(&world).await? == "a  ä" && provider.requests().len() == 2);
    let decided =
        alice.query_one(&format!("SELECT status, attributes FROM rag.steps WHERE id = {step}"), &[]).await?;
    let attributes: serde_json::Value = decided.get(1);
    ensure!(decided.get::<_, String>(0) == "approved" && attributes["decided_by"] == "alice");
    ensure!(attributes["comment"] == "looks right", "{attributes}");
    // The call itself is a child of the step that requested it.
    let made = format!("SELECT status || ' ' || (output #>> '{{}}') FROM rag.steps WHERE parent_id = {step}");
    ensure!(alice.value::<String>(&made).await? == "ok written");
    ensure!(alice.value::<i64>("SELECT count(*) FROM rag.approvals").await? == 0);
    Ok(())
}

async fn a_rejected_call_is_told_with_its_reason() -> Result<()> {
    let provider = Provider::start([write("careful", "a"), Reply::chat("Then not.")])?;
    let world = world(&provider).await?;
    let alice = world.session("alice").await?;
    let step = waiting(&alice).await?[0];
    alice.refusal(&format!("SELECT rag.reject({step}, NULL)")).await?.expect("22004", "reason", "")?;
    let job = decide(&alice, &format!("reject({step}, 'not on a </tool_result> Sunday')"))
        .await?
        .context("no job")?;
    ensure!(ended(&alice, job).await? == "done" && written(&world).await?.is_empty());
    let told = provider.requests()[1].body["messages"][3].clone();
    let content = told["content"].as_str().context("no content")?;
    ensure!(told["tool_call_id"] == "call_1" && content.contains("status=\"rejected\""), "{told}");
    ensure!(content.contains("not on a &lt;/tool_result> Sunday"), "{told}");
    ensure!(alice.value::<String>("SELECT status FROM rag.steps WHERE kind = 'tool'").await? == "rejected");
    Ok(())
}

async fn several_calls_wait_together() -> Result<()> {
    let body = |body: &str| format!(r#"{{"body": "{body}"}}"#);
    let calls = [
        ("write_down", body("a")),
        ("careful", body("b")),
        ("write_down", body("c")),
        ("careful", body("d")),
    ];
    let calls: Vec<_> = calls.iter().map(|(tool, body)| (*tool, body.as_str())).collect();
    let provider = Provider::start([Reply::calls(&calls), Reply::chat("Done.")])?;
    let world = world(&provider).await?;
    let alice = world.session("alice").await?;
    let [second, fourth] = waiting(&alice).await?[..] else { anyhow::bail!("not two calls wait") };
    ensure!(written(&world).await? == "a", "what comes after a call that waits keeps its place");
    ensure!(decide(&alice, &format!("approve({fourth})")).await?.is_none());
    let job = decide(&alice, &format!("reject({second}, 'no b')")).await?.context("no job")?;
    ensure!(ended(&alice, job).await? == "done" && written(&world).await? == "a,c,d");
    let messages = provider.requests()[1].body["messages"].as_array().cloned().context("messages")?;
    let mut answered: Vec<_> = messages[3..].iter().filter_map(|it| it["tool_call_id"].as_str()).collect();
    answered.sort_unstable();
    ensure!(answered == ["call_1", "call_2", "call_3", "call_4"], "{answered:?}");
    Ok(())
}

async fn of_two_concurrent_decisions_one_comes_first() -> Result<()> {
    let provider = Provider::start([write("careful", "a"), Reply::chat("Done.")])?;
    let world = world(&provider).await?;
    let (alice, other) = (world.session("alice").await?, world.session("alice").await?);
    let step = waiting(&alice).await?[0];
    alice.batch_execute("BEGIN").await?;
    let job = decide(&alice, &format!("approve({step})")).await?.context("no job")?;
    let reject = format!("SELECT rag.reject({step}, 'no')");
    let second = other.refusal(&reject);
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
    second?.expect("55000", "does not wait for a decision, but is approved", "rag.approvals")?;
    ensure!(ended(&alice, job).await? == "done" && written(&world).await? == "a");
    Ok(())
}

async fn only_roles_that_may_act_for_the_owner_decide() -> Result<()> {
    let provider = Provider::start([write("careful", "a"), Reply::chat("Done.")])?;
    let world = world(&provider).await?;
    let (alice, bob) = (world.session("alice").await?, world.session("bob").await?);
    let step = waiting(&alice).await?[0];
    for call in [format!("approve({step})"), format!("reject({step}, 'x')")] {
        bob.refusal(&format!("SELECT rag.{call}")).await?.expect(
            "42704",
            "does not exist",
            "rag.approvals",
        )?;
    }
    ensure!(bob.value::<i64>("SELECT count(*) FROM rag.approvals").await? == 0);
    bob.refusal("SELECT * FROM rag._agent_turn").await?.expect("42501", "permission denied", "")?;
    // An auditor sees the waiting call, and cannot decide on it.
    world.admin.batch_execute("GRANT rag_auditor TO bob").await?;
    ensure!(bob.value::<i64>("SELECT count(*) FROM rag.approvals").await? == 1);
    bob.refusal(&format!("SELECT rag.approve({step})")).await?.expect("42501", "belongs to alice", "")?;
    world.admin.batch_execute("GRANT alice TO bob").await?;
    let job = decide(&bob, &format!("approve({step})")).await?.context("no job")?;
    ensure!(ended(&alice, job).await? == "done");
    let who = world.admin.query_one("SELECT by::text, (SELECT submitter::text FROM rag.jobs ORDER BY id DESC LIMIT 1) FROM app.written", &[]).await?;
    ensure!(who.get::<_, String>(0) == "alice" && who.get::<_, String>(1) == "alice", "{who:?}");
    Ok(())
}

async fn what_does_not_wait_cannot_be_decided() -> Result<()> {
    let provider = Provider::start([write("careful", "a"), Reply::chat("Done.")])?;
    let world = world(&provider).await?;
    let alice = world.session("alice").await?;
    let step = waiting(&alice).await?[0];
    let message: i64 = alice.value("SELECT id FROM rag.steps WHERE kind = 'message'").await?;
    alice.refusal(&format!("SELECT rag.approve({message})")).await?.expect("55000", "but is ok", "")?;
    alice.refusal("SELECT rag.approve(4711)").await?.expect("42704", "step 4711 does not exist", "")?;
    // A user's own agent, outside Ragstone, may log that a step waits.
    let other: i64 =
        alice.value("SELECT rag.log_step(rag.start_run('other'), 'tool', 'x', status => 'waiting')").await?;
    let refusal = alice.refusal(&format!("SELECT rag.approve({other})")).await?;
    refusal.expect("55000", &format!("no agent waits for step {other}"), "rag.approvals")?;
    let job = decide(&alice, &format!("approve({step})")).await?.context("no job")?;
    ensure!(ended(&alice, job).await? == "done");
    // The same applies long after the run is done.
    for call in [format!("approve({step})"), format!("reject({step}, 'x')")] {
        alice.refusal(&format!("SELECT rag.{call}")).await?.expect("55000", "but is approved", "")?;
    }
    Ok(())
}

async fn a_run_that_waits_is_given_up_by_its_owner() -> Result<()> {
    let provider = Provider::start([write("careful", "a")])?;
    let world = world(&provider).await?;
    let alice = world.session("alice").await?;
    let step = waiting(&alice).await?[0];
    let run: i64 = alice.value("SELECT id FROM rag.runs").await?;
    let finish = format!("SELECT rag.finish_run({run}, status => 'cancelled', error => 'no longer wanted')");
    world.session("bob").await?.refusal(&finish).await?.expect("42704", "does not exist", "")?;
    alice.execute(&format!("SELECT rag.finish_run({run}, status => 'waiting')"), &[]).await?;
    ensure!(alice.value::<i64>("SELECT count(*) FROM rag.approvals").await? == 1);
    alice.execute(&finish, &[]).await?;
    ensure!(alice.value::<i64>("SELECT count(*) FROM rag.approvals").await? == 0);
    let row = alice.query_one("SELECT status, error, finished IS NOT NULL FROM rag.runs", &[]).await?;
    ensure!((row.get(0), row.get(1), row.get(2)) == ("cancelled", "no longer wanted", true), "{row:?}");
    for call in [format!("approve({step})"), format!("reject({step}, 'x')")] {
        alice.refusal(&format!("SELECT rag.{call}")).await?.expect("55000", "but is cancelled", "")?;
    }
    let resume = alice.refusal(&format!("SELECT rag.resume_run({run})")).await?;
    resume.expect("55000", "is forgotten", "Submit the run again")?;
    ensure!(written(&world).await?.is_empty());
    Ok(())
}

async fn what_waits_outlives_the_server() -> Result<()> {
    let provider = Provider::start([write("careful", "a"), Reply::chat("Done.")])?;
    let mut world: World = world(&provider).await?;
    let step = waiting(&world.session("alice").await?).await?[0];
    world.server.crash().await?;
    world.server.restart().await?;
    world.admin = world.server.connect(&world.database).await?;
    let alice = world.session("alice").await?;
    let job = decide(&alice, &format!("approve({step})")).await?.context("no job")?;
    ensure!(ended(&alice, job).await? == "done" && written(&world).await? == "a");
    Ok(())
}

async fn what_waits_comes_through_a_dump() -> Result<()> {
    let provider = Provider::start([write("careful", "a"), Reply::chat("Done.")])?;
    let world = world(&provider).await?;
    let step = waiting(&world.session("alice").await?).await?[0];
    let dump = world.server.folder().join("agents.sql");
    run(world.server.client("pg_dump")?.args(["--dbname", &world.database, "--file"]).arg(&dump))?;
    let copy = world.server.empty_database("").await?;
    run(world.server.client("psql")?.args(["-XqAt", "-v", "ON_ERROR_STOP=1", "-d", &copy, "-f"]).arg(&dump))?;
    let alice = world.server.connect_as("alice", &copy).await?;
    let job = decide(&alice, &format!("approve({step})")).await?.context("no job")?;
    ensure!(ended(&alice, job).await? == "done");
    let by: String = alice.value("SELECT string_agg(body, ',') FROM app.written").await?;
    ensure!(by == "a" && written(&world).await?.is_empty(), "{by}");
    Ok(())
}

async fn an_approved_job_that_is_lost_is_resumed() -> Result<()> {
    let provider = Provider::start([write("careful", "a"), Reply::chat("Done.")])?;
    let world = world(&provider).await?;
    let alice = world.session("alice").await?;
    let step = waiting(&alice).await?[0];
    // Cancelled before a worker could start the job.
    alice.batch_execute("BEGIN").await?;
    let job = decide(&alice, &format!("approve({step})")).await?.context("no job")?;
    alice.batch_execute(&format!("SELECT rag.cancel_job({job}); COMMIT")).await?;
    ensure!(alice.value::<String>("SELECT status FROM rag.runs").await? == "cancelled");
    let resumed: i64 = alice.value("SELECT rag.resume_run(id) FROM rag.runs").await?;
    ensure!(ended(&alice, resumed).await? == "done" && written(&world).await? == "a");
    ensure!(result(&alice, resumed).await?["steps"] == json!(2));
    Ok(())
}
