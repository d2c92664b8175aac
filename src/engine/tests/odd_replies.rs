//! Replies of services that differ from their documentation, played by a provider.
#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use ragstone_core::{
    failure::FailureKind,
    protocol::Response,
    provider::{Completion, Message, Prompt, Role},
};
use ragstone_tests::provider::{Part, Provider, Reply};
use serde_json::{Value, json};
use support::{
    EngineProcess,
    calls::{ask, assert_contains_no_secret, completed, failure, prompt, target},
};

fn event(delta: &Value) -> Part {
    data(&json!({ "choices": [{ "index": 0, "delta": delta, "finish_reason": null }] }).to_string())
}

fn data(data: &str) -> Part {
    Part::Bytes(format!("data: {data}\n\n").into_bytes())
}

/// The pieces of a streamed answer, and the whole answer.
fn streamed(engine: &EngineProcess, provider: &Provider) -> (String, Completion) {
    let mut client = engine.connect();
    client.send(ask(target(&provider.url()), prompt(), true));
    let mut pieces = String::new();
    loop {
        match client.receive().body {
            Response::Piece(piece) => pieces.push_str(&piece),
            last => return (pieces, completed(last)),
        }
    }
}

#[test]
fn an_error_in_a_reply_of_success_is_tried_again() {
    let busy = json!({ "error": { "message": "my secret question", "code": 429 } });
    let in_choice = json!({ "choices": [{ "message": { "content": "" }, "finish_reason": "error",
        "error": { "code": 502, "message": "my secret question" } }] });
    let provider =
        Provider::start([Reply::json(busy.clone()), Reply::json(in_choice), Reply::chat("hello")]).unwrap();
    let answer =
        completed(EngineProcess::start().connect().call(ask(target(&provider.url()), prompt(), false)));
    assert_eq!((answer.content.as_str(), provider.requests().len()), ("hello", 3));
    assert_eq!((answer.usage.input_tokens, answer.usage.output_tokens), (7, 3));
    let (failure, provider) = failure([Reply::json(busy)], |_| {});
    assert_eq!(failure.message, "provider \"openai\" refused the request: status 429");
    assert_eq!((failure.detail.as_str(), provider.requests().len()), ("3 tries", 3));
}

#[test]
fn an_error_in_a_stream_is_tried_again_until_a_piece_was_given_out() {
    let overloaded = r#"{"error":{"type":"overloaded_error","message":"my secret question"}}"#;
    let first = Reply::stream([data(overloaded)]);
    let named = Reply::stream([Part::Bytes(
        b"event: error\ndata: {\"message\":\"secret\",\"code\":503}\n\n".to_vec(),
    )]);
    let provider = Provider::start([first, named, Reply::chat_stream(&["hel", "lo"])]).unwrap();
    let engine = EngineProcess::start();
    let (pieces, answer) = streamed(&engine, &provider);
    assert_eq!((pieces.as_str(), answer.content.as_str(), provider.requests().len()), ("hello", "hello", 3));

    for error in [overloaded, r#"{"object":"error","message":"secret","code":500}"#, r#"{"error":"secret"}"#]
    {
        let provider =
            Provider::start([Reply::stream([Part::piece("Once "), data(error), data("[DONE]")])]).unwrap();
        let mut client = engine.connect();
        client.send(ask(target(&provider.url()), prompt(), true));
        assert_eq!(client.receive().body, Response::Piece("Once ".into()));
        let Response::Failed(failure) = client.receive().body else { panic!() };
        assert_eq!(failure.message, "provider \"openai\" gave up in the middle of its answer", "{error}");
        assert_eq!(provider.requests().len(), 1);
        assert_contains_no_secret(&failure);
    }
}

#[test]
fn streams_are_read_in_many_forms() {
    let hello = || event(&json!({ "content": "hello" }));
    let end = r#"data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}"#;
    for parts in [
        vec![hello(), Part::Bytes(end.as_bytes().to_vec())],
        vec![data("ping"), hello(), Part::Bytes(b": comment\n\n".to_vec()), Part::end()],
        vec![
            event(&json!({ "content": ["hel"] })),
            event(&json!({ "content": { "text": "lo" } })),
            Part::end(),
        ],
        vec![event(&json!({ "content": null, "reasoning_content": "hm" })), hello(), Part::end()],
    ] {
        let provider = Provider::start([Reply::stream(parts)]).unwrap();
        let (pieces, answer) = streamed(&EngineProcess::start(), &provider);
        assert_eq!((pieces.as_str(), answer.content.as_str()), ("hello", "hello"));
    }
    let provider = Provider::start([Reply::chat("hello")]).unwrap();
    assert_eq!(streamed(&EngineProcess::start(), &provider).0, "hello");
}

#[test]
fn thoughts_are_in_no_answer() {
    let whole = "<think>\nI see.\n</think>\n\nhello";
    let unopened = "I see.\n</think>\n\nhello";
    let engine = EngineProcess::start();
    for text in [whole, unopened] {
        let provider = Provider::start([Reply::chat(text)]).unwrap();
        let answer = completed(engine.connect().call(ask(target(&provider.url()), prompt(), false)));
        assert_eq!(answer.content, "hello");
    }
    let pieces = |text: &str| text.chars().map(|letter| letter.to_string()).collect::<Vec<_>>();
    let stream =
        |text: &str| Reply::chat_stream(&pieces(text).iter().map(String::as_str).collect::<Vec<_>>());
    let provider = Provider::start([stream(whole)]).unwrap();
    let (given_out, answer) = streamed(&engine, &provider);
    assert_eq!((given_out.as_str(), answer.content.as_str()), ("hello", "hello"));
    // That thoughts begin without a tag is only known once they have ended. The next answer is held back.
    let provider = Provider::start([stream(unopened)]).unwrap();
    let (given_out, answer) = streamed(&engine, &provider);
    assert_eq!((given_out.as_str(), answer.content.as_str()), (unopened, "hello"));
    let (given_out, answer) = streamed(&engine, &provider);
    assert_eq!((given_out.as_str(), answer.content.as_str()), ("hello", "hello"));
}

/// Refuses a parameter as OpenAI's reasoning models do.
fn refusing(name: &'static str) -> Reply {
    Reply::by(move |seen| {
        if seen.body[name].is_null() {
            return Reply::chat("hello");
        }
        let error =
            json!({ "message": "Unsupported parameter.", "param": name, "code": "unsupported_parameter" });
        Reply::status(400).body(json!({ "error": error }).to_string())
    })
}

#[test]
fn a_refused_parameter_is_left_out_and_remembered() {
    let engine = EngineProcess::start();
    let asked = Prompt {
        temperature: Some(0.5),
        max_tokens: Some(50),
        stop: vec!["END".into()],
        seed: Some(1),
        ..prompt()
    };
    for name in ["temperature", "max_tokens", "stop", "seed"] {
        let provider = Provider::start([refusing(name)]).unwrap();
        let call = || completed(engine.connect().call(ask(target(&provider.url()), asked.clone(), false)));
        let first = call();
        assert_eq!(
            (first.content.as_str(), first.left_out.as_slice()),
            ("hello", [name.to_owned()].as_slice())
        );
        assert!(call().left_out.is_empty(), "{name}");
        let seen = provider.requests();
        assert_eq!(seen.len(), 3, "{name}");
        let limit = if name == "max_tokens" { "max_completion_tokens" } else { "max_tokens" };
        assert_eq!(seen[2].body[limit], 50, "{name}");
    }
    let error =
        json!({ "message": "temperature must be at most 2", "param": "temperature", "code": "too_big" });
    let out_of_range = Reply::status(400).body(json!({ "error": error }).to_string());
    let provider = Provider::start([out_of_range]).unwrap();
    let failure = engine.connect().failure(ask(target(&provider.url()), asked, false));
    assert_eq!((failure.kind, provider.requests().len()), (FailureKind::ProviderRejected, 1));
    assert_eq!(failure.detail, "error too_big; about temperature");
}

#[test]
fn what_says_nothing_is_never_sent() {
    let provider = Provider::start([Reply::chat("hello")]).unwrap();
    let messages = [(Role::User, "a"), (Role::Assistant, ""), (Role::User, "b")];
    let messages = messages.into_iter().map(|(role, text)| Message::new(role, text)).collect();
    let asked = Prompt { messages, ..prompt() };
    completed(EngineProcess::start().connect().call(ask(target(&provider.url()), asked, false)));
    assert_eq!(provider.requests()[0].body["messages"], json!([{ "role": "user", "content": "a\n\nb" }]));
}

#[test]
fn a_refused_answer_is_not_asked_for_again() {
    let refused =
        json!({ "choices": [{ "message": { "content": null, "refusal": "No." }, "finish_reason": "stop" }] });
    let provider = Provider::start([Reply::json(refused)]).unwrap();
    let asked = Prompt { schema: Some(r#"{"type":"object"}"#.into()), ..prompt() };
    let failure = EngineProcess::start().connect().failure(ask(target(&provider.url()), asked, false));
    assert_eq!((failure.kind, provider.requests().len()), (FailureKind::ProviderMalformed, 1));
    assert!(failure.hint.contains("refused or filtered"), "{failure:?}");
}
