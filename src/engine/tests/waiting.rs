//! Calls to providers that wait: for a permit, for an answer, or until they are cancelled.
#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use ragstone_core::failure::FailureKind;
use ragstone_core::protocol::{Request, Response};
use ragstone_core::provider::Account;
use ragstone_tests::provider::{Gate, Part, Provider, Reply};
use support::{
    Client, EngineProcess,
    calls::{ask, completed, failure, prompt, target},
};

#[test]
fn a_cancelled_call_closes_its_connection() {
    for (stream, reply) in [(false, Reply::stall()), (true, Reply::stream([Part::piece("hel"), Part::Stall]))]
    {
        let provider = Provider::start([reply]).unwrap();
        let engine = EngineProcess::start();
        let mut client = engine.connect();
        let request = client.send(ask(target(&provider.url()), prompt(), stream));
        assert!(provider.wait_for_requests(1));
        client.send(Request::Cancel { request });
        assert!(provider.wait_until_abandoned(0));
        // The first piece may have come before the end.
        let stats = client.send(Request::Stats);
        assert!(std::iter::repeat_with(|| client.receive()).take(2).any(|frame| frame.id == stats));
    }
}

#[test]
fn the_end_of_a_client_is_the_end_of_its_calls() {
    let provider = Provider::start([Reply::stall()]).unwrap();
    let engine = EngineProcess::start();
    let mut client = engine.connect();
    client.send(ask(target(&provider.url()), prompt(), false));
    assert!(provider.wait_for_requests(1));
    drop(client);
    assert!(provider.wait_until_abandoned(0));
}

#[test]
fn no_more_calls_are_made_at_once_than_allowed() {
    let gate = Gate::new();
    let held = Reply::stream([Part::Gate(gate.clone()), Part::end()]);
    let provider = Provider::start([held]).unwrap();
    let engine = EngineProcess::start();
    let mut clients: Vec<Client> = (0..5).map(|_| engine.connect()).collect();
    for client in &mut clients {
        let mut target = target(&provider.url());
        target.limits.concurrency = 4;
        client.send(ask(target, prompt(), true));
    }
    assert!(provider.wait_for_requests(2));
    let mut hasty = engine.connect();
    let mut target = target(&provider.url());
    (target.limits.concurrency, target.limits.timeout_ms) = (4, 100);
    let failure = hasty.failure(ask(target.clone(), prompt(), false));
    assert_eq!(failure.message, "no turn to call provider \"openai\" within 100 ms");
    assert_eq!(failure.kind, FailureKind::ProviderLost);
    // The other half is for other roles.
    let mut other = engine.connect();
    target.limits.timeout_ms = 30_000;
    let account = Account { role: 11, ..Account::default() };
    let (target, prompt) = (Box::new(target), Box::new(prompt()));
    other.send(Request::Complete { target, prompt, account, stream: true });
    assert!(provider.wait_for_requests(3));
    gate.open();
    clients.push(other);
    clients.iter_mut().for_each(|client| drop(completed(client.receive().body)));
    assert!(provider.most_at_once() <= 4);
    assert_eq!(provider.requests().len(), 6);
}

#[test]
fn a_rate_over_the_limit_waits_or_fails_at_once() {
    let provider = Provider::start([Reply::chat("hello")]).unwrap();
    let engine = EngineProcess::start();
    let (mut one, mut other) = (engine.connect(), engine.connect());
    let mut target = target(&provider.url());
    (target.limits.requests_per_minute, target.limits.timeout_ms) = (Some(2), 5_000);
    completed(one.call(ask(target.clone(), prompt(), false)));
    completed(other.call(ask(target.clone(), prompt(), false)));
    let failure = one.failure(ask(target.clone(), prompt(), false));
    assert_eq!(failure.kind, FailureKind::RateLimited);
    assert_eq!(failure.message, "no turn to call provider \"openai\": 2 requests a minute are used up");
    // With a higher limit the next turn comes soon.
    target.limits.requests_per_minute = Some(600);
    completed(one.call(ask(target, prompt(), false)));
    assert_eq!(provider.requests().len(), 3);
}

#[test]
fn a_connection_is_used_again_by_all_sessions() {
    let provider = Provider::start([Reply::chat("a"), Reply::chat_stream(&["b"]), Reply::chat("c")]).unwrap();
    let engine = EngineProcess::start();
    for stream in [false, true, false] {
        let mut client = engine.connect();
        client.send(ask(target(&provider.url()), prompt(), stream));
        while !matches!(client.receive().body, Response::Completed(_)) {}
    }
    assert_eq!((provider.requests().len(), provider.connections()), (3, 1));
}

#[test]
fn a_stalled_stream_ends_with_the_calls_time() {
    let provider = Provider::start([Reply::stream([Part::piece("hel"), Part::Stall])]).unwrap();
    let engine = EngineProcess::start();
    let mut target = target(&provider.url());
    target.limits.timeout_ms = 300;
    let mut client = engine.connect();
    client.send(ask(target, prompt(), true));
    assert_eq!(client.receive().body, Response::Piece("hel".into()));
    let Response::Failed(failure) = client.receive().body else { panic!() };
    assert_eq!(failure.kind, FailureKind::ProviderLost);
    assert_eq!(failure.message, "provider \"openai\" did not end its answer within 300 ms");
    assert!(provider.wait_until_abandoned(0));
}

#[test]
fn a_provider_that_says_nothing_is_given_up() {
    let (failure, provider) = failure([Reply::stall()], |target| target.limits.timeout_ms = 200);
    assert_eq!(failure.kind, FailureKind::ProviderLost);
    assert_eq!(failure.message, "provider \"openai\" did not answer within 200 ms");
    assert!(provider.wait_until_abandoned(0));
}
