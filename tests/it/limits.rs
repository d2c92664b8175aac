//! The engine at its memory limit.

use anyhow::{Context, ensure};
use libtest_mimic::Trial;
use pgvector::Vector;
use ragstone_tests::Result;
use ragstone_tests::sample::same;
use ragstone_tests::server::{Options, Server, give_to_server, run};
use ragstone_tests::session::Session;
use ragstone_tests::wait;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;
use std::time::SystemTime;

pub fn tests() -> Vec<Trial> {
    ragstone_tests::tests![
        idle_models_give_way_the_longest_unused_first,
        a_model_is_loaded_by_the_runtime_that_fits,
        a_model_that_does_not_fit_is_one_clear_error,
        a_run_at_the_limit_is_run_again_by_the_next_engine,
        a_run_that_never_fits_is_one_clear_error,
    ]
}

/// A server whose engine may use `megabytes` MB, with an empty models folder; not started yet.
fn server_with_memory(megabytes: u32) -> Result<Server> {
    let server = Server::prepare(Options::default())?;
    let models = server.folder().join("models");
    fs::create_dir(&models)?;
    give_to_server(&models)?;
    // One thread only, because the stacks of more threads would add up on machines with many processors.
    let options = Options::default()
        .set("rag.models_path", &models.display().to_string())
        .set("rag.engine_runtime", "onnxruntime")
        .set("rag.engine_threads", "1")
        .set("rag.engine_memory", &format!("{megabytes}MB"));
    server.configure(&options)?;
    Ok(server)
}

/// The default model takes 90 MB, and twice as much while it is loaded: two models fit into the engine's 400
/// MB, and a third one only after one of them was unloaded.
async fn idle_models_give_way_the_longest_unused_first() -> Result<()> {
    let server = server_with_memory(400)?;
    for name in ["first", "second", "third"] {
        symlink(server.install.default_model(), server.folder().join("models").join(name))?;
    }
    server.restart().await?;
    let session = server.session().await?;
    embed_by(&session, "first").await?;
    let engine = server.engines();
    embed_by(&session, "second").await?;
    ensure!(loaded(&session).await? == "first second", "loaded: {}", loaded(&session).await?);
    embed_by(&session, "first").await?;
    embed_by(&session, "third").await?;
    ensure!(loaded(&session).await? == "first third", "loaded: {}", loaded(&session).await?);
    embed_by(&session, "second").await?;
    ensure!(loaded(&session).await? == "second third", "loaded: {}", loaded(&session).await?);
    ensure!(server.engines() == engine, "the engine was started again");
    Ok(())
}

/// OpenVINO, on processors for which it is used, needs 450 MB to load the default model.
async fn a_model_is_loaded_by_the_runtime_that_fits() -> Result<()> {
    let server = Server::start_with(Options::default().set("rag.engine_memory", "256MB")).await?;
    let session = server.session().await?;
    session.value::<Vector>("SELECT rag.embed('a')").await?;
    ensure!(session.value::<String>("SELECT runtime FROM rag.models() WHERE loaded").await? == "onnxruntime");
    ensure!(restarts(&session).await? == 0, "the engine was started again");
    Ok(())
}

/// The tiny model with an additional file of 200 MB.
async fn a_model_that_does_not_fit_is_one_clear_error() -> Result<()> {
    let server = server_with_hungry_model()?;
    let model = server.folder().join("models/tiny-model");
    let ballast = model.join("ballast");
    fs::File::create(&ballast)?.set_len(200 << 20)?;
    let sum = run(Command::new("sha256sum").arg(&ballast))?;
    let sum = sum.split_whitespace().next().context("no sum")?;
    let manifest = fs::read_to_string(model.join("manifest.json"))?;
    let manifest = manifest.replacen("\"files\": {", &format!("\"files\": {{ \"ballast\": \"{sum}\","), 1);
    fs::write(model.join("manifest.json"), manifest)?;
    server.restart().await?;
    let session = server.session().await?;
    let refusal = session.refusal("SELECT rag.embed('a', model => 'tiny-model')").await?;
    refusal.expect("53200", "model \"tiny-model\" needs about 400 MB", "Raise rag.engine_memory")?;
    session
        .batch_execute(
            "CREATE TABLE t (id int PRIMARY KEY, body text); INSERT INTO t VALUES (1, 'cat');
             SELECT rag.create_collection('c', 't', 'body', model => 'tiny-model')",
        )
        .await?;
    wait::until("the collection waits for memory", async || {
        let reason = "SELECT coalesce(bool_or(state = 'waiting' AND reason LIKE '53200: model%'), false) FROM rag.collections";
        Ok(session.value::<bool>(reason).await?.then_some(()))
    })
    .await?;
    ensure!(session.value::<i64>("SELECT count(*) FROM rag.failed").await? == 0, "the row was charged");
    ensure!(restarts(&session).await? == 0, "the engine was started again");
    Ok(())
}

async fn embed_by(session: &Session, model: &str) -> Result<Vector> {
    session.value_of("SELECT rag.embed('a', model => $1)", &[&model]).await
}

async fn loaded(session: &Session) -> Result<String> {
    session.value("SELECT string_agg(name, ' ' ORDER BY name) FROM rag.models() WHERE loaded").await
}

/// A model whose runs take 10 MB per token, and a model that computes the same without them.
fn server_with_hungry_model() -> Result<Server> {
    let server = server_with_memory(256)?;
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../src/engine/tests/fixtures");
    for name in ["hungry-model", "tiny-model"] {
        // The server's user may be unable to enter the checkout, so the file is copied instead of linked.
        let model = server.folder().join("models").join(name);
        fs::create_dir(&model)?;
        for file in ["manifest.json", "model.onnx", "tokenizer.json"] {
            fs::copy(fixtures.join(name).join(file), model.join(file))?;
        }
    }
    Ok(server)
}

/// SQL for a text of `tokens` tokens, two of which the tokenizer adds.
fn text(tokens: u32) -> String {
    format!("repeat('cat ', {})", tokens - 2)
}

async fn restarts(session: &Session) -> Result<i32> {
    Ok(session
        .value::<String>("SELECT value FROM rag.status() WHERE name = 'engine_restarts'")
        .await?
        .parse()?)
}

/// ONNX Runtime keeps the memory of a run in blocks that double in size: runs of 3, 6 and 7 tokens leave
/// blocks of 32, 64 and 128 MB, and no room for the 130 MB of 13 tokens, for which an engine without earlier
/// runs has room.
async fn a_run_at_the_limit_is_run_again_by_the_next_engine() -> Result<()> {
    let server = server_with_hungry_model()?;
    server.restart().await?;
    let session = server.session().await?;
    let started: SystemTime = session.value("SELECT pg_postmaster_start_time()").await?;
    for (tokens, expected) in [(3, 0), (6, 0), (7, 0), (13, 1)] {
        let embed = |model: &str| format!("SELECT rag.embed({}, model => '{model}')", text(tokens));
        let hungry: Vector = session.value(&embed("hungry-model")).await?;
        ensure!(restarts(&session).await? == expected, "at {tokens} tokens");
        same(&[hungry], &[session.value(&embed("tiny-model")).await?])?;
    }
    let log = server.log()?;
    ensure!(log.contains("ragstone-engine: exits because its memory limit is reached"));
    ensure!(log.contains("ended: exit status: 71"));
    ensure!(session.value::<SystemTime>("SELECT pg_postmaster_start_time()").await? == started);
    Ok(())
}

async fn a_run_that_never_fits_is_one_clear_error() -> Result<()> {
    let server = server_with_hungry_model()?;
    // The model accepts longer texts now, so that a single text exceeds the memory of any engine. Several
    // shorter texts would not: batches are only as large as the model's speed allows.
    let manifest = server.folder().join("models/hungry-model/manifest.json");
    let long = fs::read_to_string(&manifest)?.replacen("\"max_tokens\": 16", "\"max_tokens\": 64", 1);
    fs::write(&manifest, long)?;
    server.restart().await?;
    let session = server.session().await?;
    let too_much = format!("SELECT rag.embed({}, model => 'hungry-model')", text(40));
    let refused = async || {
        let refusal = session.refusal(&too_much).await?;
        let message = "a run of model \"hungry-model\" does not fit into the engine's memory";
        refusal.expect("54000", message, "rag.engine_memory")
    };
    refused().await?;
    ensure!(restarts(&session).await? == 0);
    for tokens in [3, 6, 7] {
        session.execute(&format!("SELECT rag.embed({}, model => 'hungry-model')", text(tokens)), &[]).await?;
    }
    // An engine that has used up its memory exits, and the next one reports the error.
    refused().await?;
    ensure!(restarts(&session).await? == 1);
    Ok(())
}
