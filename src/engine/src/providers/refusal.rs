//! The part of a provider's error that is passed on: its status and short identifiers, never its message, which may
//! repeat the prompt or a part of the key.

pub mod headers;
mod reading;

use std::time::Duration;

use ragstone_core::{failure::FailureKind, provider::Target};

use crate::failure::Error;

/// An answer with an error.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Refusal {
    /// The HTTP status, or that which the body names. 0 for an error without any.
    pub status: u16,
    /// The provider's names for the error, and its reasons.
    pub codes: Vec<String>,
    /// The parameters and members of the request that the error is about.
    pub fields: Vec<String>,
    /// The provider's name for the request.
    pub request_id: Option<String>,
    /// What the error is about, if that can be seen.
    pub concern: Option<Concern>,
    /// Members of requests that the provider's message names as not supported.
    pub unsupported: Vec<&'static str>,
    /// Whether the prompt is longer than the model can read.
    pub too_long: bool,
    /// How long the provider wants the client to wait.
    pub retry_after: Option<Duration>,
    /// The host that a redirect leads to.
    pub redirect: Option<String>,
    /// Whether a part of the answer had arrived.
    pub began: bool,
}

/// What an error is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Concern {
    /// The account has no money or no quota left.
    Balance,
    /// The key is not valid.
    Key,
    /// The model does not exist, or not for this key.
    Model,
    /// The provider does not serve this region.
    Region,
    /// The provider's rules on content.
    Safety,
}

impl Refusal {
    /// Whether the same request may succeed later.
    pub fn is_transient(&self) -> bool {
        let is_permanent = self.concern.is_some() || self.is_too_long();
        match self.status {
            0 => !is_permanent && !self.codes.iter().any(|code| code.to_lowercase().contains("invalid")),
            // 498 is the answer of a tier without capacity.
            408 | 409 | 425 | 429 | 498 | 500..=599 => !is_permanent,
            _ => false,
        }
    }

    /// The error that the user reads. `tries` is the number of attempts.
    pub fn error(&self, target: &Target, key: Option<&str>, tries: u32) -> Error {
        let name = &target.name;
        let message = match self.status {
            _ if self.began => format!("provider \"{name}\" gave up in the middle of its answer"),
            0 => format!("provider \"{name}\" refused the request"),
            status => format!("provider \"{name}\" refused the request: status {status}"),
        };
        Error::Provider { kind: self.kind(), message, detail: self.detail(key, tries), hint: self.hint() }
    }

    fn kind(&self) -> FailureKind {
        match (self.concern, self.status) {
            _ if self.is_too_long() => FailureKind::OverLimit,
            (Some(Concern::Balance | Concern::Key), _) => FailureKind::KeyRefused,
            (Some(Concern::Safety), 0..=499) => FailureKind::ProviderRejected,
            (_, 401..=403) => FailureKind::KeyRefused,
            (_, 400 | 422) => FailureKind::ProviderRejected,
            (_, 404) => FailureKind::ModelRefused,
            _ => FailureKind::ProviderRefused,
        }
    }

    fn is_too_long(&self) -> bool {
        self.status == 413 || (self.too_long && matches!(self.status, 0 | 400 | 422))
    }

    fn detail(&self, key: Option<&str>, tries: u32) -> String {
        let mut facts = Vec::new();
        let repeats_key = |word: &str| key.is_some_and(|key| key.contains(word) || word.contains(key));
        let joined = |words: &[String]| {
            let words: Vec<&str> =
                words.iter().map(String::as_str).filter(|word| !repeats_key(word)).collect();
            (!words.is_empty()).then(|| words.join(", "))
        };
        if let Some(codes) = joined(&self.codes) {
            facts.push(format!("error {codes}"));
        }
        if self.began && self.status != 0 {
            facts.push(format!("status {}", self.status));
        }
        if let Some(fields) = joined(&self.fields) {
            facts.push(format!("about {fields}"));
        }
        if let Some(id) = self.request_id.as_ref().filter(|id| !repeats_key(id)) {
            facts.push(format!("request {id}"));
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
        let hint = match (self.concern, self.status) {
            _ if self.is_too_long() => {
                "Send a shorter prompt or shorter texts, ask for a shorter answer, or use a model with a larger context."
            }
            (Some(Concern::Balance), _) | (_, 402) => {
                "Check the balance and the quota of the account at the provider."
            }
            (Some(Concern::Key), _) => {
                "Check the api_key of the user mapping, and what the provider allows it."
            }
            (Some(Concern::Model), _) => {
                "Check the name of the model, whether the key may use it, and the server's option base_url."
            }
            (Some(Concern::Region), _) => {
                "The provider does not serve the region of the database's host; use another provider."
            }
            (Some(Concern::Safety), _) => {
                "The provider's rules on content refuse the prompt; change it, or use another model."
            }
            (_, 300..=399) => {
                "Set the server's option base_url to the address that the provider answers at: redirects are not followed."
            }
            (_, 401 | 403) => "Check the api_key of the user mapping, and what the provider allows it.",
            (_, 404) => "Check the name of the model, and the server's option base_url.",
            (_, 429) => {
                "Try again later, or lower the server's options requests_per_minute, tokens_per_minute or concurrency."
            }
            (_, 400 | 422) => "Check the arguments against what the provider and the model allow.",
            (_, 501) => "The provider does not offer this; use another model or provider.",
            (_, 0 | 408 | 409 | 425 | 498 | 500..=599) => "Try again later.",
            _ => "",
        };
        hint.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_are_kept_and_words_are_not() {
        let body = br#"{"error":{"message":"Incorrect API key: sk-abc","type":"invalid_request_error","code":"invalid_api_key"}}"#;
        assert_eq!(Refusal::of_body(body).codes, ["invalid_api_key", "invalid_request_error"]);
        let body = br#"{"error":{"code":"your prompt was: secret","type":12,"param":"what you said"}}"#;
        assert_eq!(Refusal::of_body(body), Refusal::default());
        let google = Refusal::of_body(br#"[{"error":{"code":400,"status":"INVALID_ARGUMENT"}}]"#);
        assert_eq!((google.status, google.codes), (400, vec!["INVALID_ARGUMENT".to_owned()]));
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

    fn refused(status: u16, body: &str) -> Refusal {
        Refusal { status, ..Refusal::of_body(body.as_bytes()) }
    }

    #[test]
    fn the_detail_says_what_was_wrong_in_every_shape() {
        for (body, detail) in [
            (
                r#"{"error":{"message":"secret","type":"invalid_request_error","param":"temperature","code":"unsupported_value"}}"#,
                "error unsupported_value, invalid_request_error; about temperature",
            ),
            (
                r#"{"detail":[{"type":"extra_forbidden","loc":["body","messages",0,"seed"],"msg":"secret","input":1}]}"#,
                "error extra_forbidden; about body.messages.0.seed",
            ),
            (
                r#"{"error":{"code":400,"message":"secret","status":"INVALID_ARGUMENT","details":[{"reason":"API_KEY_INVALID"},
                   {"fieldViolations":[{"field":"contents[2].parts","description":"secret"}]}]}}"#,
                "error INVALID_ARGUMENT, API_KEY_INVALID; about contents[2].parts",
            ),
            (
                r#"{"type":"error","error":{"type":"invalid_request_error","message":"secret"},"request_id":"req_1"}"#,
                "error invalid_request_error; request req_1",
            ),
            (
                r#"{"error":{"code":"content_filter","status":400,"param":"prompt","innererror":{"code":"ResponsibleAIPolicyViolation"}}}"#,
                "error content_filter, ResponsibleAIPolicyViolation; about prompt",
            ),
        ] {
            assert_eq!(refused(400, body).detail(None, 1), detail, "{body}");
        }
    }

    #[test]
    fn the_hint_is_about_what_was_refused() {
        for (status, body, kind, hint) in [
            (
                400,
                r#"{"error":{"message":"Your credit balance is too low"}}"#,
                FailureKind::KeyRefused,
                "balance",
            ),
            (
                400,
                r#"{"error":{"details":[{"reason":"API_KEY_INVALID"}]}}"#,
                FailureKind::KeyRefused,
                "api_key",
            ),
            (429, r#"{"error":{"code":"insufficient_quota"}}"#, FailureKind::KeyRefused, "quota"),
            (404, r#"{"error":{"code":"DeploymentNotFound"}}"#, FailureKind::ModelRefused, "model"),
            (
                403,
                r#"{"error":{"code":"unsupported_country_region_territory"}}"#,
                FailureKind::KeyRefused,
                "region",
            ),
            (
                400,
                r#"{"error":{"code":"content_filter"}}"#,
                FailureKind::ProviderRejected,
                "rules on content",
            ),
            (402, r"{}", FailureKind::KeyRefused, "balance"),
        ] {
            let refusal = refused(status, body);
            assert_eq!(refusal.kind(), kind, "{body}");
            assert!(refusal.hint().contains(hint), "{body}: {}", refusal.hint());
            assert!(!refusal.is_transient(), "{body}");
        }
    }

    #[test]
    fn what_may_pass_is_tried_again() {
        for status in [408, 409, 425, 429, 498, 500, 502, 503, 504, 520, 522, 524, 529, 530] {
            assert!(refused(status, "<html>").is_transient(), "{status}");
        }
        for status in [400, 401, 403, 404, 405, 413, 422, 451] {
            assert!(!refused(status, "{}").is_transient(), "{status}");
        }
        for (reply, transient, status) in [
            (r#"{"error":{"message":"x","code":429}}"#, true, 429),
            (r#"{"error":{"message":"x","code":"502"}}"#, true, 502),
            (r#"{"error":{"message":"x","code":401}}"#, false, 401),
            (r#"{"type":"error","error":{"type":"overloaded_error"}}"#, true, 0),
            (r#"{"error":{"type":"invalid_request_error"}}"#, false, 0),
            (r#"{"object":"error","code":500}"#, true, 500),
            (r#"{"error":"the runner has stopped"}"#, true, 0),
        ] {
            let refusal = Refusal::within(&serde_json::from_str(reply).unwrap()).unwrap();
            assert_eq!((refusal.is_transient(), refusal.status), (transient, status), "{reply}");
        }
        for reply in
            [r#"{"error":null}"#, r#"{"error":{},"choices":[]}"#, r#"{"object":"chat.completion"}"#, "[]"]
        {
            assert_eq!(Refusal::within(&serde_json::from_str(reply).unwrap()), None, "{reply}");
        }
    }

    #[test]
    fn googles_delay_is_read_from_the_body() {
        let body = r#"{"error":{"code":429,"details":[{"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":"2.5s"}]}}"#;
        assert_eq!(refused(429, body).retry_after, Some(Duration::from_millis(2500)));
    }

    #[test]
    fn unsupported_members_are_told_from_wrong_values() {
        for (body, members) in [
            (r#"{"error":{"message":"Unsupported value","param":"temperature"}}"#, vec!["temperature"]),
            (
                r#"{"error":{"message":"This response_format type is unavailable now"}}"#,
                vec!["response_format"],
            ),
            (
                r#"{"error":{"message":"Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead.","param":"max_tokens"}}"#,
                vec!["max_tokens"],
            ),
            (r#"{"detail":[{"type":"extra_forbidden","loc":["body","seed"]}]}"#, vec!["seed"]),
            (r#"{"error":{"message":"temperature must be at most 2","param":"temperature"}}"#, vec![]),
            (r#"{"error":{"message":"unsupported stopgap"}}"#, vec![]),
        ] {
            assert_eq!(refused(400, body).unsupported, members, "{body}");
        }
    }
}
