//! Calls of providers: what a client of the engine gets, and what the provider sees.
#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::time::{Duration, Instant};

use ragstone_core::{
    protocol::{Failure, FailureKind, Kind, Request, Response, Vectors},
    provider::{
        Account, Completion, Key, Limits, Message, Prices, Prompt, Role, Secret, Target, Wire,
    },
};
use ragstone_tests::provider::{Gate, Part, Provider, Reply};
use serde_json::json;
use support::{Client, Engine};

const KEY: &str = "sk-very-secret-key";

fn target(url: &str) -> Target {
    Target {
        database: 5,
        server: 1,
        name: "openai".into(),
        wire: Wire::OpenAi,
        base_url: url.into(),
        key: Key::Value(Secret(KEY.into())),
        limits: Limits {
            connect_timeout_ms: 5_000,
            timeout_ms: 30_000,
            retries: 2,
            concurrency: 8,
            requests_per_minute: None,
            tokens_per_minute: None,
            max_reply_bytes: 1 << 20,
        },
        prices: Prices { input: 1e6, output: 2e6 },
    }
}

fn prompt() -> Prompt {
    let messages = vec![Message::new(Role::System, "be brief"), Message::new(Role::User, "my secret question")];
    Prompt { model: "m".into(), messages, ..Prompt::default() }
}

fn ask(target: Target, prompt: Prompt, stream: bool) -> Request {
    Request::Complete { target: Box::new(target), prompt: Box::new(prompt), account: Account::default(), stream }
}

fn completed(response: Response) -> Completion {
    match response {
        Response::Completed(completion) => *completion,
        other => panic!("{other:?}"),
    }
}

/// The failure of a call to a provider with this script, and what the provider saw. No failure tells a secret.
fn failure(script: impl IntoIterator<Item = Reply>, change: impl FnOnce(&mut Target)) -> (Failure, Provider) {
    let provider = Provider::start(script).unwrap();
    let mut target = target(&provider.url());
    change(&mut target);
    let failure = Engine::start().connect().failure(ask(target, prompt(), false));
    assert_tells_no_secret(&failure);
    (failure, provider)
}

fn assert_tells_no_secret(failure: &Failure) {
    let text = format!("{failure:?}");
    assert!(!text.contains("secret") && !text.contains(KEY), "{text}");
}

#[test]
fn a_prompt_is_answered_and_paid_for() {
    let provider = Provider::start([Reply::chat("hello")]).unwrap();
    let engine = Engine::start();
    let answer = completed(engine.connect().call(ask(target(&provider.url()), prompt(), false)));
    assert_eq!((answer.content.as_str(), answer.finish_reason.as_str()), ("hello", "stop"));
    assert_eq!((answer.usage.input_tokens, answer.usage.output_tokens, answer.usage.cost), (7, 3, 13.0));
    assert!(answer.usage.latency_ms > 0.0);
    let [seen] = provider.requests().try_into().unwrap();
    assert_eq!(seen.path, "/v1/chat/completions");
    assert_eq!(seen.header("authorization").unwrap(), format!("Bearer {KEY}"));
    assert_eq!(
        seen.body,
        json!({ "model": "m", "messages": [
            { "role": "system", "content": "be brief" },
            { "role": "user", "content": "my secret question" },
        ] })
    );
}

#[test]
fn pieces_come_as_they_are_sent_and_then_the_answer() {
    let gate = Gate::new();
    let stream = Reply::stream([Part::piece("hel"), Part::Gate(gate.clone()), Part::piece("lo"), Part::end()]);
    let provider = Provider::start([stream]).unwrap();
    let engine = Engine::start();
    let mut client = engine.connect();
    let id = client.send(ask(target(&provider.url()), prompt(), true));
    let first = client.receive();
    assert_eq!((first.id, first.body), (id, Response::Piece("hel".into())));
    gate.open();
    assert_eq!(client.receive().body, Response::Piece("lo".into()));
    let answer = completed(client.receive().body);
    assert_eq!((answer.content.as_str(), answer.usage.input_tokens), ("hello", 7));
    assert_eq!(provider.requests()[0].body["stream_options"], json!({ "include_usage": true }));
}

#[test]
fn texts_are_embedded_in_batches_in_their_order() {
    let provider = Provider::start([Reply::embeddings(4)]).unwrap();
    let engine = Engine::start();
    let texts: Vec<String> = (0..250).map(|n| "x".repeat(n + 1)).collect();
    let request = Request::EmbedBy {
        target: Box::new(target(&provider.url())),
        model: "e".into(),
        dimensions: Some(4),
        kind: Kind::Document,
        texts: texts.clone(),
        account: Account::default(),
    };
    let Response::Vectors(vectors) = engine.connect().call(request) else { panic!() };
    let Vectors { dimensions, values, tokens, max_tokens, fingerprint } = vectors;
    assert_eq!((dimensions, values.len(), max_tokens), (4, 1000, u32::MAX));
    let lengths: Vec<usize> = values.chunks(4).map(|row| row[0] as usize).collect();
    assert_eq!(lengths, (1..=250).collect::<Vec<_>>());
    assert_eq!(tokens[0..6], [1, 1, 1, 1, 2, 2]);
    assert_eq!(fingerprint.len(), "remote:".len() + 64);
    assert_eq!(provider.requests().len(), 3);
    assert_eq!(provider.requests()[0].body["dimensions"], 4);
}

#[test]
fn a_refusal_that_may_pass_is_tried_again_as_the_provider_says() {
    let slow_down = Reply::status(429).header("retry-after", "1");
    let provider = Provider::start([slow_down, Reply::status(503), Reply::chat("hello")]).unwrap();
    let engine = Engine::start();
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
    let body = format!(r#"{{"error":{{"message":"Incorrect API key: {KEY}","type":"{KEY}","code":"invalid_api_key"}}}}"#);
    let (failure, provider) = failure([Reply::status(401).body(body)], |_| {});
    assert_eq!((failure.kind, failure.detail.as_str()), (FailureKind::ProviderRefused, "error invalid_api_key"));
    assert!(failure.hint.contains("api_key") && provider.requests().len() == 1, "{failure:?}");
    let (failure, provider) = self::failure([Reply::status(404)], |_| {});
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
fn a_stalled_stream_ends_with_the_calls_time() {
    let provider = Provider::start([Reply::stream([Part::piece("hel"), Part::Stall])]).unwrap();
    let engine = Engine::start();
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

#[test]
fn an_answer_cut_in_the_middle_is_lost_and_not_asked_for_again() {
    let cut = Reply::announced(1000, [Part::Bytes(b"{\"choices\":".to_vec()), Part::Break]);
    let (failure, provider) = failure([cut], |_| {});
    assert_eq!(failure.kind, FailureKind::ProviderLost);
    assert_eq!((failure.message.as_str(), provider.requests().len()), ("answer of provider \"openai\" broke off", 1));
}

#[test]
fn a_stream_cut_in_the_middle_is_lost_after_its_pieces() {
    for cut in [
        Reply::stream([Part::piece("hel"), Part::Break]),
        Reply::stream([Part::piece("hel")]),
    ] {
        let provider = Provider::start([cut]).unwrap();
        let engine = Engine::start();
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
    let engine = Engine::start();
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
        ("{\"secret\":1}", "JSON of another shape than expected, line 1 column 12"),
        ("{\"choices\":[]}", "an answer without choices"),
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
    let failure = Engine::start().connect().failure(ask(target(&provider.url()), prompt(), true));
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
    let failure = Engine::start().connect().failure(ask(target(&provider.url()), prompt(), false));
    assert_eq!(failure.kind, FailureKind::ProviderUnreachable);
    assert!(
        failure.message.starts_with("cannot reach provider \"openai\": its certificate is not accepted: "),
        "{failure:?}"
    );
    assert!(failure.hint.contains("SSL_CERT_FILE"), "{failure:?}");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("authority.pem");
    provider.write_certificate(&file).unwrap();
    let engine = Engine::start_in(&[("SSL_CERT_FILE", file.to_str().unwrap())]);
    let answer = completed(engine.connect().call(ask(target(&provider.url()), prompt(), false)));
    assert_eq!(answer.content, "hello");
}

#[test]
fn an_unreachable_provider_is_told_from_an_unknown_name() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let free = format!("http://{}/v1", listener.local_addr().unwrap());
    drop(listener);
    let engine = Engine::start();
    let mut client = engine.connect();
    let failure = client.failure(ask(target(&free), prompt(), false));
    assert_eq!(failure.kind, FailureKind::ProviderUnreachable);
    assert_eq!(failure.message, "cannot reach provider \"openai\": connection refused");
    let failure = client.failure(ask(target("http://nowhere.invalid/v1"), prompt(), false));
    assert_eq!(failure.kind, FailureKind::ProviderUnreachable);
    assert!(
        failure.message.starts_with("cannot reach provider \"openai\": the name of its host cannot be resolved"),
        "{failure:?}"
    );
}

#[test]
fn a_cancelled_call_closes_its_connection() {
    for (stream, reply) in
        [(false, Reply::stall()), (true, Reply::stream([Part::piece("hel"), Part::Stall]))]
    {
        let provider = Provider::start([reply]).unwrap();
        let engine = Engine::start();
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
    let engine = Engine::start();
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
    let engine = Engine::start();
    let mut clients: Vec<Client> = (0..5).map(|_| engine.connect()).collect();
    for client in &mut clients {
        let mut target = target(&provider.url());
        target.limits.concurrency = 2;
        client.send(ask(target, prompt(), true));
    }
    assert!(provider.wait_for_requests(2));
    let mut hasty = engine.connect();
    let mut target = target(&provider.url());
    (target.limits.concurrency, target.limits.timeout_ms) = (2, 100);
    let failure = hasty.failure(ask(target, prompt(), false));
    assert_eq!(failure.message, "no turn to call provider \"openai\" within 100 ms");
    assert_eq!(failure.kind, FailureKind::ProviderLost);
    gate.open();
    clients.iter_mut().for_each(|client| drop(completed(client.receive().body)));
    assert_eq!((provider.most_at_once(), provider.requests().len()), (2, 5));
}

#[test]
fn a_rate_over_the_limit_waits_or_fails_at_once() {
    let provider = Provider::start([Reply::chat("hello")]).unwrap();
    let engine = Engine::start();
    let (mut one, mut other) = (engine.connect(), engine.connect());
    let mut target = target(&provider.url());
    (target.limits.requests_per_minute, target.limits.timeout_ms) = (Some(2), 5_000);
    completed(one.call(ask(target.clone(), prompt(), false)));
    completed(other.call(ask(target.clone(), prompt(), false)));
    let failure = one.failure(ask(target.clone(), prompt(), false));
    assert_eq!(failure.kind, FailureKind::QueueFull);
    assert_eq!(failure.message, "no turn to call provider \"openai\": 2 requests a minute are used up");
    // With a higher limit the next turn is near.
    target.limits.requests_per_minute = Some(600);
    completed(one.call(ask(target, prompt(), false)));
    assert_eq!(provider.requests().len(), 3);
}

#[test]
fn a_connection_is_used_again_by_all_sessions() {
    let provider = Provider::start([Reply::chat("a"), Reply::chat_stream(&["b"]), Reply::chat("c")]).unwrap();
    let engine = Engine::start();
    for stream in [false, true, false] {
        let mut client = engine.connect();
        client.send(ask(target(&provider.url()), prompt(), stream));
        while !matches!(client.receive().body, Response::Completed(_)) {}
    }
    assert_eq!((provider.requests().len(), provider.connections()), (3, 1));
}

#[test]
fn keys_are_read_where_they_are_kept() {
    let provider = Provider::start([Reply::chat("hello")]).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("key").to_str().unwrap().to_owned();
    let engine = Engine::start_in(&[("STUB_KEY", "from-environment")]);
    let mut client = engine.connect();
    let with = |key| Target { key, ..target(&provider.url()) };
    completed(client.call(ask(with(Key::Environment("STUB_KEY".into())), prompt(), false)));
    let failure = client.failure(ask(with(Key::Environment("NO_KEY".into())), prompt(), false));
    assert_eq!(failure.kind, FailureKind::Forbidden);
    assert_eq!(failure.message, "provider \"openai\": variable \"NO_KEY\" is not set in the server's environment");
    let failure = client.failure(ask(with(Key::File(file.clone())), prompt(), false));
    assert!(failure.message.contains(&file), "{failure:?}");
    std::fs::write(&file, "from-file\n").unwrap();
    completed(client.call(ask(with(Key::File(file)), prompt(), false)));
    completed(client.call(ask(with(Key::None), prompt(), false)));
    let keys: Vec<Option<String>> =
        provider.requests().iter().map(|seen| seen.header("authorization").map(str::to_owned)).collect();
    assert_eq!(keys, [Some("Bearer from-environment".into()), Some("Bearer from-file".into()), None]);
}

#[test]
fn an_answer_that_misses_the_schema_is_mended_once() {
    let schema = r#"{"type":"object","properties":{"age":{"type":"integer"}},"required":["age"]}"#;
    let (wrong, right) = (Reply::chat(r#"{"age":"secret"}"#), Reply::chat("```json\n{\"age\":3}\n```"));
    let provider = Provider::start([wrong.clone(), right, wrong]).unwrap();
    let engine = Engine::start();
    let mut client = engine.connect();
    let prompt = Prompt { schema: Some(schema.into()), ..prompt() };
    let answer = completed(client.call(ask(target(&provider.url()), prompt.clone(), false)));
    assert_eq!((answer.content.as_str(), answer.usage.input_tokens), (r#"{"age":3}"#, 14));
    let mended = provider.requests()[1].body["messages"].clone();
    assert_eq!(mended.as_array().unwrap().len(), 4);
    assert!(mended[3]["content"].as_str().unwrap().contains("at \"/age\""), "{mended}");
    let failure = client.failure(ask(target(&provider.url()), prompt.clone(), false));
    assert_eq!(failure.kind, FailureKind::ProviderMalformed);
    assert_eq!(failure.message, "answer of provider \"openai\" does not meet the schema");
    assert_eq!(failure.detail, "at \"/age\": type");
    assert_tells_no_secret(&failure);
    let bad = Prompt { schema: Some(r#"{"$ref":"http://127.0.0.1:1/"}"#.into()), ..prompt };
    assert_eq!(client.failure(ask(target(&provider.url()), bad, false)).kind, FailureKind::BadArgument);
    assert_eq!(provider.requests().len(), 4);
}

#[test]
fn vectors_that_do_not_fit_the_texts_are_malformed() {
    for data in [
        json!([{ "embedding": [1.0] }]),
        json!([{ "embedding": [1.0] }, { "embedding": [1.0, 2.0] }]),
        json!([{ "embedding": [1.0], "index": 0 }, { "embedding": [1.0], "index": 2 }]),
        json!([{ "embedding": [] }, { "embedding": [] }]),
        json!([{ "embedding": [1e39] }, { "embedding": [1.0] }]),
    ] {
        let provider = Provider::start([Reply::json(json!({ "data": data }))]).unwrap();
        let request = Request::EmbedBy {
            target: Box::new(target(&provider.url())),
            model: "e".into(),
            dimensions: None,
            kind: Kind::Query,
            texts: vec!["a".into(), "b".into()],
            account: Account::default(),
        };
        assert_eq!(Engine::start().connect().failure(request).kind, FailureKind::ProviderMalformed, "{data}");
    }
}
