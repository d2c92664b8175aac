//! `ragstone-engine pull` against a small web server that can break off.
#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::{
    collections::HashMap,
    fs,
    io::{BufRead, BufReader, Write},
    net::TcpListener,
    path::Path,
    process::Output,
    sync::{Arc, Mutex},
    thread,
};

use support::{engine_command, onnxruntime};

/// Serves files by path, with ranges. A path in `broken_off` is cut in the middle the first time.
struct Web {
    address: String,
    ranges: Arc<Mutex<Vec<String>>>,
}

impl Web {
    fn serve(files: HashMap<String, Vec<u8>>, broken_off: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let ranges = Arc::new(Mutex::new(Vec::new()));
        let seen = ranges.clone();
        thread::spawn(move || {
            let mut may_break = !broken_off.is_empty();
            for stream in listener.incoming().map_while(Result::ok) {
                let mut lines = BufReader::new(&stream).lines().map_while(Result::ok);
                let Some(request) = lines.next() else { continue };
                let path = request.split(' ').nth(1).unwrap_or_default().to_owned();
                let range = lines
                    .take_while(|line| !line.is_empty())
                    .find_map(|line| line.to_lowercase().strip_prefix("range: bytes=").map(str::to_owned));
                seen.lock().unwrap().extend(range.clone());
                let mut stream = &stream;
                let Some(file) = files.get(&path) else {
                    let _ = stream.write_all(
                        b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
                    );
                    continue;
                };
                let from: usize =
                    range.as_ref().map_or(0, |range| range.trim_end_matches('-').parse().unwrap());
                let status = if range.is_some() { "206 Partial Content" } else { "200 OK" };
                let rest = &file[from..];
                let head = format!(
                    "HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
                    rest.len()
                );
                let _ = stream.write_all(head.as_bytes());
                let breaks = may_break && path == broken_off;
                may_break &= !breaks;
                let _ = stream.write_all(if breaks { &rest[..rest.len() / 2] } else { rest });
            }
        });
        Self { address, ranges }
    }
}

fn tiny_model() -> HashMap<&'static str, Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/tiny-model");
    let files = ["manifest.json", "model.onnx", "tokenizer.json"];
    files.into_iter().map(|file| (file, fs::read(folder.join(file)).unwrap())).collect()
}

fn pull(source: &str, models: &Path, hub: &str) -> Output {
    let mut command = engine_command();
    command.args(["pull", source, "--runtime", "onnxruntime", "--models"]).arg(models);
    command.arg("--onnxruntime").arg(onnxruntime()).env("HF_ENDPOINT", hub);
    for proxy in ["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"] {
        command.env_remove(proxy);
    }
    command.output().unwrap()
}

fn folder_on_the_web(change: impl FnOnce(&mut HashMap<String, Vec<u8>>), broken_off: &'static str) -> Web {
    let mut files =
        tiny_model().into_iter().map(|(name, bytes)| (format!("/tiny-model/{name}"), bytes)).collect();
    change(&mut files);
    Web::serve(files, broken_off)
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn a_folder_with_a_manifest_is_installed_and_checks() {
    let web = folder_on_the_web(|_| {}, "");
    let models = tempfile::tempdir().unwrap();
    let output = pull(&format!("{}/tiny-model/", web.address), models.path(), "");
    assert!(output.status.success(), "{}", stderr(&output));
    let folder = models.path().join("tiny-model");
    assert!(folder.join("model.onnx").exists() && !models.path().join(".tiny-model.pull").exists());
    let check =
        engine_command().arg("check").arg(&folder).arg("--onnxruntime").arg(onnxruntime()).output().unwrap();
    let line = String::from_utf8_lossy(&check.stdout).into_owned();
    assert!(line.starts_with("tiny-model: 2 files and 2 golden vectors agree; 8 dimensions"), "{line}");
}

#[test]
fn a_download_that_broke_off_goes_on_where_it_was() {
    let web = folder_on_the_web(|_| {}, "/tiny-model/model.onnx");
    let models = tempfile::tempdir().unwrap();
    let source = format!("{}/tiny-model", web.address);
    let first = pull(&source, models.path(), "");
    assert!(!first.status.success());
    assert!(stderr(&first).contains("run the command again"), "{}", stderr(&first));
    assert!(!models.path().join("tiny-model").exists());
    let second = pull(&source, models.path(), "");
    assert!(second.status.success(), "{}", stderr(&second));
    let half = tiny_model()["model.onnx"].len() / 2;
    assert_eq!(*web.ranges.lock().unwrap(), [format!("{half}-")]);
}

#[test]
fn another_file_than_promised_is_not_installed() {
    let web = folder_on_the_web(|files| drop(files.insert("/tiny-model/model.onnx".into(), vec![b'x'])), "");
    let models = tempfile::tempdir().unwrap();
    let output = pull(&format!("{}/tiny-model", web.address), models.path(), "");
    assert!(!output.status.success());
    let message = stderr(&output);
    assert!(
        message.contains("/tiny-model/model.onnx: expected 4fd683eb") && message.contains("actual 2d711642"),
        "{message}"
    );
    assert!(!models.path().join("tiny-model").exists());
    assert!(!models.path().join(".tiny-model.pull/model.onnx.part").exists());
}

#[test]
fn a_model_with_another_name_than_asked_for_is_not_installed() {
    let files = tiny_model().into_iter().map(|(name, bytes)| (format!("/asked-for/{name}"), bytes)).collect();
    let web = Web::serve(files, "");
    let models = tempfile::tempdir().unwrap();
    let installed = models.path().join("tiny-model");
    fs::create_dir(&installed).unwrap();
    let output = pull(&format!("{}/asked-for", web.address), models.path(), "");
    assert!(!output.status.success());
    assert!(
        stderr(&output).contains("does not end in the model's name, \"tiny-model\""),
        "{}",
        stderr(&output)
    );
    assert_eq!(fs::read_dir(models.path()).unwrap().count(), 1);
    assert_eq!(fs::read_dir(&installed).unwrap().count(), 0);
}

#[test]
fn a_missing_file_is_named() {
    let web = folder_on_the_web(|files| drop(files.remove("/tiny-model/tokenizer.json")), "");
    let models = tempfile::tempdir().unwrap();
    let output = pull(&format!("{}/tiny-model", web.address), models.path(), "");
    assert!(!output.status.success());
    assert!(
        stderr(&output).contains("/tiny-model/tokenizer.json: no such file on the server"),
        "{}",
        stderr(&output)
    );
}

#[test]
fn a_repository_of_the_hub_gets_a_manifest_with_golden_vectors() {
    let tiny = tiny_model();
    let sum = "4fd683eb7e83b039d2a68af582134c2dfa581b3b4b2caeb4746e7fbe781d6f88";
    let tree = format!(
        r#"[{{"type":"file","path":"onnx/model.onnx","size":1,"lfs":{{"oid":"{sum}"}}}},{{"type":"file","path":"tokenizer.json","size":1}}]"#
    );
    let json = |text: &str| text.as_bytes().to_vec();
    let files = HashMap::from([
        ("/api/models/owner/tiny/tree/main?recursive=true".to_owned(), json(&tree)),
        ("/api/models/owner/tiny".to_owned(), json(r#"{"cardData":{"license":"mit"}}"#)),
        (
            "/owner/tiny/resolve/main/config.json".to_owned(),
            json(r#"{"hidden_size":8,"max_position_embeddings":32}"#),
        ),
        ("/owner/tiny/resolve/main/sentence_bert_config.json".to_owned(), json(r#"{"max_seq_length":16}"#)),
        ("/owner/tiny/resolve/main/onnx/model.onnx".to_owned(), tiny["model.onnx"].clone()),
        ("/owner/tiny/resolve/main/tokenizer.json".to_owned(), tiny["tokenizer.json"].clone()),
    ]);
    let web = Web::serve(files, "");
    let models = tempfile::tempdir().unwrap();
    let output = pull("owner/tiny", models.path(), &web.address);
    assert!(output.status.success(), "{}", stderr(&output));
    let manifest = fs::read(models.path().join("tiny/manifest.json")).unwrap();
    let manifest: serde_json::Value = serde_json::from_slice(&manifest).unwrap();
    assert_eq!((manifest["max_tokens"].as_u64(), manifest["licence"].as_str()), (Some(16), Some("mit")));
    assert_eq!(manifest["golden"].as_array().unwrap().len(), 3);
    assert_eq!(manifest["files"]["model.onnx"], sum);
}
