//! Replies that differ from the documentation of their protocol, and what a model wants back.

use ragstone_core::provider::{Message, Prompt, Role, Wire};
use serde_json::{Value, json};

use super::{completed, embedded, post, reply, streamed};
use crate::providers::{
    call::TokenCounts,
    refusal::Refusal,
    wire::{
        error::ReplyError,
        json::tool_call,
        of,
        reply::{CompletionReply, EmbeddingReply, ReplyBuilder, ReportedTokens},
    },
};

fn refusal(wire: Wire, body: &str) -> Refusal {
    match of(wire).parse_completion(body.as_bytes()) {
        Err(ReplyError::Refused(refusal)) => *refusal,
        other => panic!("{other:?}"),
    }
}

#[test]
fn odd_accounting_fails_no_answer() {
    for (usage, input, output) in [
        (r#"{"prompt_tokens":"11","completion_tokens":3.0}"#, Some(11), Some(3)),
        (r#"{"input_tokens":11,"output_tokens":3}"#, Some(11), Some(3)),
        (r#"{"prompt_tokens":-1,"completion_tokens":null}"#, None, None),
        (r#"{"prompt_tokens":{},"completion_tokens":[1]}"#, None, None),
        ("[]", None, None),
        ("7", None, None),
    ] {
        let tokens = ReportedTokens { input, output };
        let body = format!(
            r#"{{"id":7,"model":null,"choices":[{{"index":"0","message":{{"content":"Hi"}}}}],"usage":{usage}}}"#
        );
        assert_eq!(
            completed(Wire::OpenAi, &body),
            CompletionReply { tokens, ..reply("Hi", "stop", (0, 0)) },
            "{usage}"
        );
        let body = format!(
            r#"{{"id":7,"content":[{{"type":"text","text":"Hi"}},{{"type":"new"}}],"stop_reason":"end_turn","usage":{usage}}}"#
        );
        assert_eq!(
            completed(Wire::Anthropic, &body),
            CompletionReply { tokens, ..reply("Hi", "stop", (0, 0)) },
            "{usage}"
        );
    }
    let gemini = r#"{"candidates":[{"content":{"parts":[{"text":"Hi"}]},"finishReason":"STOP"}],
        "usageMetadata":{"promptTokenCount":"5","toolUsePromptTokenCount":100,"candidatesTokenCount":null,"thoughtsTokenCount":50.0}}"#;
    assert_eq!(completed(Wire::Gemini, gemini), reply("Hi", "stop", (105, 50)));
}

#[test]
fn what_is_not_told_is_estimated() {
    let estimate = TokenCounts { input: 20, output: 1000 };
    for (tokens, expected) in [
        (ReportedTokens { input: Some(7), output: Some(3) }, (7, 3)),
        (ReportedTokens { input: Some(0), output: Some(0) }, (20, 2)),
        (ReportedTokens::default(), (20, 2)),
    ] {
        let counted = CompletionReply { tokens, ..reply("Hello.", "stop", (0, 0)) }.counted(estimate);
        assert_eq!((counted.input, counted.output), expected);
    }
    assert_eq!(reply("", "stop", (7, 0)).counted(estimate).output, 0);
}

#[test]
fn contents_come_in_many_forms() {
    for message in [
        r#"{"content":["Hi"]}"#,
        r#"{"content":{"type":"text","text":"Hi"}}"#,
        r#"{"content":[{"type":"thinking","thinking":[{"type":"text","text":"hm"}]},{"type":"text","text":"Hi"}],"reasoning_content":"hm"}"#,
        r#"{"content":"Hi","tool_calls":null,"refusal":null,"audio":null}"#,
    ] {
        let body = format!(
            r#"{{"choices":[{{"message":{message},"finish_reason":"stop"}}],"usage":{{"prompt_tokens":1,"completion_tokens":2}}}}"#
        );
        assert_eq!(completed(Wire::OpenAi, &body), reply("Hi", "stop", (1, 2)), "{message}");
    }
    let text = completed(
        Wire::Anthropic,
        r#"{"content":"Hi","stop_reason":"end_turn","usage":{"input_tokens":1,"output_tokens":2}}"#,
    );
    assert_eq!(text, reply("Hi", "stop", (1, 2)));
    let none =
        completed(Wire::Gemini, r#"{"candidates":[{"content":{"parts":null},"finishReason":"STOP"}]}"#);
    assert_eq!((none.content.as_str(), none.finish_reason.as_str()), ("", "stop"));
    let half = completed(Wire::OpenAi, r#"{"choices":[{"message":{"content":"a\ud83db"}}]}"#);
    assert_eq!(half.content, "a\u{fffd}b");
    let (pieces, whole) = streamed(
        Wire::OpenAi,
        &[
            r#"{"choices":[{"index":1,"delta":{"content":"BYE"}}]}"#,
            r#"{"choices":[{"index":0,"finish_reason":null}]}"#,
            r#"{"choices":[{"index":0,"message":{"content":"Hi"},"finish_reason":"stop"}]}"#,
            "[DONE]",
        ],
    );
    assert_eq!((pieces, whole.content), (vec!["Hi".to_owned()], "Hi".to_owned()));
}

#[test]
fn errors_with_a_status_of_success_are_errors() {
    for (wire, body, status) in [
        (Wire::OpenAi, r#"{"choices":null,"error":{"message":"x","code":429}}"#, 429),
        (
            Wire::OpenAi,
            r#"{"choices":[{"message":{"content":""},"finish_reason":"error","error":{"code":502,"message":"x"}}]}"#,
            502,
        ),
        (Wire::OpenAi, r#"{"choices":[{"message":{"content":"Once"},"finish_reason":"error"}]}"#, 0),
        (Wire::OpenAi, r#"{"object":"error","message":"x","code":500}"#, 500),
        (Wire::Anthropic, r#"{"type":"error","error":{"type":"overloaded_error","message":"x"}}"#, 0),
        (Wire::Gemini, r#"{"error":{"code":429,"message":"x","status":"RESOURCE_EXHAUSTED"}}"#, 429),
    ] {
        let refusal = refusal(wire, body);
        assert!(refusal.status == status && refusal.is_transient(), "{body}: {refusal:?}");
        let event = of(wire).parse_event(&mut ReplyBuilder::default(), body);
        assert!(matches!(event, Err(ReplyError::Refused(_))), "{body}: {event:?}");
    }
    for (wire, body) in [
        (Wire::OpenAi, r#"{"error":{"message":"x","code":404}}"#),
        (Wire::Gemini, r#"{"error":{"message":"x","code":404}}"#),
        (Wire::Cohere, r#"{"error":{"message":"x","code":404}}"#),
    ] {
        let refused = of(wire).parse_embeddings(body.as_bytes());
        assert!(
            matches!(&refused, Err(ReplyError::Refused(refusal)) if refusal.status == 404),
            "{refused:?}"
        );
    }
    for body in ["", "null", "[]", "7", r#"{"status":"queued"}"#, "<html>"] {
        for wire in [Wire::OpenAi, Wire::Anthropic, Wire::Gemini] {
            let answer = of(wire).parse_completion(body.as_bytes());
            assert!(matches!(answer, Err(ReplyError::Malformed(_))), "{body}: {answer:?}");
        }
    }
}

/// The calls of a stream whose events have these parts.
fn called(parts: &[&str]) -> Vec<Value> {
    let events: Vec<String> =
        parts.iter().map(|part| format!(r#"{{"choices":[{{"delta":{{"tool_calls":{part}}}}}]}}"#)).collect();
    streamed(Wire::OpenAi, &events.iter().map(String::as_str).collect::<Vec<_>>()).1.tool_calls
}

#[test]
fn streamed_calls_are_told_apart() {
    let (oslo, rome) = (r#"{"city":"Oslo"}"#, r#"{"city":"Rome"}"#);
    let part = |index: &str, id: &str, name: &str, arguments: &str| json!({ "index": serde_json::from_str::<Value>(index).unwrap(), "id": id, "function": { "name": name, "arguments": arguments } });
    let two = [tool_call("a", "weather", oslo), tool_call("b", "weather", rome)];
    for index in ["0", "null", "\"0\""] {
        let (first, second) = (part(index, "a", "weather", oslo), part(index, "b", "weather", rome));
        assert_eq!(called(&[&json!([first]).to_string(), &json!([second]).to_string()]), two, "{index}");
        assert_eq!(called(&[&json!([first, second]).to_string()]), two, "{index} in one event");
    }
    let (first, second) = (part("null", "", "weather", oslo), part("null", "", "weather", rome));
    let anonymous = [tool_call("", "weather", oslo), tool_call("", "weather", rome)];
    assert_eq!(called(&[&json!([first]).to_string(), &json!([second]).to_string()]), anonymous);
    assert_eq!(called(&[&json!([first, second]).to_string()]), anonymous);
    let repeated = [
        part("0", "a", "weather", ""),
        part("0", "a", "weather", r#"{"city":"#),
        part("0", "a", "weather", r#""Oslo"}"#),
    ];
    assert_eq!(
        called(&repeated.map(|part| json!([part]).to_string()).each_ref().map(String::as_str)),
        two[..1]
    );
    let rest = [r#"[{"index":0,"function":null}]"#, r#"[{"index":0,"id":"","function":{"name":null}}]"#];
    let first = json!([part("0", "a", "weather", oslo)]).to_string();
    assert_eq!(called(&[&first, rest[0], rest[1]]), two[..1]);
    let interleaved = [
        part("0", "a", "weather", r#"{"city":"#),
        part("1", "b", "weather", r#"{"city":"#),
        json!({ "index": 0, "function": { "arguments": r#""Oslo"}"# } }),
        json!({ "index": 1, "function": { "arguments": r#""Rome"}"# } }),
    ];
    assert_eq!(
        called(&interleaved.map(|part| json!([part]).to_string()).each_ref().map(String::as_str)),
        two
    );
}

#[test]
fn numbers_of_embeddings_are_decoration() {
    let rows = |indices: [&str; 2]| {
        let row = |(index, value): (&str, u32)| format!(r#"{{"index":{index},"embedding":[{value}]}}"#);
        let rows: Vec<String> = indices.into_iter().zip([1, 2]).map(row).collect();
        embedded(
            Wire::OpenAi,
            &format!(r#"{{"data":[{}],"usage":{{"prompt_tokens":null}}}}"#, rows.join(",")),
        )
        .vectors
    };
    for indices in [["0", "1"], ["1", "2"], ["\"0\"", "\"1\""], ["0", "0"], ["null", "null"], ["0", "null"]] {
        assert_eq!(rows(indices), [[1.0], [2.0]], "{indices:?}");
    }
    assert_eq!(rows(["1", "0"]), [[2.0], [1.0]]);
    let base64 = r#"{"data":[{"embedding":"AACAPwAAAEA="}],"usage":{"total_tokens":7}}"#;
    assert_eq!(
        embedded(Wire::OpenAi, base64),
        EmbeddingReply { vectors: vec![vec![1.0, 2.0]], tokens: Some(7) }
    );
}

/// What the second request of an agent sends back of the first answer.
fn returned(wire: Wire, answer: CompletionReply) -> Value {
    let own = answer.own.map(|own| own.to_string());
    let calls = (!answer.tool_calls.is_empty()).then(|| Value::from(answer.tool_calls).to_string());
    let messages = vec![
        Message::new(Role::User, "weather?"),
        Message { tool_calls: calls, own, ..Message::new(Role::Assistant, answer.content) },
        Message { tool_call_id: Some("c1".into()), ..Message::new(Role::Tool, "rain") },
    ];
    let prompt = Prompt { model: "m".into(), messages, ..Prompt::default() };
    post(wire, "http://localhost/v1", &prompt, false).body
}

#[test]
fn what_a_model_wants_back_it_gets_back() {
    let parts = json!([{ "text": "Looking." }, { "functionCall": { "name": "weather", "args": {} }, "thoughtSignature": "c2ln" }]);
    let body =
        json!({ "candidates": [{ "content": { "parts": parts }, "finishReason": "STOP" }] }).to_string();
    assert_eq!(returned(Wire::Gemini, completed(Wire::Gemini, &body))["contents"][1]["parts"], parts);
    assert_eq!(returned(Wire::Gemini, streamed(Wire::Gemini, &[&body]).1)["contents"][1]["parts"], parts);

    let call = json!({ "index": 0, "id": "c1", "function": { "name": "weather", "arguments": "{}" } });
    let body = json!({ "choices": [{ "message": { "content": "", "reasoning_content": "hm hm", "tool_calls": [call] } }] });
    let message = &returned(Wire::OpenAi, completed(Wire::OpenAi, &body.to_string()))["messages"][1];
    assert_eq!(message["reasoning_content"], "hm hm");
    let deltas = [
        json!({ "reasoning_content": "hm " }),
        json!({ "reasoning_content": "hm", "content": null }),
        json!({ "tool_calls": [call] }),
    ];
    let events = deltas.map(|delta| json!({ "choices": [{ "delta": delta }] }).to_string());
    let (pieces, whole) = streamed(Wire::OpenAi, &events.each_ref().map(String::as_str));
    assert_eq!((pieces, &returned(Wire::OpenAi, whole)["messages"][1]), (vec![], message));
    let plain = r#"{"choices":[{"message":{"content":"Hi","reasoning_content":"hm"}}]}"#;
    assert_eq!(completed(Wire::OpenAi, plain).own, None);

    let thought = json!({ "type": "thinking", "thinking": "hm hm", "signature": "sig" });
    let tool = json!({ "type": "tool_use", "id": "c1", "name": "weather", "input": {} });
    let body = json!({ "content": [thought, tool], "stop_reason": "tool_use" }).to_string();
    let expected = json!([thought, tool]);
    assert_eq!(
        returned(Wire::Anthropic, completed(Wire::Anthropic, &body))["messages"][1]["content"],
        expected
    );
    let (_, whole) = streamed(
        Wire::Anthropic,
        &[
            r#"{"type":"content_block_start","index":0,"content_block":{"type":"thinking","thinking":"","signature":""}}"#,
            r#"{"type":"content_block_delta","index":0,"delta":{"type":"thinking_delta","thinking":"hm hm"}}"#,
            r#"{"type":"content_block_delta","index":0,"delta":{"type":"signature_delta","signature":"sig"}}"#,
            r#"{"type":"content_block_start","index":1,"content_block":{"type":"tool_use","id":"c1","name":"weather","input":{}}}"#,
            r#"{"type":"message_delta","delta":{"stop_reason":"tool_use"},"usage":{"input_tokens":1234,"output_tokens":3}}"#,
            r#"{"type":"message_stop"}"#,
        ],
    );
    assert_eq!(whole.tokens, ReportedTokens { input: Some(1234), output: Some(3) });
    assert_eq!(returned(Wire::Anthropic, whole)["messages"][1]["content"], expected);
}
