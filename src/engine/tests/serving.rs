//! The answers of an engine, and which clients get them.
#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::fs;

use ragstone_core::failure::FailureKind;
use ragstone_core::protocol::{
    ChunkOptions, JobRun, Kind, Lane, MAX_FRAME, Model, PROTOCOL, Progress, Request, Response, Splitter,
};
use support::{CALLER, Client, EngineProcess, MODEL, embed, embed_with, wait_for};

const CAT: [f32; 8] = [0.281991, 0.039267, -0.537625, 0.087076, -0.04004, 0.731794, 0.111754, -0.269633];

fn assert_close(actual: &[f32], expected: &[f32]) {
    assert_eq!(actual.len(), expected.len());
    for (a, b) in actual.iter().zip(expected) {
        assert!((a - b).abs() < 1e-5, "{actual:?} is not {expected:?}");
    }
}

#[test]
fn a_text_becomes_the_vector_that_the_model_gives() {
    let engine = EngineProcess::start();
    let vectors = engine.connect().embed(&["the cat sat on the mat"]);
    assert_close(&vectors.values, &CAT);
    assert_eq!((vectors.dimensions, vectors.max_tokens, vectors.tokens), (8, 16, vec![8]));
    assert_eq!(vectors.fingerprint.len(), 16);
}

#[test]
fn a_text_has_the_same_vector_in_any_company() {
    let engine = EngineProcess::start();
    let mut client = engine.connect();
    let texts: Vec<String> = (0..300).map(|n| format!("the {} {n}", "cat ".repeat(n % 12))).collect();
    let mut texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    texts[150] = "the cat sat on the mat";
    let together = client.embed(&texts);
    assert_close(&together.values[150 * 8..151 * 8], &CAT);
    for index in [0, 7, 299] {
        assert_close(&client.embed(&[texts[index]]).values, &together.values[index * 8..index * 8 + 8]);
    }
}

#[test]
fn the_query_prefix_is_put_before_a_query() {
    let engine = EngineProcess::start();
    let mut client = engine.connect();
    let Response::Vectors(query) = client.call(embed_with(MODEL, Kind::Query, &["the cat"])) else {
        panic!()
    };
    let passage = client.embed(&["query the cat"]);
    assert_eq!(query.values, passage.values);
    assert_eq!(query.tokens, [5]);
}

#[test]
fn a_text_over_the_limit_is_cut_and_says_so() {
    let engine = EngineProcess::start();
    let mut client = engine.connect();
    let long = "cat ".repeat(20);
    let cut = client.embed(&[&long]);
    assert_eq!(cut.tokens, [22]);
    assert_eq!(cut.values, client.embed(&["cat ".repeat(14).as_str()]).values);
}

#[test]
fn a_huge_text_costs_no_more_than_its_head() {
    let engine = EngineProcess::start();
    let mut client = engine.connect();
    let huge = "cat ".repeat(10 << 20);
    let begin = std::time::Instant::now();
    let vectors = client.embed(&[&huge]);
    assert!(vectors.tokens[0] > 16);
    assert!(begin.elapsed().as_secs() < 10, "{:?}", begin.elapsed());
    assert_eq!(vectors.values, client.embed(&["cat ".repeat(14).as_str()]).values);
}

#[test]
fn no_texts_are_no_vectors() {
    let engine = EngineProcess::start();
    let vectors = engine.connect().embed(&[]);
    assert_eq!((vectors.values.len(), vectors.dimensions), (0, 8));
}

#[test]
fn answers_carry_the_number_of_their_request() {
    let engine = EngineProcess::start();
    let mut client = engine.connect();
    let ids: Vec<u64> = ["cat", "dog", "mat"].iter().map(|text| client.send(embed(&[text]))).collect();
    let mut answered: Vec<u64> = ids.iter().map(|_| client.receive().id).collect();
    answered.sort_unstable();
    assert_eq!(answered, ids);
}

#[test]
fn a_client_of_another_version_is_told_and_sent_away() {
    let engine = EngineProcess::start();
    let mut client = Client::raw(&engine.socket());
    let failure = client.failure(Request::Hello { protocol: PROTOCOL + 1, version: "9".into() });
    assert_eq!(failure.kind, FailureKind::Protocol);
    assert_eq!(
        failure.message,
        format!("protocol version of the client: expected {PROTOCOL}, actual {}", PROTOCOL + 1)
    );
    assert!(client.is_closed_by_the_engine());
}

#[test]
fn a_client_that_does_not_greet_is_sent_away() {
    let engine = EngineProcess::start();
    let mut client = Client::raw(&engine.socket());
    assert_eq!(client.failure(Request::Stats).kind, FailureKind::Protocol);
    assert!(client.is_closed_by_the_engine());
}

#[test]
fn nonsense_ends_the_connection_and_not_the_engine() {
    let engine = EngineProcess::start();
    let mut client = engine.connect();
    client.send_bytes(&[3, 0, 0, 0, 255, 255, 255]);
    assert!(
        matches!(client.receive().body, Response::Failed(failure) if failure.kind == FailureKind::Protocol)
    );
    assert!(client.is_closed_by_the_engine());
    engine.connect().embed(&["cat"]);
}

#[test]
fn a_frame_over_the_limit_is_refused_by_its_number() {
    let engine = EngineProcess::start();
    let mut client = engine.connect();
    client.send_bytes(&u32::try_from(MAX_FRAME + 1).unwrap().to_le_bytes());
    client.send_bytes(&[200, 1, 0, 0, 0, 0, 0, 0, 0, 0]);
    let frame = client.receive();
    assert_eq!(frame.id, 200);
    assert!(matches!(frame.body, Response::Failed(failure) if failure.kind == FailureKind::OverLimit));
    assert!(client.is_closed_by_the_engine());
}

#[test]
fn more_texts_than_places_are_refused_at_once() {
    let engine = EngineProcess::start_with(&["--queue-limit", "4"]);
    let mut client = engine.connect();
    let failure = client.failure(embed(&["cat"; 5]));
    assert_eq!(failure.kind, FailureKind::QueueFull);
    assert_eq!(
        failure.message,
        "queue of model \"tiny-model\" is full: 5 texts asked for, 0 of 4 places taken, 0 of them by the same role"
    );
    assert!(failure.hint.contains("rag.engine_queue_limit"));
    assert_eq!(client.embed(&["cat"; 4]).tokens.len(), 4);
}

#[test]
fn a_cancelled_request_is_not_answered_and_leaves_the_queue() {
    let engine = EngineProcess::start();
    let mut client = engine.connect();
    client.embed(&["cat"]);
    let request = client.send(embed(&["the cat sat on the mat"; 40_000]));
    client.send(Request::Cancel { request });
    wait_for("an empty queue", || (client.stats().models[0].waiting == 0).then_some(()));
    assert!(client.stats().models[0].texts < 40_000);
    client.embed(&["cat"]);
}

#[test]
fn work_of_a_client_that_went_is_dropped() {
    let engine = EngineProcess::start();
    let mut other = engine.connect();
    other.embed(&["cat"]);
    let mut client = engine.connect();
    client.send(embed(&["the cat sat on the mat"; 40_000]));
    wait_for("its texts in the queue", || (other.stats().models[0].waiting > 0).then_some(()));
    drop(client);
    wait_for("an empty queue", || (other.stats().models[0].waiting == 0).then_some(()));
    let stats = other.stats();
    assert!(stats.models[0].texts < 40_000, "{stats:?}");
    assert_eq!(stats.clients, 1);
}

#[test]
fn a_client_that_went_leaves_no_descriptor() {
    let engine = EngineProcess::start();
    let mut other = engine.connect();
    other.embed(&["cat"]);
    let descriptors = || fs::read_dir(format!("/proc/{}/fd", engine.pid())).unwrap().count();
    let before = descriptors();
    for number in 0..50 {
        let run = JobRun { database: 5, table: 1, job: number.into(), attempt: 1 };
        let database = 100 + number;
        let mut client = engine.connect();
        client.send(Request::NextPieces { run, after: 0, wait_ms: 3_600_000 });
        client.send(Request::TakeCalls { database, written: 0 });
        client.send(Request::TakeLog { database, written: 0 });
    }
    wait_for("the clients' descriptors to be closed", || (descriptors() <= before).then_some(()));
}

#[test]
fn a_query_overtakes_bulk() {
    let engine = EngineProcess::start();
    let (mut bulk, mut client) = (engine.connect(), engine.connect());
    client.embed(&["cat"]);
    let request = bulk.send(embed(&["the cat sat on the mat"; 40_000]));
    wait_for("bulk in the queue", || (client.stats().models[0].waiting > 1000).then_some(()));
    let query = Request::Embed {
        model: MODEL.into(),
        kind: Kind::Query,
        lane: Lane::Query,
        caller: CALLER,
        texts: vec!["cat".into()],
    };
    assert!(matches!(client.call(query), Response::Vectors(_)));
    assert!(client.stats().models[0].waiting > 0, "the query was served after all of the bulk");
    assert_eq!(bulk.receive().id, request);
}

#[test]
fn models_are_described_without_their_weights() {
    let engine = EngineProcess::start();
    let mut client = engine.connect();
    let mut describe = |request| match client.call(request) {
        Response::Models(models) => models,
        other => panic!("{other:?}"),
    };
    let models = describe(Request::Models);
    assert_eq!(models, describe(Request::Describe { model: MODEL.into() }));
    let [model] = models.as_slice() else { panic!("{models:?}") };
    assert_eq!(
        (model.name.as_str(), model.dimensions, model.max_tokens, model.special_tokens),
        (MODEL, 8, 16, 2)
    );
    assert!(matches!(model, Model { loaded: false, runtime: None, error: None, normalized: true, .. }));
    client.embed(&["cat"]);
    let Response::Models(models) = client.call(Request::Models) else { panic!() };
    assert_eq!((models[0].loaded, models[0].runtime.as_deref()), (true, Some("onnxruntime")));
}

#[test]
fn documents_are_cut_in_the_models_tokens() {
    let engine = EngineProcess::start();
    let mut client = engine.connect();
    let chunk = |options| Request::Chunk {
        model: MODEL.into(),
        caller: CALLER,
        options,
        documents: vec!["# A\n\nthe cat sat. the dog sat on the mat.".into(), String::new()],
    };
    let options = ChunkOptions { splitter: Splitter::Markdown, size: 8, overlap: 0 };
    let Response::Chunks(chunks) = client.call(chunk(options)) else { panic!() };
    assert!(chunks[1].is_empty());
    assert!(
        chunks[0].len() > 1 && chunks[0].iter().all(|chunk| chunk.tokens <= 8 && chunk.headings == ["A"])
    );
    let failure = client.failure(chunk(ChunkOptions { size: 0, ..options }));
    assert_eq!(
        (failure.kind, failure.message.as_str()),
        (FailureKind::BadArgument, "chunk size: expected at least 1 token, actual 0")
    );
}

#[test]
fn reports_of_progress_last_as_long_as_their_client() {
    let engine = EngineProcess::start();
    let (mut worker, mut reader) = (engine.connect(), engine.connect());
    let progress =
        |done, total| Progress { database: 5, pid: 42, subject: "manual".into(), done, total, elapsed_ms: 1 };
    let mut reports = || match reader.call(Request::Reports) {
        Response::Reports(reports) => reports,
        other => panic!("{other:?}"),
    };
    worker.send(Request::Report(progress(1, 10)));
    worker.send(Request::Report(progress(2, 10)));
    wait_for("the second report", || (reports() == [progress(2, 10)]).then_some(()));
    worker.send(Request::Report(progress(0, 0)));
    wait_for("the end of the report", || reports().is_empty().then_some(()));
    worker.send(Request::Report(progress(3, 10)));
    wait_for("the third report", || (!reports().is_empty()).then_some(()));
    drop(worker);
    wait_for("the end of the client", || reports().is_empty().then_some(()));
}
