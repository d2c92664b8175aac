//! Reading an answer while a job produces it.

use crate::jobs::{SEARCH, World, ended, submit};
use anyhow::ensure;
use libtest_mimic::Trial;
use nix::sys::signal::Signal;
use ragstone_tests::Result;
use ragstone_tests::provider::{Gate, Part, Provider, Reply};
use ragstone_tests::session::Session;
use ragstone_tests::wait;

pub fn tests() -> Vec<Trial> {
    ragstone_tests::tests![
        pieces_are_read_in_short_statements_while_the_job_runs,
        after_the_end_of_an_engine_the_answer_begins_anew,
        a_cancelled_job_abandons_its_provider,
        an_answer_from_a_collection_is_read_along,
        no_transaction_is_open_while_a_model_thinks,
        no_transaction_is_open_while_a_model_of_this_host_thinks,
        many_prompts_of_a_job_are_asked_at_once,
        what_a_job_asks_twice_is_asked_twice,
        a_job_that_asks_again_gets_another_answer,
        a_turn_of_a_conversation_is_a_job_too,
        what_a_provider_refuses_a_job_is_the_jobs_error,
    ]
}

/// A world in which alice may use the provider `stub`.
async fn world(provider: &Provider) -> Result<World> {
    let world = World::new().await?;
    world
        .admin
        .batch_execute(&format!(
            "SELECT rag.create_provider('stub', kind => 'compatible', base_url => '{}', api_key => 'k', model => 'm');
             GRANT USAGE ON FOREIGN SERVER stub TO alice",
            provider.url()
        ))
        .await?;
    Ok(world)
}

/// The result for a reader that starts after piece `after`: the numbers, the text, and the last status. Each
/// statement runs in a session of its own, as behind a pooler.
async fn read(world: &World, id: i64, after: i32) -> Result<(Vec<i32>, String, String)> {
    let session = world.session("alice").await?;
    let rows = session
        .query(&format!("SELECT seq, piece, status FROM rag.job_pieces({id}, {after}, 20000)"), &[])
        .await?;
    let status = rows.last().map(|row| row.get("status")).unwrap_or_default();
    let pieces: String = rows.iter().filter_map(|row| row.get::<_, Option<String>>("piece")).collect();
    Ok((rows.iter().filter_map(|row| row.get("seq")).collect(), pieces, status))
}

const GENERATE: &str = r#"{"prompt": "Say it", "model": "stub/m"}"#;

async fn pieces_are_read_in_short_statements_while_the_job_runs() -> Result<()> {
    let (first, second) = (Gate::new(), Gate::new());
    let parts = [
        Part::Gate(first.clone()),
        Part::piece("one "),
        Part::Gate(second.clone()),
        Part::piece("two "),
        Part::piece("three"),
        Part::end(),
    ];
    let provider = Provider::start([Reply::stream(parts)])?;
    let world = world(&provider).await?;
    let id = world.submit("alice", "generate", GENERATE).await?;
    // A reader may start before the first piece.
    let (reading, ()) = tokio::join!(read(&world, id, 0), async { first.open() });
    ensure!(reading? == (vec![1], "one ".to_owned(), "running".to_owned()));
    second.open();
    let (mut after, mut text, mut status) = (1, "one ".to_owned(), String::from("running"));
    while status == "running" {
        let (numbers, pieces, now) = read(&world, id, after).await?;
        after = numbers.last().copied().unwrap_or(after);
        text.push_str(&pieces);
        status = now;
    }
    ensure!(after == 3 && text == "one two three" && status == "done", "{after} {text} {status}");
    // Pieces that were read can be read again, and bob can read nothing.
    ensure!(read(&world, id, 0).await?.1 == "one two three");
    let bob = world.session("bob").await?;
    bob.refusal(&format!("SELECT rag.job_pieces({id})")).await?.expect("42704", "does not exist", "")?;
    let alice = world.session("alice").await?;
    ensure!(
        alice.value::<String>(&format!("SELECT rag.job_result({id}) #>> '{{}}'")).await? == "one two three"
    );
    Ok(())
}

async fn after_the_end_of_an_engine_the_answer_begins_anew() -> Result<()> {
    let provider = Provider::start([Reply::chat_stream(&["one ", "two"])])?;
    let world = world(&provider).await?;
    let id = world.submit("alice", "generate", GENERATE).await?;
    ensure!(world.ended("alice", id).await? == "done");
    ensure!(read(&world, id, 1).await? == (vec![2], "two".to_owned(), "done".to_owned()));
    world.server.engine(&world.admin).await?.signal(Signal::SIGKILL);
    world.server.engine(&world.admin).await?;
    let (numbers, text, status) = read(&world, id, 1).await?;
    ensure!(numbers == [1_000_001] && text == "one two" && status == "done", "{numbers:?} {text} {status}");
    ensure!(read(&world, id, 1_000_001).await?.0.is_empty());
    Ok(())
}

async fn a_cancelled_job_abandons_its_provider() -> Result<()> {
    let provider =
        Provider::start([Reply::stream([Part::piece("one "), Part::Gate(Gate::new()), Part::end()])])?;
    let world = world(&provider).await?;
    let alice = world.session("alice").await?;
    let id = submit(&alice, "generate", GENERATE).await?;
    ensure!(read(&world, id, 0).await?.1 == "one ");
    ensure!(alice.value::<bool>(&format!("SELECT rag.cancel_job({id})")).await?);
    ensure!(ended(&alice, id).await? == "cancelled");
    ensure!(read(&world, id, 1).await? == (vec![], String::new(), "cancelled".to_owned()));
    ensure!(provider.wait_until_abandoned(0), "the provider was not told");
    Ok(())
}

async fn an_answer_from_a_collection_is_read_along() -> Result<()> {
    let provider = Provider::start([Reply::chat_stream(&["It is ", "town 1 [1]."])])?;
    let world = world(&provider).await?;
    let args = r#"{"collection": "notes", "question": "Which town has a harbour?", "model": "stub/m", "min_similarity": 0}"#;
    let id = world.submit("alice", "ask", args).await?;
    let alice: Session = world.session("alice").await?;
    ensure!(
        ended(&alice, id).await? == "done",
        "{:?}",
        alice.refusal(&format!("SELECT rag.job_result({id})")).await
    );
    ensure!(read(&world, id, 0).await?.1 == "It is town 1 [1].");
    ensure!(
        alice.value::<String>(&format!("SELECT rag.job_result({id}) ->> 'answer'")).await?
            == "It is town 1 [1]."
    );
    ensure!(
        alice
            .value::<i32>(&format!("SELECT jsonb_array_length(rag.job_result({id}) -> 'citations')"))
            .await?
            == 1
    );
    // Quoted answers are not streamed: the answer is a single piece.
    let id = world
        .submit(
            "alice",
            "ask",
            r#"{"collection": "notes", "question": "harbour of town 3", "model": "local/extractive"}"#,
        )
        .await?;
    ensure!(ended(&alice, id).await? == "done");
    let (numbers, text, _) = read(&world, id, 0).await?;
    ensure!(numbers == [1_000_001] && text.contains("harbour"), "{numbers:?} {text}");
    Ok(())
}

/// Numbers of job workers, and of those that hold back VACUUM or hold a lock while they wait.
const WORKERS: &str =
    "SELECT count(*), count(*) FILTER (WHERE xact_start IS NOT NULL OR backend_xmin IS NOT NULL)
                       FROM pg_stat_activity WHERE backend_type LIKE 'ragstone job%'";

async fn no_transaction_is_open_while_a_model_thinks() -> Result<()> {
    let provider = Provider::start([by_path()])?;
    let world = world(&provider).await?;
    world
        .admin
        .batch_execute(
            "SELECT rag.create_collection('far', 'app.notes', 'body', model => 'stub/e', sync => 'manual')",
        )
        .await?;
    let alice = world.session("alice").await?;
    let session: i64 =
        alice.value("SELECT rag.create_session(model => 'stub/m', collection => 'far')").await?;
    let chat = format!(r#"{{"session": {session}, "message": "harbour of which town?"}}"#);
    let question = r#"{"collection": "far", "question": "harbour of which town?", "model": "stub/m", "min_similarity": -1}"#;
    for (kind, args, calls) in [
        ("embed", r#"{"input": "a text", "model": "stub/e"}"#, 1),
        ("embed", r#"{"input": ["a text", null, "another"], "model": "stub/e"}"#, 1),
        ("search", r#"{"collection": "far", "query": "harbour of a town"}"#, 1),
        ("generate", GENERATE, 1),
        ("ask", question, 2),
        ("chat", &chat, 2),
    ] {
        let gates: Vec<Gate> = (0..calls).map(|_| Gate::new()).collect();
        provider.script(gates.iter().map(|gate| by_path().behind(gate)));
        let asked = provider.requests().len();
        let id = submit(&alice, kind, args).await?;
        for (number, gate) in (1..).zip(&gates) {
            ensure!(provider.wait_for_requests(asked + number), "{kind}: call {number} is not made");
            let row = world.admin.query_one(WORKERS, &[]).await?;
            ensure!((row.get::<_, i64>(0), row.get::<_, i64>(1)) == (1, 0), "{kind}: {row:?} is open");
            gate.open();
        }
        let status = ended(&alice, id).await?;
        ensure!(
            status == "done",
            "{kind}: {:?}",
            alice.refusal(&format!("SELECT rag.job_result({id})")).await
        );
        let made = provider.requests().len() - asked;
        ensure!(made == calls, "{kind}: {made} calls");
    }
    Ok(())
}

/// Embeddings for requests of embeddings, otherwise an answer with a citation.
fn by_path() -> Reply {
    Reply::by(|seen| match &seen.body["input"] {
        serde_json::Value::Null => Reply::chat_stream(&["It is ", "town 1 [1]."]),
        texts => Reply::embeddings_of(texts, 8),
    })
}

async fn no_transaction_is_open_while_a_model_of_this_host_thinks() -> Result<()> {
    let world = World::new().await?;
    world.admin.batch_execute("SELECT rag.embed('starts the engine')").await?;
    let engine = world.server.engine(&world.admin).await?;
    let question = r#"{"collection": "notes", "question": "harbour of town 3", "model": "local/extractive"}"#;
    for (kind, args) in
        [("embed", r#"{"input": "a text"}"#), ("search", crate::jobs::SEARCH), ("ask", question)]
    {
        engine.signal(Signal::SIGSTOP);
        let id = world.submit("alice", kind, args).await?;
        wait::until("the job waits for the engine with no transaction open", async || {
            let waits = "SELECT count(*) FROM pg_stat_activity WHERE backend_type LIKE 'ragstone job%'
                         AND wait_event_type = 'Extension' AND xact_start IS NULL AND backend_xmin IS NULL";
            Ok((world.admin.value::<i64>(waits).await? == 1).then_some(()))
        })
        .await?;
        engine.signal(Signal::SIGCONT);
        ensure!(world.ended("alice", id).await? == "done", "{kind}");
    }
    Ok(())
}

async fn many_prompts_of_a_job_are_asked_at_once() -> Result<()> {
    let echo = Reply::by(|seen| {
        let asked = seen.body["messages"][0]["content"].as_str().unwrap_or_default();
        Reply::chat(&format!("<{asked}>")).after(std::time::Duration::from_millis(100))
    });
    let provider = Provider::start([echo])?;
    let world = world(&provider).await?;
    let id =
        world.submit("alice", "generate", r#"{"prompts": ["a", "b", "a", "c"], "model": "stub/m"}"#).await?;
    ensure!(world.ended("alice", id).await? == "done");
    let alice = world.session("alice").await?;
    let answers: serde_json::Value = alice.value(&format!("SELECT rag.job_result({id})")).await?;
    ensure!(answers == serde_json::json!(["<a>", "<b>", "<a>", "<c>"]), "{answers}");
    ensure!(
        provider.most_at_once() == 4 && provider.requests().len() == 4,
        "{} at once",
        provider.most_at_once()
    );
    Ok(())
}

async fn what_a_job_asks_twice_is_asked_twice() -> Result<()> {
    let provider = Provider::start(["Anna", "Bert", "Carl"].map(Reply::chat))?;
    let world = world(&provider).await?;
    let id = world.submit(
        "alice",
        "generate",
        r#"{"prompts": ["a name", "a name", "a name"], "model": "stub/m"}"#,
    );
    let id = id.await?;
    ensure!(world.ended("alice", id).await? == "done");
    let session = world.session("alice").await?;
    let names =
        format!("SELECT array_agg(it ORDER BY it) FROM jsonb_array_elements_text(rag.job_result({id})) it");
    let names: Vec<String> = session.value(&names).await?;
    ensure!(names == ["Anna", "Bert", "Carl"], "{names:?}");
    ensure!(provider.requests().len() == 3);
    Ok(())
}

async fn a_job_that_asks_again_gets_another_answer() -> Result<()> {
    let world = World::new().await?;
    let provider = Provider::start([Reply::status(400), Reply::chat("bad"), Reply::chat("good")])?;
    world
        .admin
        .batch_execute(&format!(
            "SELECT rag.create_provider('stub', kind => 'compatible', base_url => '{}', api_key => 'k', model => 'm');
             GRANT USAGE ON FOREIGN SERVER stub TO alice;
             CREATE OR REPLACE FUNCTION app.gate() RETURNS boolean LANGUAGE plpgsql AS $$
               DECLARE answer text;
               BEGIN
                 FOR attempt IN 1 .. 3 LOOP
                   BEGIN
                     answer := rag.generate('Say it', 'stub/m');
                     IF answer = 'good' THEN RETURN true; END IF;
                   EXCEPTION WHEN OTHERS THEN
                     NULL;
                   END;
                 END LOOP;
                 RETURN false;
               END $$",
            provider.url()
        ))
        .await?;
    let id = world.submit("alice", "search", SEARCH).await?;
    ensure!(world.ended("alice", id).await? == "done");
    let found: i32 = world
        .session("alice")
        .await?
        .value(&format!("SELECT jsonb_array_length(rag.job_result({id}))"))
        .await?;
    ensure!(found == 2, "found {found} rows after {} questions", provider.requests().len());
    Ok(())
}

async fn a_turn_of_a_conversation_is_a_job_too() -> Result<()> {
    let provider = Provider::start([
        Reply::chat_stream(&["Hello ", "Ada."]),
        Reply::chat("Which town has a harbour?"),
        Reply::chat_stream(&["Town 1 ", "[1]."]),
    ])?;
    let world = world(&provider).await?;
    let alice = world.session("alice").await?;
    let session: i64 = alice.value("SELECT rag.create_session(model => 'stub')").await?;
    let turn = format!(r#"{{"session": {session}, "message": "I am Ada."}}"#);
    let id = submit(&alice, "chat", &turn).await?;
    ensure!(ended(&alice, id).await? == "done");
    let turn = format!(r#"{{"session": {session}, "message": "which has one?", "collection": "notes"}}"#);
    let id = submit(&alice, "chat", &turn).await?;
    ensure!(ended(&alice, id).await? == "done");
    // The rewritten question is not streamed to readers.
    ensure!(read(&world, id, 0).await?.1 == "Town 1 [1].");
    let kept: Vec<String> = alice.value("SELECT array_agg(content ORDER BY id) FROM rag.messages").await?;
    ensure!(kept == ["I am Ada.", "Hello Ada.", "which has one?", "Town 1 [1]."], "{kept:?}");
    ensure!(provider.requests().len() == 3, "{} requests", provider.requests().len());
    Ok(())
}

async fn what_a_provider_refuses_a_job_is_the_jobs_error() -> Result<()> {
    let provider = Provider::start([Reply::status(400)])?;
    let world = world(&provider).await?;
    let id = world.submit("alice", "generate", GENERATE).await?;
    ensure!(world.ended("alice", id).await? == "failed");
    let alice = world.session("alice").await?;
    alice.refusal(&format!("SELECT rag.job_result({id})")).await?.expect("38000", "status 400", "")
}
