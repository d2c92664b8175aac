//! Agents as jobs: what is committed after each step, and how a run continues from there.

use crate::jobs::{World, ended, submit};
use anyhow::{Context, ensure};
use libtest_mimic::Trial;
use ragstone_tests::Result;
use ragstone_tests::process::Process;
use ragstone_tests::provider::{Gate, Provider, Reply};
use ragstone_tests::session::Session;
use ragstone_tests::wait;
use serde_json::Value;
use std::time::{Duration, Instant};

pub fn tests() -> Vec<Trial> {
    ragstone_tests::tests![
        a_job_gives_what_the_function_gives_and_is_read_along,
        each_step_is_committed_and_nothing_is_open_while_a_model_thinks,
        a_crash_repeats_no_call_that_was_completed,
        a_crash_in_the_middle_of_a_tool_undoes_it,
        a_worker_that_ends_is_followed_by_another,
        a_cancel_stops_the_model_and_undoes_the_tool,
        a_tool_may_ask_a_provider_itself,
        a_run_of_a_session_remembers,
        a_redacted_log_changes_no_conversation,
    ]
}

/// A world in which alice may use the provider `stub`, with agents whose tools write rows.
pub async fn world(provider: &Provider) -> Result<World> {
    let world = World::new().await?;
    world.admin.batch_execute(&setting(provider)).await?;
    Ok(world)
}

fn setting(provider: &Provider) -> String {
    let url = provider.url();
    format!(
        "SELECT rag.create_provider('stub', kind => 'compatible', base_url => '{url}', model => 'm', options => '{{\"retries\": 0}}');
         GRANT USAGE ON FOREIGN SERVER stub TO alice, bob;
         CREATE TABLE app.written (id int GENERATED ALWAYS AS IDENTITY, body text, by name DEFAULT current_user);
         GRANT SELECT, INSERT ON app.written TO alice, bob;
         CREATE FUNCTION app.write_down(body text) RETURNS text LANGUAGE sql
           AS 'INSERT INTO app.written (body) VALUES (body) RETURNING ''written''';
         CREATE FUNCTION app.write_slowly(body text) RETURNS boolean LANGUAGE plpgsql
           AS 'BEGIN INSERT INTO app.written (body) VALUES (body); RETURN app.gate(); END';
         COMMENT ON FUNCTION app.write_down IS 'writes down'; COMMENT ON FUNCTION app.write_slowly IS 'writes slowly';
         SELECT rag.create_tool('app.write_down(text)', writes => true),
                rag.create_tool('app.write_slowly(text)', writes => true, timeout_ms => 60000),
                rag.create_tool('app.write_down(text)', 'careful', writes => true, requires_approval => true);
         SELECT rag.create_agent('writer', 'Write down.', 'stub', ARRAY['write_down', 'write_slowly', 'careful']);"
    )
}

pub const RUN: &str = r#"{"agent": "writer", "input": "Write it down."}"#;

/// A call of a tool with this body.
pub fn write(tool: &str, body: &str) -> Reply {
    Reply::calls(&[(tool, &format!(r#"{{"body": "{body}"}}"#))])
}

pub async fn written(world: &World) -> Result<String> {
    let all = "SELECT coalesce(string_agg(body, ',' ORDER BY id), '') FROM app.written";
    world.admin.value(all).await
}

pub async fn result(session: &Session, job: i64) -> Result<Value> {
    session.value_of("SELECT rag.job_result($1)", &[&job]).await
}

pub async fn steps(session: &Session) -> Result<Vec<String>> {
    let query =
        "SELECT array_agg(concat_ws(' ', kind, name, status) ORDER BY started, number, id) FROM rag.steps";
    session.value(query).await
}

/// The worker that waits at the gate, and the rows that its tool has written.
async fn at_the_gate(world: &World) -> Result<Process> {
    wait::until("a tool waits at the gate", async || {
        let waiting = "SELECT a.pid FROM pg_stat_activity a JOIN pg_locks l USING (pid)
                       WHERE backend_type = 'ragstone job' AND locktype = 'advisory' AND NOT granted";
        Ok(world.admin.query_opt(waiting, &[]).await?.map(|row| Process(row.get(0))))
    })
    .await
}

async fn reconnect(world: &mut World) -> Result<()> {
    world.server.restart().await?;
    world.admin = world.server.connect(&world.database).await?;
    Ok(())
}

async fn a_job_gives_what_the_function_gives_and_is_read_along() -> Result<()> {
    let provider = Provider::start([write("write_down", "a"), Reply::chat_stream(&["It is ", "written."])])?;
    let world = world(&provider).await?;
    let alice = world.session("alice").await?;
    let job = submit(&alice, "agent", RUN).await?;
    ensure!(
        ended(&alice, job).await? == "done",
        "{:?}",
        alice.refusal(&format!("SELECT rag.job_result({job})")).await
    );
    let result = result(&alice, job).await?;
    ensure!(
        result["answer"] == "It is written." && result["status"] == "done" && result["steps"] == 2,
        "{result}"
    );
    ensure!(result["input_tokens"] == 14 && result["output_tokens"] == 6, "{result}");
    let logged = ["message user ok", "model stub/m ok", "tool write_down ok", "model stub/m ok"];
    ensure!(steps(&alice).await? == logged, "{:?}", steps(&alice).await?);
    let run = alice.query_one("SELECT id, job, status FROM rag.runs", &[]).await?;
    ensure!(
        run.get::<_, i64>(0) == result["run_id"]
            && run.get::<_, i64>(1) == job
            && run.get::<_, String>(2) == "done"
    );
    let pieces: Vec<String> = alice
        .query(&format!("SELECT piece FROM rag.job_pieces({job})"), &[])
        .await?
        .iter()
        .map(|row| row.get(0))
        .collect();
    ensure!(pieces == ["[write_down]\n", "It is ", "written."], "{pieces:?}");
    ensure!(world.admin.value::<String>("SELECT by::text FROM app.written").await? == "alice");
    // Only the log of a finished run is kept.
    ensure!(world.admin.value::<i64>("SELECT count(*) FROM rag._agent_turn").await? == 0);
    // Wrong arguments are refused at once, an unknown agent by the job.
    alice
        .refusal("SELECT rag.submit('agent', '{\"agent\": \"writer\", \"input\": \"x\", \"run\": 1}')")
        .await?
        .expect("22023", "unknown argument \"run\"", "")?;
    let lost = submit(&alice, "agent", r#"{"agent": "nobody", "input": "x"}"#).await?;
    ensure!(ended(&alice, lost).await? == "failed");
    alice.refusal(&format!("SELECT rag.job_result({lost})")).await?.expect(
        "42704",
        "agent \"nobody\"",
        "rag.agents",
    )
}

async fn each_step_is_committed_and_nothing_is_open_while_a_model_thinks() -> Result<()> {
    let gates = [Gate::new(), Gate::new()];
    let script = [write("write_down", "a").behind(&gates[0]), Reply::chat("Done.").behind(&gates[1])];
    let provider = Provider::start(script)?;
    let world = world(&provider).await?;
    let job = world.submit("alice", "agent", RUN).await?;
    let alice = world.session("alice").await?;
    for (number, gate) in (1..).zip(&gates) {
        ensure!(provider.wait_for_requests(number));
        let open = "SELECT count(*) FROM pg_stat_activity
                    WHERE backend_type LIKE 'ragstone job%' AND (xact_start IS NOT NULL OR backend_xmin IS NOT NULL)";
        ensure!(world.admin.value::<i64>(open).await? == 0, "a transaction is open at question {number}");
        ensure!(steps(&alice).await?.len() == if number == 1 { 1 } else { 3 });
        ensure!(written(&world).await? == if number == 1 { "" } else { "a" });
        gate.open();
    }
    ensure!(ended(&alice, job).await? == "done");
    Ok(())
}

async fn a_crash_repeats_no_call_that_was_completed() -> Result<()> {
    let gate = Gate::new();
    let provider = Provider::start([
        write("write_down", "a"),
        write("write_down", "b"),
        Reply::chat("x").behind(&gate),
    ])?;
    let mut world = world(&provider).await?;
    let job = world.submit("alice", "agent", RUN).await?;
    ensure!(provider.wait_for_requests(3));
    world.server.crash().await?;
    provider.script([Reply::chat("All is written.")]);
    reconnect(&mut world).await?;
    ensure!(world.ended("alice", job).await? == "done");
    let result = result(&world.admin, job).await?;
    ensure!(result["answer"] == "All is written." && result["steps"] == 3, "{result}");
    ensure!(written(&world).await? == "a,b");
    // The model was asked again for the reply that it had not given, with all earlier messages.
    let requests = provider.requests();
    ensure!(
        requests.len() == 4 && requests[3].body["messages"] == requests[2].body["messages"],
        "{}",
        requests.len()
    );
    ensure!(world.admin.value::<i64>("SELECT count(*) FROM rag.runs").await? == 1);
    ensure!(world.admin.value::<i64>("SELECT count(DISTINCT number) FROM rag.steps").await? == 6);
    Ok(())
}

async fn a_crash_in_the_middle_of_a_tool_undoes_it() -> Result<()> {
    let provider = Provider::start([write("write_slowly", "a"), Reply::chat("Done.")])?;
    let mut world = world(&provider).await?;
    world.close_gate().await?;
    let job = world.submit("alice", "agent", RUN).await?;
    at_the_gate(&world).await?;
    world.server.crash().await?;
    reconnect(&mut world).await?;
    ensure!(world.ended("alice", job).await? == "done");
    // The reply was already stored, so the model was not asked again; the tool was called once more than it
    // was completed.
    ensure!(written(&world).await? == "a" && provider.requests().len() == 2);
    Ok(())
}

async fn a_worker_that_ends_is_followed_by_another() -> Result<()> {
    let provider =
        Provider::start([write("write_down", "a"), write("write_slowly", "b"), Reply::chat("Done.")])?;
    let world = world(&provider).await?;
    world.close_gate().await?;
    let job = world.submit("alice", "agent", RUN).await?;
    for attempt in 1..=2 {
        let worker = at_the_gate(&world).await?;
        ensure!(world.admin.value::<i32>("SELECT attempts FROM rag.jobs").await? == attempt);
        world.admin.execute("SELECT pg_terminate_backend($1)", &[&worker.0]).await?;
        wait::until("the worker ends", async || Ok((!worker.runs()).then_some(()))).await?;
    }
    world.open_gate().await?;
    ensure!(world.ended("alice", job).await? == "done");
    ensure!(written(&world).await? == "a,b" && provider.requests().len() == 3);
    Ok(())
}

/// Maximum time between the cancel and the end of a job.
const LIMIT: Duration = Duration::from_millis(200);

async fn a_cancel_stops_the_model_and_undoes_the_tool() -> Result<()> {
    let provider = Provider::start([write("write_down", "a"), Reply::stall()])?;
    let world = world(&provider).await?;
    let alice = world.session("alice").await?;
    let mut asked = 2;
    wait::at_best_within(LIMIT, async || {
        let job = submit(&alice, "agent", RUN).await?;
        ensure!(provider.wait_for_requests(asked));
        let start = Instant::now();
        ensure!(alice.value::<bool>(&format!("SELECT rag.cancel_job({job})")).await?);
        ensure!(ended(&alice, job).await? == "cancelled");
        let time = start.elapsed();
        ensure!(provider.wait_until_abandoned(asked - 1));
        provider.script([Reply::stall()]);
        asked += 1;
        Ok(time)
    })
    .await?;
    let run = "SELECT concat_ws(' ', status, sqlstate) FROM rag.runs ORDER BY id DESC LIMIT 1";
    ensure!(alice.value::<String>(run).await? == "cancelled 57014");
    world.close_gate().await?;
    wait::at_best_within(LIMIT, async || {
        provider.script([write("write_slowly", "b"), Reply::chat("Done.")]);
        let job = submit(&alice, "agent", RUN).await?;
        at_the_gate(&world).await?;
        let start = Instant::now();
        alice.batch_execute(&format!("SELECT rag.cancel_job({job})")).await?;
        ensure!(ended(&alice, job).await? == "cancelled");
        Ok(start.elapsed())
    })
    .await?;
    ensure!(written(&world).await? == "a" && alice.value::<String>(run).await? == "cancelled 57014");
    // A user who still wants the result gets it: the call that was rolled back is made again.
    world.open_gate().await?;
    let resumed: i64 = alice.value("SELECT rag.resume_run(max(id)) FROM rag.runs").await?;
    ensure!(ended(&alice, resumed).await? == "done" && written(&world).await? == "a,b");
    Ok(())
}

async fn a_tool_may_ask_a_provider_itself() -> Result<()> {
    let provider = Provider::start([
        Reply::calls(&[("think", "{}")]),
        Reply::chat("a thought"),
        Reply::calls(&[("think", "{}")]),
        Reply::chat("another"),
        Reply::chat("Done."),
    ])?;
    let world = world(&provider).await?;
    world
        .admin
        .batch_execute(
            "CREATE FUNCTION app.think() RETURNS text LANGUAGE sql AS $$
               INSERT INTO app.written (body) SELECT rag.generate('think', model => 'stub') RETURNING body $$;
             COMMENT ON FUNCTION app.think IS 'thinks'; SELECT rag.create_tool('app.think()', writes => true);
             SELECT rag.create_agent('thinker', 'x', 'stub', ARRAY['think'])",
        )
        .await?;
    let job = world.submit("alice", "agent", r#"{"agent": "thinker", "input": "x"}"#).await?;
    ensure!(world.ended("alice", job).await? == "done");
    // The answer to one call is not used for the next one.
    ensure!(written(&world).await? == "a thought,another", "{}", written(&world).await?);
    ensure!(provider.requests().len() == 5);
    Ok(())
}

async fn a_run_of_a_session_remembers() -> Result<()> {
    let provider =
        Provider::start([Reply::chat("Hello Ada."), write("write_down", "Ada"), Reply::chat("Ada.")])?;
    let world = world(&provider).await?;
    let alice = world.session("alice").await?;
    let session: i64 = alice.value("SELECT rag.create_session()").await?;
    for input in ["I am Ada.", "Who am I?"] {
        let run = format!(r#"{{"agent": "writer", "input": "{input}", "session": {session}}}"#);
        let job = submit(&alice, "agent", &run).await?;
        ensure!(ended(&alice, job).await? == "done");
    }
    let shown = provider.requests()[2].body["messages"].as_array().cloned().context("messages")?;
    let shown: Vec<_> =
        shown[1..4].iter().map(|it| it["content"].as_str().unwrap_or_default().to_owned()).collect();
    ensure!(shown == ["I am Ada.", "Hello Ada.", "Who am I?"], "{shown:?}");
    ensure!(alice.value::<i64>("SELECT count(*) FROM rag.messages").await? == 4);
    Ok(())
}

async fn a_redacted_log_changes_no_conversation() -> Result<()> {
    let long = "x".repeat(5000);
    let provider =
        Provider::start([write("write_down", &long), write("write_slowly", "b"), Reply::chat("Done.")])?;
    let world = world(&provider).await?;
    world.admin.batch_execute("ALTER ROLE alice SET rag.log_max_value = '1kB'").await?;
    world.close_gate().await?;
    let job = world.submit("alice", "agent", RUN).await?;
    let worker = at_the_gate(&world).await?;
    world.admin.execute("SELECT pg_terminate_backend($1)", &[&worker.0]).await?;
    world.open_gate().await?;
    ensure!(world.ended("alice", job).await? == "done");
    let alice = world.session("alice").await?;
    let cut = "SELECT bool_and(input @> '{\"truncated\": true}') FROM rag.steps WHERE name = 'write_down'";
    ensure!(alice.value::<bool>(cut).await?, "the log is not cut");
    let shown = provider.requests()[2].body["messages"][2]["tool_calls"][0]["function"]["arguments"].clone();
    ensure!(shown.as_str().is_some_and(|shown| shown.contains(&long)), "{shown}");
    Ok(())
}
