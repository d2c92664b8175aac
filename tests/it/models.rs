//! Models with invalid files.

use anyhow::ensure;
use libtest_mimic::Trial;
use pgvector::Vector;
use ragstone_tests::Result;
use ragstone_tests::install::{DEFAULT_MODEL, Installation};
use ragstone_tests::sample::same;
use ragstone_tests::server::{Options, Server, copy_for_server, run};
use ragstone_tests::session::Refusal;
use serde_json::Value;
use std::fs;
use std::path::Path;
use std::process::Command;

pub fn tests() -> Vec<Trial> {
    ragstone_tests::tests![
        a_missing_model_file_is_named,
        a_corrupt_model_file_is_refused_by_its_sha256,
        a_manifest_that_is_no_json_is_refused,
        a_model_that_computes_something_else_is_refused,
        another_model_of_the_same_kind_loads_from_its_folder,
    ]
}

/// A server with a modified copy of the default model in a models folder of its own.
pub async fn server_with_model(name: &str, change: impl FnOnce(&Path) -> Result<()>) -> Result<Server> {
    let server = Server::prepare(Options::default())?;
    let models = server.folder().join("models");
    run(Command::new("mkdir").arg(&models))?;
    ragstone_tests::server::give_to_server(&models)?;
    let model = models.join(name);
    copy_for_server(&Installation::find()?.default_model(), &model)?;
    change(&model)?;
    server.configure(&Options::default().set("rag.models_path", &models.display().to_string()))?;
    server.restart().await?;
    Ok(server)
}

async fn refusal_with_model(change: impl FnOnce(&Path) -> Result<()>) -> Result<Refusal> {
    let server = server_with_model(DEFAULT_MODEL, change).await?;
    let session = server.session().await?;
    let refusal = session.refusal("SELECT rag.embed('a')").await?;
    // The engine keeps running, and reports the same error of the model to all sessions.
    ensure!(session.refusal("SELECT rag.embed(ARRAY['a', 'b'])").await?.message == refusal.message);
    let error: Option<String> = session.value("SELECT error FROM rag.models()").await?;
    ensure!(error.is_some(), "rag.models() shows no error");
    Ok(refusal)
}

async fn a_missing_model_file_is_named() -> Result<()> {
    let refusal = refusal_with_model(|model| Ok(fs::remove_file(model.join("model.onnx"))?)).await?;
    refusal.expect("F0000", "model.onnx", "ragstone-engine pull")
}

async fn a_corrupt_model_file_is_refused_by_its_sha256() -> Result<()> {
    let refusal = refusal_with_model(|model| {
        let path = model.join("model.onnx");
        let mut bytes = fs::read(&path)?;
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        Ok(fs::write(path, bytes)?)
    })
    .await?;
    refusal.expect("F0000", "sha256 of model.onnx: expected", "ragstone-engine pull")
}

async fn a_manifest_that_is_no_json_is_refused() -> Result<()> {
    let refusal = refusal_with_model(|model| Ok(fs::write(model.join("manifest.json"), "{")?)).await?;
    refusal.expect("F0000", "manifest.json", "ragstone-engine pull")
}

async fn a_model_that_computes_something_else_is_refused() -> Result<()> {
    let refusal = refusal_with_model(|model| {
        let path = model.join("manifest.json");
        let mut manifest: Value = serde_json::from_str(&fs::read_to_string(&path)?)?;
        manifest["golden"][0]["values"] = Value::from(vec![0.1; 8]);
        Ok(fs::write(path, manifest.to_string())?)
    })
    .await?;
    refusal.expect("F0000", "disagrees with its golden vectors", "Install the model again")
}

async fn another_model_of_the_same_kind_loads_from_its_folder() -> Result<()> {
    let server = server_with_model("renamed-model", |model| {
        let path = model.join("manifest.json");
        let mut manifest: Value = serde_json::from_str(&fs::read_to_string(&path)?)?;
        manifest["name"] = Value::from("renamed-model");
        manifest["query_prefix"] = Value::from("query: ");
        Ok(fs::write(path, manifest.to_string())?)
    })
    .await?;
    let session = server.session().await?;
    session.batch_execute("SET rag.default_model = 'renamed-model'").await?;
    let query: Vector = session.value("SELECT rag.embed('a cat', kind => 'query')").await?;
    let by_hand: Vector = session.value("SELECT rag.embed('query: a cat')").await?;
    same(&[query], &[by_hand])?;
    let row = session
        .query_one("SELECT name, dimensions, query_prefix, loaded, error FROM rag.models()", &[])
        .await?;
    ensure!(row.get::<_, &str>(0) == "renamed-model" && row.get::<_, i32>(1) == 384);
    ensure!(row.get::<_, &str>(2) == "query: " && row.get::<_, bool>(3));
    ensure!(row.get::<_, Option<&str>>(4).is_none());
    Ok(())
}
