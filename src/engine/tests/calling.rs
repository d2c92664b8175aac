//! Calls to providers: what a client of the engine gets, and what the provider sees.
#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use ragstone_core::{
    failure::FailureKind,
    protocol::{Kind, Request, Response, Vectors},
    provider::{Account, Call, Key, Prompt, Status, Target, Wire},
};
use ragstone_tests::provider::{Gate, Part, Provider, Reply};
use serde_json::json;
use support::{
    EngineProcess,
    calls::{KEY, ask, assert_contains_no_secret, completed, prompt, target},
};

#[test]
fn a_prompt_is_answered_and_paid_for() {
    let provider = Provider::start([Reply::chat("hello")]).unwrap();
    let engine = EngineProcess::start();
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
fn no_more_tokens_are_counted_than_a_call_can_take() {
    let provider = Provider::start([Reply::json(json!({
        "choices": [{ "message": { "role": "assistant", "content": "hello" }, "finish_reason": "stop" }],
        "usage": { "prompt_tokens": 10_u64.pow(18), "completion_tokens": 10_u64.pow(18) },
    }))])
    .unwrap();
    let engine = EngineProcess::start();
    let answer = completed(engine.connect().call(ask(target(&provider.url()), prompt(), false)));
    // The prompt is shorter than a kilobyte.
    assert!((1_000_000..1_001_000).contains(&answer.usage.input_tokens), "{:?}", answer.usage);
    assert_eq!(answer.usage.output_tokens, 1_000_000);
}

#[test]
fn pieces_come_as_they_are_sent_and_then_the_answer() {
    let gate = Gate::new();
    let stream =
        Reply::stream([Part::piece("hel"), Part::Gate(gate.clone()), Part::piece("lo"), Part::end()]);
    let provider = Provider::start([stream]).unwrap();
    let engine = EngineProcess::start();
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
    let engine = EngineProcess::start();
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
    let Vectors { dimensions, values, tokens, max_tokens, fingerprint, .. } = vectors;
    assert_eq!((dimensions, values.len(), max_tokens), (4, 1000, u32::MAX));
    let lengths: Vec<usize> = values.chunks(4).map(|row| row[0] as usize).collect();
    assert_eq!(lengths, (1..=250).collect::<Vec<_>>());
    assert_eq!(tokens[0..6], [1, 1, 1, 1, 2, 2]);
    assert_eq!(fingerprint, target(&provider.url()).fingerprint("e", Some(4)));
    assert_eq!(provider.requests().len(), 3);
    assert_eq!(provider.requests()[0].body["dimensions"], 4);
}

#[test]
fn keys_are_read_where_they_are_kept() {
    let provider = Provider::start([Reply::chat("hello")]).unwrap();
    let engine = EngineProcess::start_in(&[("STUB_KEY", "from-environment")]);
    let mut client = engine.connect();
    let with = |key| Target { key, ..target(&provider.url()) };
    completed(client.call(ask(with(Key::Environment("STUB_KEY".into())), prompt(), false)));
    let failure = client.failure(ask(with(Key::Environment("NO_KEY".into())), prompt(), false));
    assert_eq!(failure.kind, FailureKind::Forbidden);
    assert_eq!(
        failure.message,
        "provider \"openai\": variable \"NO_KEY\" is not set in the server's environment"
    );
    completed(client.call(ask(with(Key::None), prompt(), false)));
    let keys: Vec<Option<String>> =
        provider.requests().iter().map(|seen| seen.header("authorization").map(str::to_owned)).collect();
    assert_eq!(keys, [Some("Bearer from-environment".into()), None]);
}

#[test]
fn an_answer_that_misses_the_schema_is_mended_once() {
    let schema = r#"{"type":"object","properties":{"age":{"type":"integer"}},"required":["age"]}"#;
    let (wrong, right) = (Reply::chat(r#"{"age":"secret"}"#), Reply::chat("```json\n{\"age\":3}\n```"));
    let provider = Provider::start([wrong.clone(), right, wrong]).unwrap();
    let engine = EngineProcess::start();
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
    assert_contains_no_secret(&failure);
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
        assert_eq!(
            EngineProcess::start().connect().failure(request).kind,
            FailureKind::ProviderMalformed,
            "{data}"
        );
    }
}

#[test]
fn every_protocol_is_spoken_with_its_own_headers() {
    let streams = [
        (
            Wire::Anthropic,
            "/v1/messages",
            "x-api-key",
            vec![
                Part::named(
                    "message_start",
                    &json!({ "type": "message_start", "message": { "usage": { "input_tokens": 7 } } }),
                ),
                Part::named(
                    "content_block_delta",
                    &json!({
                        "type": "content_block_delta", "index": 0, "delta": { "type": "text_delta", "text": "hello" },
                    }),
                ),
                Part::named(
                    "message_delta",
                    &json!({
                        "type": "message_delta", "delta": { "stop_reason": "end_turn" }, "usage": { "output_tokens": 3 },
                    }),
                ),
                Part::named("message_stop", &json!({ "type": "message_stop" })),
            ],
        ),
        (
            Wire::Gemini,
            "/v1/models/m:streamGenerateContent?alt=sse",
            "x-goog-api-key",
            vec![
                Part::event(&json!({ "candidates": [{ "content": { "parts": [{ "text": "hello" }] } }] })),
                Part::event(&json!({
                    "candidates": [{ "finishReason": "STOP" }],
                    "usageMetadata": { "promptTokenCount": 7, "candidatesTokenCount": 3 },
                })),
            ],
        ),
    ];
    let engine = EngineProcess::start();
    for (wire, path, header, parts) in streams {
        let provider = Provider::start([Reply::stream(parts)]).unwrap();
        let mut client = engine.connect();
        client.send(ask(Target { wire, ..target(&provider.url()) }, prompt(), true));
        assert_eq!(client.receive().body, Response::Piece("hello".into()));
        let answer = completed(client.receive().body);
        assert_eq!((answer.content.as_str(), answer.finish_reason.as_str()), ("hello", "stop"));
        assert_eq!((answer.usage.input_tokens, answer.usage.output_tokens), (7, 3));
        let [seen] = provider.requests().try_into().unwrap();
        assert_eq!((seen.path.as_str(), seen.header(header)), (path, Some(KEY)));
        assert_eq!(seen.header("authorization"), None);
    }
}

#[test]
fn documents_are_ranked_in_their_order() {
    let provider = Provider::start([Reply::by(|seen| {
        let texts = seen.body["texts"].as_array().unwrap().clone();
        let rows = texts.iter().enumerate().rev();
        Reply::json(
            rows.map(|(index, text)| json!({ "index": index, "score": text.as_str().unwrap().len() }))
                .collect(),
        )
    })])
    .unwrap();
    let documents: Vec<String> = (0..70).map(|n| "x".repeat(n + 1)).collect();
    let target = Target { wire: Wire::Tei, key: Key::None, ..target(&provider.url()) };
    let request = Request::RerankBy {
        target: Box::new(target),
        model: String::new(),
        query: "q".into(),
        documents,
        account: Account::default(),
    };
    let Response::Scores(scores) = EngineProcess::start().connect().call(request) else { panic!() };
    assert_eq!(scores, (1..=70).map(f64::from).collect::<Vec<_>>());
    assert_eq!(provider.requests().len(), 3);
}

#[test]
fn a_call_is_recorded_with_its_tries_and_what_it_took() {
    let provider =
        Provider::start([Reply::status(503), Reply::chat("hello"), Reply::status(401), Reply::stall()]);
    let provider = provider.unwrap();
    let engine = EngineProcess::start();
    let (mut client, mut worker) = (engine.connect(), engine.connect());
    completed(client.call(ask(target(&provider.url()), prompt(), false)));
    client.failure(ask(target(&provider.url()), prompt(), false));
    let request = client.send(ask(target(&provider.url()), prompt(), false));
    assert!(provider.wait_for_requests(4));
    client.send(Request::Cancel { request });
    let mut calls = Vec::new();
    while calls.len() < 3 {
        let written = calls.last().map_or(0, |call: &Call| call.number);
        let Response::Calls { calls: more, .. } = worker.call(Request::TakeCalls { database: 5, written })
        else {
            panic!()
        };
        calls.extend(more);
    }
    let statuses: Vec<&Status> = calls.iter().map(|call| &call.status).collect();
    let refused = Status::Failed(FailureKind::KeyRefused);
    assert_eq!(statuses, [&Status::Answered, &refused, &Status::Cancelled]);
    let taken = calls.iter().map(|call| (call.retries, call.usage.input_tokens, call.usage.output_tokens));
    // The tokens of a request without an answer are an estimate: 26 bytes of prompt.
    assert_eq!(taken.collect::<Vec<_>>(), [(1, 7, 3), (0, 0, 0), (0, 7, 0)]);
}

#[test]
fn the_environments_proxy_is_used_for_other_hosts() {
    let provider = Provider::start([Reply::chat("hello")]).unwrap();
    let proxy = provider.url().replace("/v1", "");
    let engine = EngineProcess::start_in(&[
        ("HTTP_PROXY", &proxy),
        ("http_proxy", &proxy),
        ("NO_PROXY", ""),
        ("no_proxy", ""),
    ]);
    let mut client = engine.connect();
    completed(client.call(ask(target("http://provider.example/v1"), prompt(), false)));
    completed(client.call(ask(target(&provider.url()), prompt(), false)));
    let paths: Vec<String> = provider.requests().into_iter().map(|seen| seen.path).collect();
    assert_eq!(paths, ["http://provider.example/v1/chat/completions", "/v1/chat/completions"]);
}
