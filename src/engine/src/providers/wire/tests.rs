//! The requests that are sent, and answers from the providers' documentation.

mod odd;

use ragstone_core::{
    protocol::Kind,
    provider::{Message, Prompt, Role, Wire},
};
use reqwest::Url;
use serde_json::{Value, json};

use super::{
    error::ReplyError,
    json::tool_call,
    of,
    protocol::{CompletionParams, EmbeddingParams, WireRequest},
    reply::{CompletionReply, EmbeddingReply, ReplyBuilder, ReportedTokens},
};

const WEATHER: &str =
    r#"[{"type":"function","function":{"name":"weather","description":"d","parameters":{"type":"object"}}}]"#;
const CALL: &str =
    r#"[{"id":"c1","type":"function","function":{"name":"weather","arguments":"{\"city\":\"Oslo\"}"}}]"#;

/// A conversation with everything that a prompt can have.
fn conversation() -> Prompt {
    Prompt {
        model: "m".into(),
        messages: vec![
            Message::new(Role::System, "be brief"),
            Message::new(Role::User, "weather?"),
            Message { tool_calls: Some(CALL.into()), ..Message::new(Role::Assistant, "") },
            Message { tool_call_id: Some("c1".into()), ..Message::new(Role::Tool, "rain") },
        ],
        temperature: Some(0.5),
        max_tokens: Some(9),
        stop: vec!["END".into()],
        seed: Some(1),
        schema: Some(r#"{"type":"object"}"#.into()),
        tools: Some(WEATHER.into()),
        options: Some(r#"{"top_p":0.9}"#.into()),
    }
}

fn post(wire: Wire, base: &str, prompt: &Prompt, stream: bool) -> WireRequest {
    of(wire)
        .completion_request(&CompletionParams { base: &Url::parse(base).unwrap(), prompt, stream })
        .unwrap()
}

fn completed(wire: Wire, body: &str) -> CompletionReply {
    of(wire).parse_completion(body.as_bytes()).unwrap()
}

/// The pieces of a stream, and the whole answer.
fn streamed(wire: Wire, events: &[&str]) -> (Vec<String>, CompletionReply) {
    let mut builder = ReplyBuilder::default();
    let pieces = events.iter().map(|data| of(wire).parse_event(&mut builder, data).unwrap());
    let pieces = pieces.filter(|piece| !piece.is_empty()).collect();
    (pieces, builder.finish())
}

fn reply(content: &str, finish_reason: &str, tokens: (u64, u64)) -> CompletionReply {
    CompletionReply {
        content: content.into(),
        finish_reason: finish_reason.into(),
        tokens: ReportedTokens { input: Some(tokens.0), output: Some(tokens.1) },
        ..CompletionReply::default()
    }
}

fn embed(wire: Wire, kind: Kind) -> WireRequest {
    let texts = ["a".to_owned(), "b".to_owned()];
    let base = Url::parse("http://localhost/v1").unwrap();
    of(wire)
        .embedding_request(&EmbeddingParams {
            base: &base,
            model: "e",
            dimensions: Some(2),
            kind,
            texts: &texts,
        })
        .unwrap()
}

fn embedded(wire: Wire, body: &str) -> EmbeddingReply {
    of(wire).parse_embeddings(body.as_bytes()).unwrap()
}

#[test]
fn openai_is_asked() {
    let WireRequest { path, body } = post(Wire::OpenAi, "http://localhost/v1", &conversation(), true);
    assert_eq!(path, "chat/completions");
    let expected = json!({
        "model": "m",
        "messages": [
            { "role": "system", "content": "be brief" },
            { "role": "user", "content": "weather?" },
            { "role": "assistant", "content": null, "tool_calls": serde_json::from_str::<Value>(CALL).unwrap() },
            { "role": "tool", "content": "rain", "tool_call_id": "c1" },
        ],
        "temperature": 0.5, "max_tokens": 9, "seed": 1, "stop": ["END"], "top_p": 0.9,
        "tools": serde_json::from_str::<Value>(WEATHER).unwrap(),
        "response_format": { "type": "json_schema", "json_schema": { "name": "answer", "schema": { "type": "object" } } },
        "stream": true, "stream_options": { "include_usage": true },
    });
    assert_eq!(body, expected);
    let body = post(Wire::OpenAi, "https://api.openai.com/v1", &conversation(), false).body;
    assert_eq!(
        (&body["max_completion_tokens"], body.get("max_tokens"), body.get("stream")),
        (&json!(9), None, None)
    );
    let body = post(Wire::OpenAi, "https://api.mistral.ai/v1", &conversation(), true).body;
    assert_eq!((&body["random_seed"], body.get("seed"), body.get("stream_options")), (&json!(1), None, None));
    let azure = Url::parse("https://me.openai.azure.com/openai/v1").unwrap();
    assert_eq!(of(Wire::OpenAi).key_header(&azure, "k"), ("api-key", "k".into()));
}

#[test]
fn openai_answers() {
    let body = r#"{"id":"chatcmpl-1","object":"chat.completion","created":1741569952,"model":"gpt-4.1","choices":[{"index":0,
        "message":{"role":"assistant","content":"Hello!","refusal":null,"annotations":[]},"logprobs":null,"finish_reason":"stop"}],
        "usage":{"prompt_tokens":19,"completion_tokens":10,"total_tokens":29},"service_tier":"default"}"#;
    assert_eq!(completed(Wire::OpenAi, body), reply("Hello!", "stop", (19, 10)));
    let body = r#"{"choices":[{"message":{"role":"assistant","content":null,"tool_calls":[{"id":"c1","type":"function",
        "function":{"name":"weather","arguments":"{\"city\":\"Oslo\"}"}}]},"finish_reason":"tool_calls"}],
        "usage":{"prompt_tokens":1,"completion_tokens":2}}"#;
    let called = vec![tool_call("c1", "weather", r#"{"city":"Oslo"}"#)];
    assert_eq!(
        completed(Wire::OpenAi, body),
        CompletionReply { tool_calls: called, ..reply("", "tool_calls", (1, 2)) }
    );
    let refused = r#"{"choices":[{"message":{"content":null,"refusal":"No."},"finish_reason":"stop"}]}"#;
    assert_eq!(
        completed(Wire::OpenAi, refused),
        CompletionReply { tokens: ReportedTokens::default(), ..reply("No.", "content_filter", (0, 0)) }
    );
    let error = of(Wire::OpenAi)
        .parse_completion(br#"{"error":{"message":"Provider returned error","code":"rate_limited"}}"#);
    assert!(matches!(error, Err(ReplyError::Refused(refusal)) if refusal.codes == ["rate_limited"]));
    let parts = r#"{"choices":[{"message":{"content":[{"type":"thinking","thinking":[]},{"type":"text","text":"Hi"}]},"finish_reason":"model_length"}]}"#;
    assert_eq!(
        completed(Wire::OpenAi, parts),
        CompletionReply { tokens: ReportedTokens::default(), ..reply("Hi", "length", (0, 0)) }
    );
}

#[test]
fn openai_streams() {
    let (pieces, whole) = streamed(
        Wire::OpenAi,
        &[
            r#"{"id":"1","object":"chat.completion.chunk","choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}],"usage":null}"#,
            r#"{"choices":[{"index":0,"delta":{"content":"Hel"},"finish_reason":null}]}"#,
            r#"{"choices":[{"index":0,"delta":{"content":"lo"},"finish_reason":null}]}"#,
            r#"{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}"#,
            r#"{"choices":[],"usage":{"prompt_tokens":5,"completion_tokens":2,"total_tokens":7}}"#,
            "[DONE]",
        ],
    );
    assert_eq!((pieces, whole), (vec!["Hel".into(), "lo".into()], reply("Hello", "stop", (5, 2))));
    let (_, whole) = streamed(
        Wire::OpenAi,
        &[
            r#"{"choices":[{"delta":{"tool_calls":[{"index":0,"id":"c1","type":"function","function":{"name":"weather","arguments":""}}]}}]}"#,
            r#"{"choices":[{"delta":{"tool_calls":[{"index":0,"function":{"arguments":"{\"city\":"}}]}}]}"#,
            r#"{"choices":[{"delta":{"tool_calls":[{"index":0,"function":{"arguments":"\"Oslo\"}"}}]}}]}"#,
            r#"{"choices":[{"delta":{},"finish_reason":"tool_calls"}]}"#,
        ],
    );
    assert_eq!(whole.tool_calls, [tool_call("c1", "weather", r#"{"city":"Oslo"}"#)]);
    let mut builder = ReplyBuilder::default();
    let error =
        of(Wire::OpenAi).parse_event(&mut builder, r#"{"error":{"message":"x","type":"server_error"}}"#);
    assert!(matches!(error, Err(ReplyError::Refused(refusal)) if refusal.codes == ["server_error"]));
}

#[test]
fn openai_embeds() {
    let WireRequest { path, body } = embed(Wire::OpenAi, Kind::Query);
    assert_eq!(path, "embeddings");
    assert_eq!(
        body,
        json!({ "model": "e", "input": ["a", "b"], "encoding_format": "float", "dimensions": 2 })
    );
    let body = r#"{"object":"list","data":[{"object":"embedding","index":1,"embedding":[3,4]},
        {"object":"embedding","index":0,"embedding":[0.1,-2e-3]}],"model":"e","usage":{"prompt_tokens":8,"total_tokens":8}}"#;
    let expected = EmbeddingReply { vectors: vec![vec![0.1, -2e-3], vec![3.0, 4.0]], tokens: Some(8) };
    assert_eq!(embedded(Wire::OpenAi, body), expected);
}

#[test]
fn anthropic_is_asked() {
    let WireRequest { path, body } =
        post(Wire::Anthropic, "https://api.anthropic.com/v1", &conversation(), true);
    assert_eq!(path, "messages");
    let expected = json!({
        "model": "m", "max_tokens": 9, "temperature": 0.5, "stop_sequences": ["END"], "stream": true, "top_p": 0.9,
        "system": "be brief\n\nAnswer with JSON that meets this JSON Schema, and with nothing else:\n{\"type\":\"object\"}",
        "messages": [
            { "role": "user", "content": [{ "type": "text", "text": "weather?" }] },
            { "role": "assistant", "content": [{ "type": "tool_use", "id": "c1", "name": "weather", "input": { "city": "Oslo" } }] },
            { "role": "user", "content": [{ "type": "tool_result", "tool_use_id": "c1", "content": "rain" }] },
        ],
        "tools": [{ "name": "weather", "description": "d", "input_schema": { "type": "object" } }],
    });
    assert_eq!(body, expected);
    let bare = Prompt { messages: vec![Message::new(Role::User, "hi")], ..Prompt::default() };
    assert_eq!(post(Wire::Anthropic, "http://a", &bare, false).body["max_tokens"], 4096);
    let wire = of(Wire::Anthropic);
    assert_eq!(wire.key_header(&Url::parse("http://a").unwrap(), "k"), ("x-api-key", "k".into()));
    assert_eq!(wire.headers(), [("anthropic-version", "2023-06-01")]);
}

#[test]
fn anthropic_answers() {
    let body = r#"{"id":"msg_1","type":"message","role":"assistant","model":"claude","content":[{"type":"text","text":"Hi!"}],
        "stop_reason":"end_turn","stop_sequence":null,"usage":{"input_tokens":10,"cache_read_input_tokens":5,"output_tokens":6}}"#;
    assert_eq!(completed(Wire::Anthropic, body), reply("Hi!", "stop", (15, 6)));
    let body = r#"{"content":[{"type":"thinking","thinking":"…","signature":"s"},{"type":"tool_use","id":"toolu_1","name":"weather",
        "input":{"city":"Oslo"}}],"stop_reason":"tool_use","usage":{"input_tokens":1,"output_tokens":2}}"#;
    let called = vec![tool_call("toolu_1", "weather", r#"{"city":"Oslo"}"#)];
    assert_eq!(
        CompletionReply { own: None, ..completed(Wire::Anthropic, body) },
        CompletionReply { tool_calls: called, ..reply("", "tool_calls", (1, 2)) }
    );
}

#[test]
fn anthropic_streams() {
    let (pieces, whole) = streamed(
        Wire::Anthropic,
        &[
            r#"{"type":"message_start","message":{"id":"msg_1","type":"message","role":"assistant","content":[],"model":"claude","stop_reason":null,"usage":{"input_tokens":25,"output_tokens":1}}}"#,
            r#"{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}"#,
            r#"{"type":"ping"}"#,
            r#"{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"Hel"}}"#,
            r#"{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"lo"}}"#,
            r#"{"type":"content_block_stop","index":0}"#,
            r#"{"type":"content_block_start","index":1,"content_block":{"type":"tool_use","id":"toolu_1","name":"weather","input":{}}}"#,
            r#"{"type":"content_block_delta","index":1,"delta":{"type":"input_json_delta","partial_json":"{\"city\":"}}"#,
            r#"{"type":"content_block_delta","index":1,"delta":{"type":"input_json_delta","partial_json":"\"Oslo\"}"}}"#,
            r#"{"type":"message_delta","delta":{"stop_reason":"tool_use","stop_sequence":null},"usage":{"output_tokens":15}}"#,
            r#"{"type":"message_stop"}"#,
        ],
    );
    let called = vec![tool_call("toolu_1", "weather", r#"{"city":"Oslo"}"#)];
    assert_eq!(pieces, ["Hel", "lo"]);
    assert_eq!(whole, CompletionReply { tool_calls: called, ..reply("Hello", "tool_calls", (25, 15)) });
    let overloaded = r#"{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}"#;
    let error = of(Wire::Anthropic).parse_event(&mut ReplyBuilder::default(), overloaded);
    assert!(matches!(error, Err(ReplyError::Refused(refusal)) if refusal.codes == ["overloaded_error"]));
}

#[test]
fn gemini_is_asked() {
    let prompt = Prompt {
        options: Some(r#"{"generationConfig":{"topK":4},"safetySettings":[]}"#.into()),
        ..conversation()
    };
    let WireRequest { path, body } = post(Wire::Gemini, "http://g/v1beta", &prompt, true);
    assert_eq!(path, "models/m:streamGenerateContent?alt=sse");
    let expected = json!({
        "systemInstruction": { "parts": [{ "text": "be brief" }] },
        "contents": [
            { "role": "user", "parts": [{ "text": "weather?" }] },
            { "role": "model", "parts": [{ "functionCall": { "name": "weather", "args": { "city": "Oslo" } } }] },
            { "role": "user", "parts": [{ "functionResponse": { "name": "weather", "response": { "result": "rain" } } }] },
        ],
        "tools": [{ "functionDeclarations": [{ "name": "weather", "description": "d", "parametersJsonSchema": { "type": "object" } }] }],
        "generationConfig": {
            "temperature": 0.5, "maxOutputTokens": 9, "seed": 1, "stopSequences": ["END"], "topK": 4,
            "responseMimeType": "application/json", "responseJsonSchema": { "type": "object" },
        },
        "safetySettings": [],
    });
    assert_eq!(body, expected);
    assert_eq!(post(Wire::Gemini, "http://g", &prompt, false).path, "models/m:generateContent");
}

#[test]
fn gemini_answers_and_streams() {
    let body = r#"{"candidates":[{"content":{"parts":[{"text":"hm","thought":true},{"text":"Hi"}],"role":"model"},"finishReason":"MAX_TOKENS","index":0}],
        "usageMetadata":{"promptTokenCount":4,"candidatesTokenCount":2,"thoughtsTokenCount":3,"totalTokenCount":9},"modelVersion":"gemini-2.5-flash"}"#;
    assert_eq!(completed(Wire::Gemini, body), reply("Hi", "length", (4, 5)));
    let blocked = r#"{"promptFeedback":{"blockReason":"SAFETY"},"usageMetadata":{"promptTokenCount":4,"totalTokenCount":4}}"#;
    assert_eq!(
        completed(Wire::Gemini, blocked),
        CompletionReply {
            tokens: ReportedTokens { input: Some(4), output: None },
            ..reply("", "content_filter", (0, 0))
        }
    );
    let (pieces, whole) = streamed(
        Wire::Gemini,
        &[
            r#"{"candidates":[{"content":{"parts":[{"text":"Hel"}],"role":"model"},"index":0}],"usageMetadata":{"promptTokenCount":4}}"#,
            r#"{"candidates":[{"content":{"parts":[{"text":"lo"}],"role":"model"},"index":0}]}"#,
            r#"{"candidates":[{"content":{"parts":[{"functionCall":{"name":"weather","args":{"city":"Oslo"}}}]},"finishReason":"STOP"}],"usageMetadata":{"promptTokenCount":4,"candidatesTokenCount":6}}"#,
        ],
    );
    let called = vec![tool_call("call_0", "weather", r#"{"city":"Oslo"}"#)];
    assert_eq!(pieces, ["Hel", "lo"]);
    assert_eq!(whole, CompletionReply { tool_calls: called, ..reply("Hello", "tool_calls", (4, 6)) });
}

#[test]
fn gemini_embeds() {
    let WireRequest { path, body } = embed(Wire::Gemini, Kind::Query);
    assert_eq!(path, "models/e:batchEmbedContents");
    let expected = json!({
        "model": "models/e", "content": { "parts": [{ "text": "a" }] },
        "taskType": "RETRIEVAL_QUERY", "outputDimensionality": 2,
    });
    assert_eq!(body["requests"][0], expected);
    let expected = EmbeddingReply { vectors: vec![vec![1.0, 2.0], vec![3.0, 4.0]], tokens: None };
    assert_eq!(embedded(Wire::Gemini, r#"{"embeddings":[{"values":[1,2]},{"values":[3,4]}]}"#), expected);
}

#[test]
fn cohere_embeds_and_ranks() {
    let WireRequest { path, body } = embed(Wire::Cohere, Kind::Document);
    assert_eq!(path, "v2/embed");
    let expected = json!({
        "model": "e", "texts": ["a", "b"], "input_type": "search_document", "embedding_types": ["float"],
        "output_dimension": 2,
    });
    assert_eq!(body, expected);
    let body = r#"{"id":"1","texts":["a","b"],"embeddings":{"float":[[1,2],[3,4]]},"meta":{"api_version":{"version":"2"},"billed_units":{"input_tokens":2}}}"#;
    let expected = EmbeddingReply { vectors: vec![vec![1.0, 2.0], vec![3.0, 4.0]], tokens: Some(2) };
    assert_eq!(embedded(Wire::Cohere, body), expected);
    let documents = ["x".to_owned(), "y".to_owned()];
    let WireRequest { path, body } = of(Wire::Cohere).rerank_request("r", "q", &documents).unwrap();
    assert_eq!(
        (path.as_str(), body),
        ("v2/rerank", json!({ "model": "r", "query": "q", "documents": ["x", "y"] }))
    );
    let body =
        br#"{"results":[{"index":1,"relevance_score":0.9},{"index":0,"relevance_score":0.1}],"id":"1"}"#;
    assert_eq!(of(Wire::Cohere).parse_scores(body).unwrap(), [(1, 0.9), (0, 0.1)]);
}

#[test]
fn tei_embeds_and_ranks() {
    let WireRequest { path, body } = embed(Wire::Tei, Kind::Document);
    assert_eq!(path, "embed");
    assert_eq!(body, json!({ "inputs": ["a", "b"], "truncate": true, "dimensions": 2 }));
    let expected = EmbeddingReply { vectors: vec![vec![1.0, 2.0], vec![3.0, 4.0]], tokens: None };
    assert_eq!(embedded(Wire::Tei, "[[1,2],[3,4]]"), expected);
    let WireRequest { path, body } = of(Wire::Tei).rerank_request("", "q", &["x".to_owned()]).unwrap();
    assert_eq!((path.as_str(), body), ("rerank", json!({ "query": "q", "texts": ["x"], "truncate": true })));
    assert_eq!(of(Wire::Tei).parse_scores(br#"[{"index":0,"score":0.99}]"#).unwrap(), [(0, 0.99)]);
}

#[test]
fn what_a_protocol_lacks_is_a_bad_argument() {
    let base = Url::parse("http://a").unwrap();
    for wire in [Wire::Cohere, Wire::Tei] {
        let error = of(wire)
            .completion_request(&CompletionParams { base: &base, prompt: &conversation(), stream: false })
            .unwrap_err();
        assert_eq!(error.to_string(), format!("protocol {} has no language models", of(wire).name()));
    }
    let error = of(Wire::OpenAi).rerank_request("m", "q", &[]).unwrap_err();
    assert_eq!(error.to_string(), "protocol openai has no reranking models");
}

#[test]
fn arguments_that_are_no_json_are_refused() {
    let base = Url::parse("http://a").unwrap();
    for wire in [Wire::OpenAi, Wire::Anthropic, Wire::Gemini] {
        for prompt in [
            Prompt { tools: Some("{}".into()), ..Prompt::default() },
            Prompt { options: Some("[]".into()), ..Prompt::default() },
            Prompt { options: Some(r#"{"stream":true}"#.into()), ..Prompt::default() },
            Prompt { options: Some(r#"{"model":"other"}"#.into()), ..Prompt::default() },
            Prompt {
                options: Some(r#"{"generationConfig":{"maxOutputTokens":9}}"#.into()),
                ..Prompt::default()
            },
        ] {
            assert!(
                of(wire)
                    .completion_request(&CompletionParams { base: &base, prompt: &prompt, stream: false })
                    .is_err()
            );
        }
    }
}
