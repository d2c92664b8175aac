//! Malformed frames: the engine refuses them, serves other clients meanwhile, and keeps nothing of them.
#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::fs;

use ragstone_core::protocol::{
    ChunkOptions, JobRun, Kind, Lane, PREFIX, PROTOCOL, Progress, Request, Splitter, encode,
};
use ragstone_tests::chance::Chance;
use support::{
    CALLER, EngineProcess, MODEL,
    calls::{ask, prompt, target},
    embed, embed_with, wait_for,
};

/// Number of frames to send; the environment variable `RAGSTONE_MUTATED_FRAMES` overrides it.
const FRAMES: usize = 10_000;

const FRAMES_PER_CONNECTION: usize = 20;

/// Maximum growth of the engine's memory during the test, in kB.
const MAX_GROWTH: u64 = 64 << 10;

#[test]
fn mutated_frames_do_no_harm() {
    let count = std::env::var("RAGSTONE_MUTATED_FRAMES").ok().and_then(|count| count.parse().ok());
    let seed = Chance::seed("RAGSTONE_FRAMES_SEED");
    eprintln!("RAGSTONE_FRAMES_SEED={seed}");
    let chance = Chance::of(seed);
    let frames: Vec<Vec<u8>> = requests().into_iter().map(|request| encode(1, request).unwrap()).collect();
    let mut engine = EngineProcess::start();
    let mut other = engine.connect();
    let mut expected = None;
    let mut before = (0, 0);
    let mut sent = 0;
    while sent < count.unwrap_or(FRAMES) {
        let mut client = engine.connect();
        for _ in 0..FRAMES_PER_CONNECTION {
            if !client.sends(&mutated(&chance, chance.pick::<Vec<u8>>(&frames))) {
                break;
            }
            sent += 1;
        }
        drop(client);
        let vectors = other.embed(&["the cat sat on the mat"]).values;
        assert_eq!(expected.get_or_insert_with(|| vectors.clone()), &vectors);
        if before == (0, 0) {
            before = (resident_kb(engine.pid()), descriptors(engine.pid()));
        }
    }
    assert!(engine.exit_status().is_none());
    wait_for("closed connections", || (descriptors(engine.pid()) <= before.1).then_some(()));
    let growth = resident_kb(engine.pid()).saturating_sub(before.0);
    assert!(growth < MAX_GROWTH, "{growth} kB more");
    drop(other);
    let said = engine.end();
    assert!(!said.contains("panicked"), "{said}");
}

fn requests() -> Vec<Request> {
    let run = JobRun { database: 5, table: 1, job: 1, attempt: 1 };
    let options = ChunkOptions { splitter: Splitter::Markdown, size: 16, overlap: 2 };
    let texts = || vec!["the cat".to_owned(), "# a\n\nmat".to_owned()];
    vec![
        Request::Hello { protocol: PROTOCOL, version: "test".into() },
        embed(&["the cat sat", "on the mat"]),
        embed_with(MODEL, Kind::Query, &["the cat"]),
        Request::Embed {
            model: MODEL.into(),
            kind: Kind::Document,
            lane: Lane::Query,
            caller: CALLER,
            texts: texts(),
        },
        Request::Chunk { model: MODEL.into(), caller: CALLER, options, documents: texts() },
        // No server listens at this address.
        ask(target("http://127.0.0.1:1"), prompt(), true),
        Request::Count { model: MODEL.into(), caller: CALLER, texts: texts() },
        Request::TakeCalls { database: 5, written: 0 },
        Request::CallsLeft { database: 5 },
        Request::Models,
        Request::Describe { model: MODEL.into() },
        Request::Stats,
        Request::Report(Progress {
            database: 5,
            pid: 42,
            subject: "manual".into(),
            done: 1,
            total: 10,
            elapsed_ms: 1,
        }),
        Request::Reports,
        Request::Cancel { request: 1 },
        Request::PostPiece { run, seq: 1, piece: "piece".into() },
        Request::NextPieces { run, after: 0, wait_ms: 10 },
        Request::EndPieces(run),
        Request::Check { caller: CALLER, schema: r#"{"type": "object"}"#.into(), answer: "{}".into() },
        Request::TakeLog { database: 5, written: 0 },
    ]
}

/// A frame with a change: some bytes of its body or length, a part left out, or a part repeated.
fn mutated(chance: &Chance, frame: &[u8]) -> Vec<u8> {
    let mut frame = frame.to_vec();
    let byte = || u8::try_from(chance.below(256)).unwrap();
    match chance.below(10) {
        0 => frame[chance.below(PREFIX)] = byte(),
        1 => frame.truncate(chance.below(frame.len())),
        2 => {
            let start = chance.below(frame.len());
            let part = frame[start..].to_vec();
            frame.extend(part);
        }
        _ => {
            for _ in 0..=chance.below(4) {
                let place = PREFIX + chance.below(frame.len() - PREFIX);
                frame[place] = byte();
            }
        }
    }
    frame
}

fn resident_kb(pid: i32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

fn descriptors(pid: i32) -> usize {
    fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count()
}
