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
