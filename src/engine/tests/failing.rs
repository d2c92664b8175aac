//! The engine's errors: each message says what to do.
#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::{
    fs,
    os::unix::fs::{FileTypeExt, PermissionsExt},
    path::Path,
    process::Command,
};

use ragstone_core::failure::FailureKind;
use ragstone_core::protocol::{Kind, Request, Response, lock_name, socket_name};
use support::{Client, EngineProcess, MODEL, embed, embed_with, install_tiny_model, wait_for, wait_for_exit};

#[test]
fn a_second_engine_leaves_at_once() {
    let engine = EngineProcess::start();
    let (code, line) = wait_for_exit(EngineProcess::spawn(engine.folder.path(), &[]));
    assert_eq!(code, 75);
    assert!(line.starts_with("ragstone-engine: another engine already serves in "), "{line}");
    engine.connect().embed(&["cat"]);
}

#[test]
fn a_folder_that_cannot_be_written_is_a_clear_error() {
    let (code, line) = wait_for_exit(EngineProcess::spawn(Path::new("/proc/self"), &[]));
    assert_eq!(code, 78);
    assert!(line.starts_with("ragstone-engine: cannot listen in /proc/self: "), "{line}");
}

#[test]
fn a_socket_left_by_a_killed_engine_is_replaced() {
    let mut engine = EngineProcess::start();
    engine.kill();
    assert!(engine.socket().exists());
    let mut second = EngineProcess::spawn(engine.folder.path(), &[]);
    wait_for("the new socket", || std::os::unix::net::UnixStream::connect(engine.socket()).ok());
    engine.connect().embed(&["cat"]);
    second.kill().unwrap();
    second.wait().unwrap();
}

#[test]
fn the_socket_is_for_its_owner_alone() {
    let engine = EngineProcess::start();
    let socket = fs::metadata(engine.socket()).unwrap();
    assert!(socket.file_type().is_socket());
    assert_eq!(socket.permissions().mode() & 0o777, 0o600);
    let lock = fs::metadata(engine.folder.path().join(lock_name())).unwrap();
    assert_eq!(lock.permissions().mode() & 0o777, 0o600);
}

#[test]
fn sigterm_ends_it_without_an_error() {
    let mut engine = EngineProcess::start();
    let mut client = engine.connect();
    client.embed(&["cat"]);
    client.send(embed(&["the cat sat on the mat"; 40_000]));
    rustix::process::kill_process(
        rustix::process::Pid::from_raw(engine.pid()).unwrap(),
        rustix::process::Signal::TERM,
    )
    .unwrap();
    assert_eq!(engine.wait().code(), Some(0));
}

#[test]
fn a_missing_library_is_named_and_the_engine_keeps_serving() {
    let engine = EngineProcess::start_with(&["--onnxruntime", "/nowhere/libonnxruntime.so"]);
    let mut client = engine.connect();
    let failure = client.failure(embed(&["cat"]));
    assert_eq!(failure.kind, FailureKind::Unavailable);
    assert!(failure.message.contains("/nowhere/libonnxruntime.so"), "{failure:?}");
    assert!(failure.hint.contains("rag.onnxruntime_path"), "{failure:?}");
    assert!(client.stats().runtime.contains("/nowhere/libonnxruntime.so"));
    assert!(matches!(client.call(Request::Describe { model: MODEL.into() }), Response::Models(_)));
}

#[test]
fn a_library_that_is_no_onnxruntime_is_refused() {
    let engine = EngineProcess::start_with(&["--onnxruntime", "libc.so.6"]);
    let failure = engine.connect().failure(embed(&["cat"]));
    assert_eq!(failure.kind, FailureKind::Unavailable);
}

#[test]
fn an_unknown_model_is_named_with_the_folder_where_it_would_be() {
    let engine = EngineProcess::start();
    let mut client = engine.connect();
    let failure = client.failure(embed_with("other", Kind::Document, &["cat"]));
    assert_eq!(
        (failure.kind, failure.message.as_str()),
        (FailureKind::UnknownModel, "model \"other\" is not installed")
    );
    assert!(failure.detail.contains(engine.models().to_str().unwrap()));
    for name in ["", "../tiny-model", ".hidden"] {
        let failure = client.failure(embed_with(name, Kind::Document, &["cat"]));
        assert_eq!(failure.kind, FailureKind::UnknownModel, "{name}");
    }
}

fn corrupt(change: impl FnOnce(&Path)) -> (String, String) {
    let engine = EngineProcess::start();
    let folder = install_tiny_model(engine.models(), "broken");
    change(&folder);
    let mut client = engine.connect();
    let failure = client.failure(embed_with("broken", Kind::Document, &["cat"]));
    assert_eq!(failure.kind, FailureKind::CorruptModel, "{failure:?}");
    let Response::Models(models) = client.call(Request::Models) else { panic!() };
    let broken = models.iter().find(|model| model.name == "broken");
    assert!(broken.is_none_or(|model| model.error.is_some()), "{models:?}");
    client.embed(&["cat"]);
    // Once the folder is whole again, the model works without a restart.
    install_tiny_model(engine.models(), "broken");
    let again = client.call(embed_with("broken", Kind::Document, &["cat"]));
    assert!(matches!(again, Response::Vectors(_)), "{again:?}");
    (failure.message, failure.hint)
}

#[test]
fn a_changed_graph_is_refused_with_both_checksums() {
    let (message, hint) = corrupt(|folder| fs::write(folder.join("model.onnx"), "x").unwrap());
    assert!(message.starts_with("model \"broken\": sha256 of model.onnx: expected 4fd683eb"), "{message}");
    assert!(message.contains("actual 2d711642"), "{message}");
    assert!(hint.contains("ragstone-engine pull broken"), "{hint}");
}

#[test]
fn a_missing_graph_is_refused() {
    let (message, _) = corrupt(|folder| fs::remove_file(folder.join("model.onnx")).unwrap());
    assert!(message.contains("model.onnx: No such file"), "{message}");
}

#[test]
fn a_missing_manifest_is_refused() {
    let (message, _) = corrupt(|folder| fs::remove_file(folder.join("manifest.json")).unwrap());
    assert!(message.contains("manifest.json: No such file"), "{message}");
}

#[test]
fn a_changed_tokenizer_is_refused() {
    let (message, _) = corrupt(|folder| fs::write(folder.join("tokenizer.json"), "{}").unwrap());
    assert!(message.contains("sha256 of tokenizer.json"), "{message}");
}

#[test]
fn a_model_that_computes_something_else_is_refused() {
    let (message, _) = corrupt(|folder| {
        let manifest = folder.join("manifest.json");
        let text = fs::read_to_string(&manifest).unwrap();
        fs::write(manifest, text.replace("0.281991", "-0.281991")).unwrap();
    });
    assert!(message.contains("disagrees with its golden vectors under onnxruntime"), "{message}");
}

#[test]
fn a_model_that_is_written_anew_is_loaded_anew() {
    let engine = EngineProcess::start();
    let mut client = engine.connect();
    let before = client.embed(&["cat"]);
    let manifest = engine.models().join(MODEL).join("manifest.json");
    let text = fs::read_to_string(&manifest).unwrap();
    // Golden vectors depend on the pooling: they must be removed, or the engine would refuse the model.
    let mut json: serde_json::Value = serde_json::from_str(&text).unwrap();
    json["pooling"] = "cls".into();
    json["golden"] = serde_json::json!([]);
    fs::write(&manifest, json.to_string()).unwrap();
    let after = client.embed(&["cat"]);
    assert_ne!(before.fingerprint, after.fingerprint);
    assert_ne!(before.values, after.values);
}

#[test]
fn a_model_that_is_removed_is_unknown_again() {
    let engine = EngineProcess::start();
    let mut client = engine.connect();
    client.embed(&["cat"]);
    fs::remove_dir_all(engine.models().join(MODEL)).unwrap();
    assert_eq!(client.failure(embed(&["cat"])).kind, FailureKind::UnknownModel);
}

#[test]
fn a_model_that_does_not_fit_into_memory_is_refused_with_figures() {
    let engine = EngineProcess::start_with(&["--memory-mb", "1"]);
    let failure = engine.connect().failure(embed(&["cat"]));
    assert_eq!(failure.kind, FailureKind::ModelMemory);
    assert!(failure.hint.contains("rag.engine_memory"), "{failure:?}");
}

#[test]
fn clients_are_told_that_a_model_is_being_loaded() {
    let engine = EngineProcess::start();
    // Reading a pipe blocks until it is written to.
    let graph = engine.models().join(MODEL).join("model.onnx");
    fs::remove_file(&graph).unwrap();
    assert!(Command::new("mkfifo").arg(&graph).status().unwrap().success());
    let mut client = engine.connect();
    client.send(embed(&["cat"]));
    for _ in 0..2 {
        assert_eq!(client.receive_any().body, Response::Working);
    }
    fs::write(&graph, "not a model").unwrap();
    let last = client.receive().body;
    assert!(
        matches!(&last, Response::Failed(failure) if failure.kind == FailureKind::CorruptModel),
        "{last:?}"
    );
}

#[test]
fn an_idle_client_does_not_hold_others_up() {
    let engine = EngineProcess::start();
    let mut half = Client::raw(&engine.folder.path().join(socket_name()));
    half.send_bytes(&[200, 0]);
    engine.connect().embed(&["cat"]);
}
