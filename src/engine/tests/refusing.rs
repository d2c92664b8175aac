//! Failing calls to providers: which side is at fault, and what the message says.
#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::time::{Duration, Instant};

use ragstone_core::failure::FailureKind;
use ragstone_core::protocol::Response;
use ragstone_tests::provider::{Part, Provider, Reply};
use support::{
    EngineProcess,
    calls::{self, KEY, ask, completed, failure, prompt, target},
};

#[test]
fn a_refusal_that_may_pass_is_tried_again_as_the_provider_says() {
    let slow_down = Reply::status(429).header("retry-after", "1");
    let provider = Provider::start([slow_down, Reply::status(503), Reply::chat("hello")]).unwrap();
    let engine = EngineProcess::start();
    let begin = Instant::now();
    let answer = completed(engine.connect().call(ask(target(&provider.url()), prompt(), false)));
    assert_eq!((answer.content.as_str(), provider.requests().len()), ("hello", 3));
    assert!(begin.elapsed() >= Duration::from_secs(1), "{:?}", begin.elapsed());
}

#[test]
fn a_provider_that_wants_more_time_than_there_is_fails_at_once() {
    let begin = Instant::now();
    let (failure, provider) = failure([Reply::status(429).header("retry-after", "120")], |_| {});
    assert_eq!(failure.kind, FailureKind::ProviderRefused);
    assert_eq!(failure.message, "provider \"openai\" refused the request: status 429");
    assert_eq!(failure.detail, "error stub_error; retry after 120 s");
    assert!(failure.hint.contains("requests_per_minute"), "{failure:?}");
    assert!(begin.elapsed() < Duration::from_secs(10) && provider.requests().len() == 1);
    let (failure, _) =
        calls::failure([Reply::status(503).header("retry-after", "10000000000000000000")], |_| {});
    assert_eq!(failure.message, "provider \"openai\" refused the request: status 503");
}

#[test]
fn errors_of_the_provider_are_told_after_the_last_try() {
    for status in [500, 503] {
        let (failure, provider) = failure([Reply::status(status)], |target| target.limits.retries = 1);
        assert_eq!(failure.kind, FailureKind::ProviderRefused);
        assert_eq!(failure.message, format!("provider \"openai\" refused the request: status {status}"));
        assert_eq!((failure.detail.as_str(), provider.requests().len()), ("error stub_error; 2 tries", 2));
    }
}

#[test]
fn a_refused_key_and_an_unknown_model_are_not_tried_again() {
    let body = format!(
        r#"{{"error":{{"message":"Incorrect API key: {KEY}","type":"{KEY}","code":"invalid_api_key"}}}}"#
    );
    let (failure, provider) = failure([Reply::status(401).body(body)], |_| {});
    assert_eq!((failure.kind, failure.detail.as_str()), (FailureKind::KeyRefused, "error invalid_api_key"));
    assert!(failure.hint.contains("api_key") && provider.requests().len() == 1, "{failure:?}");
    let (failure, provider) = calls::failure([Reply::status(404)], |_| {});
    assert_eq!(failure.kind, FailureKind::ModelRefused);
    assert!(failure.hint.contains("model") && provider.requests().len() == 1, "{failure:?}");
}

#[test]
fn too_long_a_prompt_is_over_a_limit() {
    for body in [
        r#"{"error":{"message":"my secret question is too long","code":"context_length_exceeded"}}"#,
        r#"{"error":{"code":400,"message":"request (9 tokens) exceeds the available context size","type":"exceed_context_size_error","n_ctx":4}}"#,
    ] {
        let (failure, _) = failure([Reply::status(400).body(body)], |_| {});
        assert_eq!(failure.kind, FailureKind::OverLimit);
        assert!(failure.hint.contains("larger context"), "{failure:?}");
    }
}

#[test]
fn an_answer_cut_in_the_middle_is_lost_and_not_asked_for_again() {
    let cut = Reply::announced(1000, [Part::Bytes(b"{\"choices\":".to_vec()), Part::Break]);
    let (failure, provider) = failure([cut], |_| {});
    assert_eq!(failure.kind, FailureKind::ProviderLost);
    assert_eq!(
        (failure.message.as_str(), provider.requests().len()),
        ("answer of provider \"openai\" broke off", 1)
    );
}

#[test]
fn a_stream_cut_in_the_middle_is_lost_after_its_pieces() {
    for cut in [Reply::stream([Part::piece("hel"), Part::Break]), Reply::stream([Part::piece("hel")])] {
        let provider = Provider::start([cut]).unwrap();
        let engine = EngineProcess::start();
        let mut client = engine.connect();
        client.send(ask(target(&provider.url()), prompt(), true));
        assert_eq!(client.receive().body, Response::Piece("hel".into()));
        let Response::Failed(failure) = client.receive().body else { panic!() };
        assert_eq!(failure.kind, FailureKind::ProviderLost);
        assert_eq!(provider.requests().len(), 1);
    }
}

#[test]
fn a_connection_lost_before_the_answer_is_tried_again() {
    let provider = Provider::start([Reply::hang_up(), Reply::chat("hello")]).unwrap();
    let engine = EngineProcess::start();
    let answer = completed(engine.connect().call(ask(target(&provider.url()), prompt(), false)));
    assert_eq!((answer.content.as_str(), provider.requests().len()), ("hello", 2));
    let (failure, provider) = failure([Reply::hang_up()], |_| {});
    assert_eq!(failure.message, "provider \"openai\" closed the connection before it answered");
    assert_eq!((failure.kind, provider.requests().len()), (FailureKind::ProviderLost, 3));
}

#[test]
fn what_is_no_json_is_malformed() {
    for (body, detail) in [
        ("my secret", "no JSON, line 1 column 1"),
        ("{\"choices\":[", "JSON that ends too early, line 1 column 12"),
        ("{\"choices\":\"secret\"}", "an answer without choices"),
        ("{\"secret\":1}", "an answer without choices"),
    ] {
        let (failure, _) = failure([Reply::text(body)], |_| {});
        assert_eq!(failure.kind, FailureKind::ProviderMalformed);
        assert_eq!(failure.message, "answer of provider \"openai\" is not what the protocol openai says");
        assert_eq!(failure.detail, detail);
    }
}

#[test]
fn a_gigabyte_is_cut_at_the_limit() {
    let announced = Reply::announced(1 << 30, [Part::Spaces(1 << 30)]);
    let unannounced = Reply::stream([Part::Spaces(1 << 30)]).header("content-type", "application/json");
    for reply in [announced, unannounced] {
        let (failure, provider) = failure([reply], |_| {});
        assert_eq!(failure.kind, FailureKind::OverLimit);
        assert_eq!(failure.message, "answer of provider \"openai\" is over the limit of 1048576 bytes");
        assert!(failure.hint.contains("max_reply_bytes") && provider.wait_until_abandoned(0));
    }
    let provider = Provider::start([Reply::stream([Part::Spaces(1 << 30)])]).unwrap();
    let failure = EngineProcess::start().connect().failure(ask(target(&provider.url()), prompt(), true));
    assert_eq!(failure.kind, FailureKind::OverLimit);
}

#[test]
fn a_redirect_is_not_followed_and_names_the_host() {
    let elsewhere = Provider::start([Reply::chat("stolen")]).unwrap();
    let location = format!("http://other.example/{KEY}");
    for location in [location, elsewhere.url()] {
        let (failure, _) = failure([Reply::status(307).header("location", &location)], |_| {});
        assert_eq!(failure.kind, FailureKind::ProviderRefused);
        assert_eq!(failure.message, "provider \"openai\" refused the request: status 307");
        assert!(failure.detail.contains("redirect to host "), "{failure:?}");
    }
    assert_eq!(elsewhere.connections(), 0);
}

#[test]
fn a_certificate_counts_only_from_an_authority_that_is_trusted() {
    let provider = Provider::start_tls([Reply::chat("hello")]).unwrap();
    let failure = EngineProcess::start().connect().failure(ask(target(&provider.url()), prompt(), false));
    assert_eq!(failure.kind, FailureKind::ProviderUnreachable);
    assert!(
        failure.message.starts_with("cannot reach provider \"openai\": its certificate is not accepted: "),
        "{failure:?}"
    );
    assert!(failure.hint.contains("SSL_CERT_FILE"), "{failure:?}");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("authority.pem");
    provider.write_certificate(&file).unwrap();
    let engine = EngineProcess::start_in(&[("SSL_CERT_FILE", file.to_str().unwrap())]);
    let answer = completed(engine.connect().call(ask(target(&provider.url()), prompt(), false)));
    assert_eq!(answer.content, "hello");
}

#[test]
fn a_connection_has_a_time_of_its_own() {
    // The kernel accepts the connection, and the client's TLS hello is never answered.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut target = target(&format!("https://{}/v1", listener.local_addr().unwrap()));
    (target.limits.connect_timeout_ms, target.limits.timeout_ms) = (200, 60_000);
    let begin = Instant::now();
    let failure = EngineProcess::start().connect().failure(ask(target, prompt(), false));
    assert_eq!(failure.kind, FailureKind::ProviderUnreachable);
    assert_eq!(failure.message, "cannot reach provider \"openai\": no connection within 200 ms");
    assert!(failure.hint.contains("network") && begin.elapsed() < Duration::from_secs(20), "{failure:?}");
}

#[test]
fn an_unreachable_provider_is_told_from_an_unknown_name() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let free = format!("http://{}/v1", listener.local_addr().unwrap());
    drop(listener);
    let engine = EngineProcess::start();
    let mut client = engine.connect();
    let failure = client.failure(ask(target(&free), prompt(), false));
    assert_eq!(failure.kind, FailureKind::ProviderUnreachable);
    assert_eq!(failure.message, "cannot reach provider \"openai\": connection refused");
    let failure = client.failure(ask(target("http://nowhere..invalid/v1"), prompt(), false));
    assert_eq!(failure.kind, FailureKind::ProviderUnreachable);
    assert!(
        failure
            .message
            .starts_with("cannot reach provider \"openai\": the name of its host cannot be resolved"),
        "{failure:?}"
    );
}
