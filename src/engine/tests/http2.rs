//! Calls over HTTP/2, where all sessions share one connection to a provider.
#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::sync::mpsc::channel;

use ragstone_core::failure::FailureKind;
use ragstone_core::protocol::{Request, Response};
use ragstone_tests::provider::{Gate, Part, Provider, Reply};
use support::{
    Client, EngineProcess,
    calls::{ask, completed, prompt, target},
};

/// An engine that trusts a provider which speaks HTTP/2.
fn start_engine_and_provider(
    script: impl IntoIterator<Item = Reply>,
) -> (EngineProcess, Provider, tempfile::TempDir) {
    let provider = Provider::start_http2(script).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("authority.pem");
    provider.write_certificate(&file).unwrap();
    (EngineProcess::start_in(&[("SSL_CERT_FILE", file.to_str().unwrap())]), provider, folder)
}

#[test]
fn sessions_share_a_connection_and_do_not_wait_for_each_other() {
    let gate = Gate::new();
    let (engine, provider, _folder) =
        start_engine_and_provider([Reply::chat("first"), Reply::chat("held").behind(&gate)]);
    completed(engine.connect().call(ask(target(&provider.url()), prompt(), false)));
    let mut clients: Vec<Client> = (0..8).map(|_| engine.connect()).collect();
    for client in &mut clients {
        let mut target = target(&provider.url());
        target.limits.concurrency = 16;
        client.send(ask(target, prompt(), false));
    }
    assert!(provider.wait_for_requests(9));
    // The last request is answered first.
    provider.script([Reply::chat_stream(&["hel", "lo"])]);
    let mut late = target(&provider.url());
    late.limits.concurrency = 18;
    let mut client = engine.connect();
    client.send(ask(late, prompt(), true));
    assert_eq!(client.receive().body, Response::Piece("hel".into()));
    assert_eq!(client.receive().body, Response::Piece("lo".into()));
    assert_eq!(completed(client.receive().body).content, "hello");
    gate.open();
    for client in &mut clients {
        assert_eq!(completed(client.receive().body).content, "held");
    }
    assert_eq!((provider.connections(), provider.most_at_once()), (1, 9));
    assert_eq!(provider.requests()[0].header("authorization"), Some("Bearer sk-very-secret-key"));
}

#[test]
fn a_cancelled_call_resets_its_own_stream_and_leaves_the_others() {
    let gate = Gate::new();
    let stalled = Reply::stream([Part::piece("hel"), Part::Stall]);
    let (engine, provider, _folder) =
        start_engine_and_provider([stalled, Reply::stall(), Reply::chat("held").behind(&gate)]);
    let mut client = engine.connect();
    for (number, stream) in [(0, true), (1, false)] {
        let request = client.send(ask(target(&provider.url()), prompt(), stream));
        assert!(provider.wait_for_requests(number + 1));
        let mut other = engine.connect();
        if number == 1 {
            other.send(ask(target(&provider.url()), prompt(), false));
            assert!(provider.wait_for_requests(3));
        }
        client.send(Request::Cancel { request });
        assert!(provider.wait_until_abandoned(number), "stream {number} was not reset");
        if number == 1 {
            gate.open();
            assert_eq!(completed(other.receive().body).content, "held");
        }
    }
    assert_eq!(provider.connections(), 1);
}

#[test]
fn a_stream_that_is_reset_is_lost_and_the_connection_is_not() {
    let gate = Gate::new();
    let cut = Reply::stream([Part::piece("hel"), Part::Gate(gate.clone()), Part::Break]);
    let (engine, provider, _folder) = start_engine_and_provider([cut, Reply::chat("hello")]);
    let mut client = engine.connect();
    client.send(ask(target(&provider.url()), prompt(), true));
    assert_eq!(client.receive().body, Response::Piece("hel".into()));
    gate.open();
    let Response::Failed(failure) = client.receive().body else { panic!() };
    assert_eq!(failure.kind, FailureKind::ProviderLost);
    completed(client.call(ask(target(&provider.url()), prompt(), false)));
    assert_eq!(provider.connections(), 1);
}

/// All later calls would use the same dead connection; with HTTP/1.1 a dead connection harms a single call.
#[test]
fn a_connection_that_is_dead_is_replaced() {
    let (end, hold) = channel::<()>();
    let hold = std::sync::Mutex::new(hold);
    // The thread that serves the connection is blocked here, so that nothing is read or written any more.
    let dead = Reply::by(move |_| {
        let _ = hold.lock().unwrap().recv();
        Reply::hang_up()
    });
    let (engine, provider, _folder) = start_engine_and_provider([dead, Reply::chat("hello")]);
    let mut target = target(&provider.url());
    target.limits.timeout_ms = 60_000;
    let answer = completed(engine.connect().call(ask(target, prompt(), false)));
    assert_eq!((answer.content.as_str(), provider.connections()), ("hello", 2));
    drop(end);
}
