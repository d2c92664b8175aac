//! Splitting long documents does not block other work, and stops when its client no longer waits.
#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use ragstone_core::protocol::{Caller, Chunk, ChunkOptions, Request, Response, Splitter};
use rustix::process::{Pid, Signal, kill_process};
use support::{CALLER, Client, EngineProcess, MODEL, wait_for};

/// A request that takes hours, since each chunk has a single new token.
fn endless() -> Request {
    let options = ChunkOptions { splitter: Splitter::Text, size: 4000, overlap: 3999 };
    Request::Chunk { model: MODEL.into(), caller: CALLER, options, documents: vec!["cat ".repeat(1 << 20)] }
}

/// A request that has to wait for a turn.
fn long() -> Request {
    long_of(CALLER)
}

fn long_of(caller: Caller) -> Request {
    let options = ChunkOptions { splitter: Splitter::Text, size: 256, overlap: 0 };
    Request::Chunk { model: MODEL.into(), caller, options, documents: vec!["the cat sat. ".repeat(6 << 10)] }
}

fn chunks(answer: Response) -> Vec<Chunk> {
    match answer {
        Response::Chunks(mut documents) => documents.remove(0),
        other => panic!("{other:?}"),
    }
}

fn processors() -> usize {
    std::thread::available_parallelism().unwrap().get()
}

/// Starts clients with endless requests, some of which have turns. Returns each client with the number of its request.
fn begin_cuts(engine: &EngineProcess, clients: usize) -> Vec<(Client, u64)> {
    let begin = |_| {
        let mut client = engine.connect();
        let request = client.send(endless());
        (client, request)
    };
    let mut cutting: Vec<_> = (0..clients).map(begin).collect();
    // Once this is answered, the engine has read the earlier request.
    cutting.iter_mut().for_each(|(client, _)| drop(client.stats()));
    cutting
}

#[test]
fn everything_else_is_answered_while_documents_are_cut() {
    let engine = EngineProcess::start();
    let _cutting = begin_cuts(&engine, processors() + 2);
    let mut client = engine.connect();
    assert!(client.stats().clients > 1);
    assert!(matches!(client.call(Request::Models), Response::Models(_)));
    assert!(matches!(client.call(Request::Describe { model: MODEL.into() }), Response::Models(_)));
    let texts = vec!["the cat".into()];
    assert!(matches!(
        client.call(Request::Count { model: MODEL.into(), caller: CALLER, texts }),
        Response::Counts(_)
    ));
    let options = ChunkOptions { splitter: Splitter::Text, size: 4, overlap: 0 };
    let documents = vec!["the cat sat on the mat".into()];
    assert_eq!(
        chunks(client.call(Request::Chunk { model: MODEL.into(), caller: CALLER, options, documents })).len(),
        2
    );
    // This frame is decoded in another thread.
    client.embed(&["cat ".repeat(1 << 19).as_str()]);
}

#[test]
fn a_cancelled_cut_ends() {
    let engine = EngineProcess::start();
    let mut cutting = begin_cuts(&engine, processors() + 2);
    for (client, request) in &mut cutting {
        client.send(Request::Cancel { request: *request });
    }
    assert!(chunks(engine.connect().call(long())).len() > 50);
}

#[test]
fn a_cut_of_a_client_that_went_ends() {
    let engine = EngineProcess::start();
    drop(begin_cuts(&engine, processors() + 2));
    assert!(chunks(engine.connect().call(long())).len() > 50);
}

#[test]
fn cuts_have_their_turns_in_the_order_in_which_they_came() {
    let engine = EngineProcess::start();
    let mut cutting = begin_cuts(&engine, processors());
    let mut client = engine.connect();
    let [first, cancelled, last] = [client.send(long()), client.send(long()), client.send(long())];
    client.send(Request::Cancel { request: cancelled });
    client.stats();
    cutting.pop();
    assert_eq!([client.receive().id, client.receive().id], [first, last]);
}

#[test]
fn cuts_of_a_role_that_do_not_end_leave_turns_to_others() {
    let engine = EngineProcess::start();
    let _cutting = begin_cuts(&engine, 3 * processors());
    let other = Caller { role: CALLER.role + 1, ..CALLER };
    assert!(chunks(engine.connect().call(long_of(other))).len() > 50);
}

#[test]
fn sigterm_ends_an_engine_that_cuts_documents() {
    let mut engine = EngineProcess::start();
    let mut cutting = begin_cuts(&engine, processors() + 2);
    kill_process(Pid::from_raw(engine.pid()).unwrap(), Signal::TERM).unwrap();
    let status = wait_for("the end of the engine", || engine.exit_status());
    assert!(status.success(), "{status:?}");
    assert!(cutting.iter_mut().all(|(client, _)| client.is_closed_by_the_engine()));
}

#[test]
fn a_long_text_has_as_many_tokens_as_its_parts() {
    let engine = EngineProcess::start();
    let mut client = engine.connect();
    let part = "the cat sat on the mat, unlike dogs. ";
    let texts = vec![part.into(), part.repeat(10_000)];
    let Response::Counts(counts) = client.call(Request::Count { model: MODEL.into(), caller: CALLER, texts })
    else {
        panic!()
    };
    assert_eq!(counts[1], 10_000 * counts[0]);
}
