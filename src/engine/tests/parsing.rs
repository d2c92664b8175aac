//! Documents are parsed in processes of their own; what happens there ends neither the engine nor other requests.
#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::{fs, io::Write};

use ragstone_core::{
    failure::{Failure, FailureKind},
    protocol::{FileBytes, ParseLimits, ParseTask, ParsedDocument, Request, Response},
};
use rustix::process::{Pid, Signal, kill_process};
use support::{CALLER, Client, EngineProcess, embed, wait_for};

const LIMITS: ParseLimits = ParseLimits { memory_mb: 512, timeout_ms: 120_000, pages: 100 };

fn request(content: &[u8], limits: ParseLimits) -> Request {
    let task = ParseTask { content: FileBytes(content.to_vec()), name: None, mime: None, limits };
    Request::Parse { caller: CALLER, task: Box::new(task) }
}

fn parsed(answer: Response) -> ParsedDocument {
    match answer {
        Response::Parsed(document) => *document,
        other => panic!("{other:?}"),
    }
}

fn failed(answer: Response) -> Failure {
    match answer {
        Response::Failed(failure) => failure,
        other => panic!("{other:?}"),
    }
}

/// A small file that takes a while to unpack, and is no document then.
fn slow() -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(&vec![0; 1 << 20]).unwrap();
    // A gzip file may have many members (RFC 1952).
    encoder.finish().unwrap().repeat(400)
}

fn children(parent: i32) -> Vec<i32> {
    let tasks = fs::read_dir(format!("/proc/{parent}/task")).into_iter().flatten().flatten();
    tasks
        .filter_map(|task| fs::read_to_string(task.path().join("children")).ok())
        .flat_map(|pids| pids.split_whitespace().filter_map(|pid| pid.parse().ok()).collect::<Vec<_>>())
        .collect()
}

fn launcher(engine: &EngineProcess) -> i32 {
    wait_for("the launcher", || children(engine.pid()).first().copied())
}

/// Number of the filters of system calls of a process.
fn filters(process: i32) -> Option<u32> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    status.lines().find_map(|line| line.strip_prefix("Seccomp_filters:"))?.trim().parse().ok()
}

/// Waits for a parser that has restricted itself, and stops it, so that it does not end by itself.
fn stop_parser(engine: &EngineProcess) -> i32 {
    let launcher = launcher(engine);
    let child = wait_for("a parser", || {
        let child = *children(launcher).first()?;
        // Filters of system calls are its last restrictions. The launcher may have inherited some.
        (filters(child)? > filters(launcher)?).then_some(child)
    });
    signal(child, Signal::STOP);
    child
}

fn signal(process: i32, signal: Signal) {
    kill_process(Pid::from_raw(process).unwrap(), signal).unwrap();
}

fn wait_until_gone(process: i32) {
    wait_for("the end of the parser", || (!fs::exists(format!("/proc/{process}")).unwrap()).then_some(()));
}

fn works(client: &mut Client) {
    let document = parsed(client.call(request(b"# Title\n\nSome text.", LIMITS)));
    assert_eq!(document.parts[0].content, "# Title\n\nSome text.");
}

#[test]
fn a_document_is_parsed_and_leaves_no_process() {
    let engine = EngineProcess::start();
    let mut client = engine.connect();
    works(&mut client);
    let page = b"<html><body><h1>Title</h1><p>Text.</p></body></html>";
    let document = parsed(client.call(request(page, LIMITS)));
    assert_eq!(
        (document.info.format.as_str(), document.parts[0].content.as_str()),
        ("html", "# Title\n\nText.")
    );
    let launcher = launcher(&engine);
    wait_for("the end of all parsers", || children(launcher).is_empty().then_some(()));
    let descriptors = || fs::read_dir(format!("/proc/{}/fd", engine.pid())).unwrap().count();
    let before = descriptors();
    (0..20).for_each(|_| works(&mut client));
    assert_eq!(descriptors(), before);
}

#[test]
fn a_document_that_overflows_the_stack_ends_its_parser_alone() {
    let engine = EngineProcess::start();
    let mut client = engine.connect();
    let mut file = b"%PDF-1.4\n1 0 obj\n<< /Type /Catalog /Pages 2 0 R /Deep ".to_vec();
    file.extend(vec![b'['; 5_000_000]);
    file.extend(b"\n>>\nendobj\ntrailer << /Root 1 0 R >>\nstartxref\n9\n%%EOF\n");
    let failure = failed(client.call(request(&file, LIMITS)));
    assert!(matches!(failure.kind, FailureKind::OverLimit | FailureKind::UnreadableFile), "{failure:?}");
    works(&mut client);
    assert!(matches!(client.call(embed(&["the cat"])), Response::Vectors(_)));
}

#[test]
fn memory_and_time_are_limited() {
    let engine = EngineProcess::start();
    let mut client = engine.connect();
    let failure = failed(client.call(request(&slow(), ParseLimits { memory_mb: 64, ..LIMITS })));
    assert_eq!(failure.kind, FailureKind::OverLimit, "{failure:?}");
    client.send(request(&slow(), ParseLimits { timeout_ms: 3_000, ..LIMITS }));
    let parser = stop_parser(&engine);
    let failure = failed(client.receive().body);
    assert_eq!(failure.kind, FailureKind::OverLimit);
    assert_eq!(failure.message, "parsing the document took longer than 3000 ms");
    wait_until_gone(parser);
    works(&mut client);
}

#[test]
fn a_parser_that_is_killed_is_reported() {
    let engine = EngineProcess::start();
    let mut client = engine.connect();
    client.send(request(&slow(), LIMITS));
    signal(stop_parser(&engine), Signal::KILL);
    let failure = failed(client.receive().body);
    assert_eq!(failure.kind, FailureKind::EngineLost);
    assert_eq!(failure.message, "the parser was killed while it read the document");
    works(&mut client);
}

#[test]
fn a_cancel_and_a_closed_connection_kill_the_parser() {
    let engine = EngineProcess::start();
    let mut client = engine.connect();
    let id = client.send(request(&slow(), LIMITS));
    let parser = stop_parser(&engine);
    client.send(Request::Cancel { request: id });
    wait_until_gone(parser);
    client.send(request(&slow(), LIMITS));
    let parser = stop_parser(&engine);
    drop(client);
    wait_until_gone(parser);
    works(&mut engine.connect());
}

#[test]
fn parsers_and_their_launcher_die_with_the_engine() {
    let engine = EngineProcess::start();
    let mut client = engine.connect();
    client.send(request(&slow(), LIMITS));
    let (parser, launcher) = (stop_parser(&engine), launcher(&engine));
    signal(engine.pid(), Signal::KILL);
    wait_until_gone(parser);
    wait_until_gone(launcher);
}
