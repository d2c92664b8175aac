//! Invalid libraries, and the choice between two runtimes.

use crate::models::server_with_model;
use anyhow::ensure;
use libtest_mimic::Trial;
use pgvector::Vector;
use ragstone_tests::Result;
use ragstone_tests::harness::NotRun;
use ragstone_tests::install::{DEFAULT_MODEL, Installation};
use ragstone_tests::sample::same;
use ragstone_tests::server::{Options, Server, run};
use ragstone_tests::session::{Refusal, Session, refusal_in};
use ragstone_tests::wait;
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

pub fn tests() -> Vec<Trial> {
    ragstone_tests::tests![
        a_file_that_is_no_library_is_named_and_can_be_mended,
        an_old_onnx_runtime_is_refused_with_both_versions,
        openvino_by_name_without_its_library_is_refused,
        an_old_openvino_is_passed_over_by_auto_and_refused_by_name,
        openvino_that_disagrees_is_refused_by_name,
        openvino_that_disagrees_is_passed_over_by_auto,
    ]
}

const SENTENCE: &str = "a base backup is a copy of all files of a running server";

/// Checks that OpenVINO is installed, which is the case if the processor computes in bf16.
fn need_openvino() -> Result<()> {
    let library = Installation::find()?.library.join("ragstone/openvino/libonnxruntime.so");
    if library.exists() {
        return Ok(());
    }
    Err(NotRun(format!("there is no {}", library.display())).into())
}

async fn server_with_library(path: &Path) -> Result<Server> {
    let options = Options::default()
        .set("rag.engine_runtime", "onnxruntime")
        .set("rag.onnxruntime_path", &path.display().to_string());
    Server::start_with(options).await
}

async fn a_file_that_is_no_library_is_named_and_can_be_mended() -> Result<()> {
    let server = server_with_library(Path::new("/etc/passwd")).await?;
    let session = server.session().await?;
    let refusal = session.refusal("SELECT rag.embed('a')").await?;
    refusal.expect("57P03", "cannot use the ONNX Runtime library /etc/passwd", "rag.onnxruntime_path")?;
    session.batch_execute("ALTER SYSTEM SET rag.onnxruntime_path = ''").await?;
    session.batch_execute("SELECT pg_reload_conf()").await?;
    wait::until("the engine has the right library", async || {
        Ok(session.execute("SELECT rag.embed('a')", &[]).await.ok())
    })
    .await?;
    Ok(())
}

async fn an_old_onnx_runtime_is_refused_with_both_versions() -> Result<()> {
    let (server, library) = server_with_old_library()?;
    let options = Options::default()
        .set("rag.engine_runtime", "onnxruntime")
        .set("rag.onnxruntime_path", &library.display().to_string());
    server.configure(&options)?;
    server.restart().await?;
    let session = server.session().await?;
    let refusal = session.refusal("SELECT rag.embed('a')").await?;
    refusal.expect("57P03", "found version 1.16.3, expected 1.23 or newer", "rag.onnxruntime_path")?;
    // The engine runs, and does work that needs no library.
    session.execute("SELECT * FROM rag.chunk('a')", &[]).await?;
    let restarts = "SELECT value FROM rag.status() WHERE name = 'engine_restarts'";
    ensure!(session.value::<String>(restarts).await? == "0");
    Ok(())
}

/// A server that is not started yet, and the path of a library that its engine can read.
fn server_with_old_library() -> Result<(Server, PathBuf)> {
    let server = Server::prepare(Options::default())?;
    let folder = tempfile::tempdir()?;
    let library = server.folder().join("libonnxruntime.so");
    fs::copy(old_library(folder.path())?, &library)?;
    ragstone_tests::server::give_to_server(&library)?;
    Ok((server, library))
}

fn old_library(folder: &Path) -> Result<PathBuf> {
    let library = folder.join("libonnxruntime.so");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/old_onnxruntime.c");
    run(Command::new("cc").args(["-shared", "-fPIC", "-o"]).arg(&library).arg(source))?;
    Ok(library)
}

async fn openvino_by_name_without_its_library_is_refused() -> Result<()> {
    let options =
        Options::default().set("rag.engine_runtime", "openvino").set("rag.openvino_path", "/nowhere");
    let server = Server::start_with(options).await?;
    let refusal = server.session().await?.refusal("SELECT rag.embed('a')").await?;
    refusal.expect("57P03", "cannot use the runtime openvino", "rag.engine_runtime")
}

async fn an_old_openvino_is_passed_over_by_auto_and_refused_by_name() -> Result<()> {
    need_openvino()?;
    let (server, _) = server_with_old_library()?;
    let folder = server.folder().display().to_string();
    server.configure(&Options::default().set("rag.openvino_path", &folder))?;
    server.restart().await?;
    let session = server.session().await?;
    let refusal = refusal_of_openvino(&session).await?;
    refusal.expect("57P03", "cannot use the runtime openvino", "rag.engine_runtime")?;
    ensure!(refusal.message.contains("found version 1.16.3, expected 1.23 or newer"), "{refusal:?}");
    embed_under(&session, "auto", "onnxruntime").await?;
    Ok(())
}

/// Returns ONNX Runtime's vector of [`SENTENCE`]. OpenVINO computes in bf16, which turns a vector by about
/// 0.3°, and 2.6° are allowed: the golden vector is placed just within this angle of ONNX Runtime's vector,
/// and just outside that of OpenVINO's.
async fn make_openvino_disagree(server: &Server, session: &Session) -> Result<Vector> {
    let exact = embed_under(session, "onnxruntime", "onnxruntime").await?;
    let rough = embed_under(session, "openvino", "openvino").await?;
    let path = server.folder().join("models").join(DEFAULT_MODEL).join("manifest.json");
    let mut manifest: Value = serde_json::from_str(&fs::read_to_string(&path)?)?;
    let values = beyond(exact.as_slice(), rough.as_slice());
    manifest["golden"] = serde_json::json!([{ "text": SENTENCE, "values": values }]);
    fs::write(&path, manifest.to_string())?;
    Ok(exact)
}

async fn openvino_that_disagrees_is_passed_over_by_auto() -> Result<()> {
    need_openvino()?;
    let server = server_with_model(DEFAULT_MODEL, |_| Ok(())).await?;
    let session = server.session().await?;
    session.execute("SELECT rag.embed('a')", &[]).await?;
    if session.value::<String>("SELECT runtime FROM rag.models()").await? == "onnxruntime" {
        return Err(
            NotRun("this processor is not faster in bf16, so auto does not try OpenVINO".into()).into()
        );
    }
    let exact = make_openvino_disagree(&server, &session).await?;
    let under_auto = embed_under(&session, "auto", "onnxruntime").await?;
    same(&[under_auto], &[exact])?;
    ensure!(server.log()?.contains("falling back from openvino to onnxruntime"));
    Ok(())
}

async fn openvino_that_disagrees_is_refused_by_name() -> Result<()> {
    need_openvino()?;
    let server = server_with_model(DEFAULT_MODEL, |_| Ok(())).await?;
    let session = server.session().await?;
    make_openvino_disagree(&server, &session).await?;
    // The engine has read the former manifest; a change of the setting starts another engine.
    embed_under(&session, "onnxruntime", "onnxruntime").await?;
    let refusal = refusal_of_openvino(&session).await?;
    refusal.expect("F0000", "disagrees with its golden vectors under openvino", "rag.engine_runtime")
}

/// The unit vector on the far side of `exact` from `rough`, at the allowed angle from the midpoint of both.
fn beyond(exact: &[f32], rough: &[f32]) -> Vec<f64> {
    let dot = |a: &[f64], b: &[f64]| -> f64 { a.iter().zip(b).map(|(a, b)| a * b).sum() };
    let unit = |vector: &[f64]| -> Vec<f64> {
        let length = dot(vector, vector).sqrt();
        vector.iter().map(|value| value / length).collect()
    };
    let wide = |vector: &[f32]| unit(&vector.iter().copied().map(f64::from).collect::<Vec<_>>());
    let (exact, rough) = (wide(exact), wide(rough));
    let cosine = dot(&exact, &rough);
    let across: Vec<f64> = exact.iter().zip(&rough).map(|(exact, rough)| exact - cosine * rough).collect();
    let (sin, cos) = (0.999_f64.acos() + cosine.acos() / 2.0).sin_cos();
    rough.iter().zip(unit(&across)).map(|(rough, across)| cos * rough + sin * across).collect()
}

async fn set_runtime(session: &Session, runtime: &str) -> Result<()> {
    // Makes the setting known to the session.
    session.batch_execute("LOAD 'ragstone'").await?;
    session.batch_execute(&format!("ALTER SYSTEM SET rag.engine_runtime = '{runtime}'")).await?;
    session.batch_execute("SELECT pg_reload_conf()").await?;
    Ok(())
}

/// The embedding of [`SENTENCE`] once the setting has caused this runtime to compute it.
async fn embed_under(session: &Session, setting: &str, runtime: &str) -> Result<Vector> {
    set_runtime(session, setting).await?;
    wait::until(&format!("{runtime} serves under {setting}"), async || {
        let Ok(row) = session.query_one("SELECT rag.embed($1::text)", &[&SENTENCE]).await else {
            return Ok(None);
        };
        let shown: Option<String> = session.value("SELECT runtime FROM rag.models()").await?;
        Ok((shown.as_deref() == Some(runtime)).then(|| row.get(0)))
    })
    .await
}

/// The error of a call once the setting is `openvino`, if that does not work.
async fn refusal_of_openvino(session: &Session) -> Result<Refusal> {
    set_runtime(session, "openvino").await?;
    wait::until("openvino is refused", async || {
        let answer = session.query("SELECT rag.embed($1::text)", &[&SENTENCE]).await;
        answer.err().map(|error| refusal_in(&error)).transpose()
    })
    .await
}
