//! What is passed on of a provider's error: its status and short identifiers, and never its message, which may repeat the prompt
//! or a part of the key.

use std::time::{Duration, SystemTime};

use ragstone_core::{failure::FailureKind, provider::Target};
use reqwest::header::{HeaderMap, RETRY_AFTER};
use serde_json::Value;

use crate::failure::Error;

/// An answer with an error.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Refusal {
    /// The HTTP status, or 0 for an error in the middle of a stream.
    pub status: u16,
    /// The provider's names of the error.
    pub codes: Vec<String>,
    /// Whether the prompt is longer than the model can read.
    pub too_long: bool,
    /// How long the provider wants the client to wait.
    pub retry_after: Option<Duration>,
    /// The host that a redirect leads to.
    pub redirect: Option<String>,
}

impl Refusal {
    /// Reads the body of an error.
    pub fn of_body(body: &[u8]) -> Self {
        let text = String::from_utf8_lossy(body).to_lowercase();
        let too_long = TOO_LONG_PHRASES.iter().any(|phrase| text.contains(phrase));
        let mut codes = Vec::new();
        if let Ok(json) = serde_json::from_slice::<Value>(body) {
            let whole = if let Value::Array(items) = &json { items.first() } else { Some(&json) };
            let inner = whole.and_then(|whole| whole.get("error")).filter(|error| error.is_object());
            for member in ["code", "type", "status", "error_type"] {
                let code = inner.or(whole).and_then(|error| error.get(member)).and_then(Value::as_str);
                codes.extend(code.filter(|code| is_identifier(code)).map(str::to_owned));
            }
            codes.dedup();
        }
        Self { too_long, codes, ..Self::default() }
    }

    /// Whether the same request may succeed later.
    pub fn is_transient(&self) -> bool {
        let is_permanent = self.codes.iter().any(|code| code == "insufficient_quota");
        matches!(self.status, 408 | 409 | 429 | 500 | 502 | 503 | 504 | 529) && !is_permanent
    }

    /// The error that the user reads. `tries` is the number of attempts.
    pub fn error(&self, target: &Target, key: Option<&str>, tries: u32) -> Error {
        let name = &target.name;
        let message = match self.status {
            0 => format!("provider \"{name}\" gave up in the middle of its answer"),
            status => format!("provider \"{name}\" refused the request: status {status}"),
        };
        Error::Provider { kind: self.kind(), message, detail: self.detail(key, tries), hint: self.hint() }
    }

    fn kind(&self) -> FailureKind {
        match self.status {
            _ if self.is_too_long() => FailureKind::OverLimit,
            401..=403 => FailureKind::KeyRefused,
            _ if self.concerns_the_account() => FailureKind::KeyRefused,
            400 | 422 => FailureKind::ProviderRejected,
            404 => FailureKind::ModelRefused,
            _ => FailureKind::ProviderRefused,
        }
    }

    /// Whether the key or the account is refused, and not the input. Some providers answer 400 then.
    fn concerns_the_account(&self) -> bool {
        self.codes.iter().any(|code| ACCOUNT_CODES.contains(&code.as_str()))
    }

    fn is_too_long(&self) -> bool {
        self.status == 413 || (self.too_long && matches!(self.status, 0 | 400 | 422))
    }

    fn detail(&self, key: Option<&str>, tries: u32) -> String {
        let mut facts = Vec::new();
        let repeats_key = |code: &str| key.is_some_and(|key| key.contains(code) || code.contains(key));
        let codes: Vec<&str> =
            self.codes.iter().map(String::as_str).filter(|code| !repeats_key(code)).collect();
        if !codes.is_empty() {
            facts.push(format!("error {}", codes.join(", ")));
        }
        if let Some(host) = &self.redirect {
            facts.push(format!("redirect to host {host}"));
        }
        if let Some(after) = self.retry_after {
            facts.push(format!("retry after {} s", after.as_millis().div_ceil(1000)));
        }
        if tries > 1 {
            facts.push(format!("{tries} tries"));
        }
        facts.join("; ")
    }

    fn hint(&self) -> String {
        let hint = match self.status {
            _ if self.is_too_long() => {
                "Send a shorter prompt or shorter texts, ask for a shorter answer, or use a model with a larger context."
            }
            300..=399 => {
                "Set the server's option base_url to the address that the provider answers at: redirects are not followed."
            }
            401 | 403 => "Check the api_key of the user mapping, and what the provider allows it.",
            402 => "Check the account at the provider.",
            404 => "Check the name of the model, and the server's option base_url.",
            429 if self.codes.iter().any(|code| code == "insufficient_quota") => {
                "Check the account at the provider."
            }
            429 => {
                "Try again later, or lower the server's options requests_per_minute, tokens_per_minute or concurrency."
            }
            400 | 422 => "Check the arguments against what the provider and the model allow.",
            501 => "The provider does not offer this; use another model or provider.",
            0 | 408 | 409 | 500..=599 => "Try again later.",
            _ => "",
        };
        hint.into()
    }
}

/// How providers say that a prompt is too long, in lower case: OpenAI, vLLM, llama.cpp, Ollama, Anthropic, Gemini,
/// Text Embeddings Inference, Cohere.
const TOO_LONG_PHRASES: [&str; 10] = [
    "context_length_exceeded",
    "maximum context length",
    "exceed_context_size",
    "exceeds the available context size",
    "exceeds the context length",
    "prompt is too long",
    "exceeds the maximum number of tokens",
    "must have less than",
    "too many tokens",
    "context window",
];

/// How Gemini, OpenAI and those who speak their protocols name a wrong key or an account without money.
const ACCOUNT_CODES: [&str; 6] = [
    "API_KEY_INVALID",
    "invalid_api_key",
    "authentication_error",
    "insufficient_quota",
    "billing_not_active",
    "billing_error",
];

fn is_identifier(code: &str) -> bool {
    let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-');
    (1..=64).contains(&code.len()) && code.bytes().all(is_letter)
}

/// How long to wait before the next attempt, by the headers `retry-after-ms` (OpenAI, Azure) and `Retry-After` (RFC 9110, section 10.2.3:
/// seconds or a date).
pub fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = |name: &str| headers.get(name)?.to_str().ok().map(str::trim);
    let seconds =
        |text: &str| text.parse().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    if let Some(after) = text("retry-after-ms").and_then(seconds) {
        return Some(after / 1000);
    }
    let after = text(RETRY_AFTER.as_str())?;
    seconds(after).or_else(|| {
        let date = httpdate::parse_http_date(after).ok()?;
        Some(date.duration_since(now).unwrap_or_default())
    })
}

#[cfg(test)]
mod tests {
    use reqwest::header::HeaderValue;

    use super::*;

    #[test]
    fn identifiers_are_kept_and_words_are_not() {
        let body = br#"{"error":{"message":"Incorrect API key: sk-abc","type":"invalid_request_error","code":"invalid_api_key"}}"#;
        assert_eq!(Refusal::of_body(body).codes, ["invalid_api_key", "invalid_request_error"]);
        let body = br#"{"error":{"code":"your prompt was: secret","type":12}}"#;
        assert_eq!(Refusal::of_body(body), Refusal::default());
        assert_eq!(
            Refusal::of_body(br#"[{"error":{"code":400,"status":"INVALID_ARGUMENT"}}]"#).codes,
            ["INVALID_ARGUMENT"]
        );
        assert_eq!(Refusal::of_body(b"<html>"), Refusal::default());
    }

    #[test]
    fn a_code_that_repeats_the_key_is_left_out() {
        let refusal =
            Refusal { status: 401, codes: vec!["sk-abc".into(), "bad".into()], ..Refusal::default() };
        assert_eq!(refusal.detail(Some("sk-abcdef"), 1), "error bad");
        assert_eq!(refusal.detail(Some("sk"), 2), "error bad; 2 tries");
    }

    #[test]
    fn every_way_to_say_too_long_is_understood() {
        for body in [
            r#"{"error":{"code":"context_length_exceeded"}}"#,
            r#"{"error":{"code":400,"message":"the request exceeds the available context size","type":"exceed_context_size_error"}}"#,
            r#"{"type":"error","error":{"type":"invalid_request_error","message":"prompt is too long: 208310 tokens > 200000 maximum"}}"#,
            r#"{"error":{"code":400,"message":"The input token count (2) exceeds the maximum number of tokens allowed (1).","status":"INVALID_ARGUMENT"}}"#,
            r#"{"object":"error","message":"This model's maximum context length is 4096 tokens.","code":400}"#,
            r#"{"error":"`inputs` must have less than 512 tokens. Given: 600","error_type":"Validation"}"#,
        ] {
            let refusal = Refusal { status: 400, ..Refusal::of_body(body.as_bytes()) };
            assert_eq!(refusal.kind(), FailureKind::OverLimit, "{body}");
        }
    }

    #[test]
    fn the_time_of_the_next_try_is_read_in_all_its_forms() {
        let now = httpdate::parse_http_date("Sun, 06 Nov 1994 08:49:37 GMT").unwrap();
        let after = |name: &'static str, value: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(name, HeaderValue::from_static(value));
            retry_after(&headers, now)
        };
        assert_eq!(after("retry-after", "20"), Some(Duration::from_secs(20)));
        assert_eq!(after("retry-after", "Sun, 06 Nov 1994 08:49:40 GMT"), Some(Duration::from_secs(3)));
        assert_eq!(after("retry-after", "Sun, 06 Nov 1994 08:49:30 GMT"), Some(Duration::ZERO));
        assert_eq!(after("retry-after-ms", "1500"), Some(Duration::from_millis(1500)));
        for nonsense in ["soon", "-3", "NaN", "1e300"] {
            assert_eq!(after("retry-after", nonsense), None, "{nonsense}");
        }
    }
}
