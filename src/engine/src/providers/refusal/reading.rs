//! Reads the errors of providers: each vendor has a shape of its own.

use serde_json::Value;

use super::{
    Concern, Refusal,
    headers::{is_identifier, seconds},
};

impl Refusal {
    /// Reads the body of an error.
    pub fn of_body(body: &[u8]) -> Self {
        match serde_json::from_slice::<Value>(body) {
            Ok(json) => Self::of_value(&json),
            Err(_) => {
                let text = String::from_utf8_lossy(body).to_lowercase();
                Self { too_long: contains_any(&text, &TOO_LONG_PHRASES), ..Self::default() }
            }
        }
    }

    /// The error that a reply reports, if it reports one.
    pub fn within(reply: &Value) -> Option<Self> {
        let reported = match &reply["error"] {
            Value::Null | Value::Bool(_) => false,
            Value::String(text) => !text.is_empty(),
            Value::Object(error) => !error.is_empty(),
            _ => true,
        };
        (reported || reply["object"] == "error" || reply["type"] == "error").then(|| Self::of_value(reply))
    }

    fn of_value(json: &Value) -> Self {
        let whole = if json.is_array() { &json[0] } else { json };
        let error = if whole["error"].is_object() { &whole["error"] } else { whole };
        let text = whole.to_string().to_lowercase();
        let mut refusal = Self { too_long: contains_any(&text, &TOO_LONG_PHRASES), ..Self::default() };
        for name in ["code", "status"] {
            let number = error[name].as_u64().or_else(|| error[name].as_str()?.parse().ok());
            match number.and_then(|number| u16::try_from(number).ok()) {
                Some(status @ 400..=599) => refusal.status = status,
                _ => refusal.add_code(&error[name]),
            }
        }
        for code in [&error["type"], &error["error_type"], &error["innererror"]["code"]] {
            refusal.add_code(code);
        }
        refusal.codes.retain(|code| code != "error");
        refusal.add_field(&error["param"]);
        for detail in items(&error["details"]) {
            refusal.add_detail(detail);
        }
        // FastAPI and Pydantic: a path of names and positions for each fault.
        for fault in items(&whole["detail"]) {
            refusal.add_code(&fault["type"]);
            let steps = items(&fault["loc"])
                .map(|step| step.as_str().map_or_else(|| step.to_string(), str::to_owned));
            refusal.add_field(&steps.collect::<Vec<_>>().join(".").into());
        }
        let id = [&whole["request_id"], &error["request_id"]].into_iter().find_map(Value::as_str);
        refusal.request_id = id.filter(|id| is_identifier(id)).map(str::to_owned);
        refusal.concern = concern(&refusal.codes, &text);
        if contains_any(&text, &UNSUPPORTED_PHRASES) {
            // A provider that names the parameter may mention others, which it suggests.
            let named = |name: &&str| match refusal.fields.as_slice() {
                [] => names(&text, name),
                fields => fields.iter().any(|field| field.rsplit('.').next() == Some(*name)),
            };
            refusal.unsupported = OPTIONAL_MEMBERS.into_iter().filter(named).collect();
        }
        refusal
    }

    /// Reads one of the details of Google's errors.
    fn add_detail(&mut self, detail: &Value) {
        self.add_code(&detail["reason"]);
        for violation in items(&detail["fieldViolations"]) {
            self.add_field(&violation["field"]);
        }
        for violation in items(&detail["violations"]) {
            self.add_code(&violation["quotaId"]);
        }
        self.retry_after = detail["retryDelay"].as_str().and_then(seconds).or(self.retry_after);
    }

    fn add_code(&mut self, code: &Value) {
        let code = code.as_str().filter(|code| is_identifier(code));
        self.codes
            .extend(code.filter(|code| !self.codes.iter().any(|known| known == code)).map(str::to_owned));
    }

    fn add_field(&mut self, field: &Value) {
        let field = field.as_str().filter(|field| is_path(field));
        self.fields
            .extend(field.filter(|field| !self.fields.iter().any(|known| known == field)).map(str::to_owned));
    }
}

fn items(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn contains_any(text: &str, phrases: &[&str]) -> bool {
    phrases.iter().any(|phrase| text.contains(phrase))
}

fn concern(codes: &[String], text: &str) -> Option<Concern> {
    let is_code = |known: &&str| codes.iter().any(|code| code.eq_ignore_ascii_case(known));
    let found =
        CONCERNS.iter().find(|(known, phrases, _)| known.iter().any(&is_code) || contains_any(text, phrases));
    found.map(|(_, _, concern)| *concern)
}

/// Whether a text in lower case has this name as a whole word.
fn names(text: &str, name: &str) -> bool {
    let is_part = |letter: char| letter.is_alphanumeric() || letter == '_';
    text.match_indices(name).any(|(start, _)| {
        !text[..start].ends_with(is_part) && !text[start + name.len()..].starts_with(is_part)
    })
}

/// Members that a request can do without, or that have another form.
const OPTIONAL_MEMBERS: [&str; 10] = [
    "temperature",
    "top_p",
    "max_tokens",
    "max_completion_tokens",
    "stop",
    "stop_sequences",
    "seed",
    "response_format",
    "reasoning_effort",
    "stream_options",
];

/// Phrases with which providers say that they do not know or take a parameter, in contrast to its value, in lower case.
const UNSUPPORTED_PHRASES: [&str; 13] = [
    "unsupported",
    "not support",
    "unavailable",
    "not available",
    "unknown",
    "unrecognized",
    "unexpected",
    "not permitted",
    "extra_forbidden",
    "not allowed",
    "deprecated",
    "cannot be used",
    "does not accept",
];

/// Phrases with which providers report that a prompt is too long, in lower case: OpenAI, vLLM, llama.cpp, Ollama,
/// Anthropic, Gemini, Text Embeddings Inference, Cohere.
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

/// What an error is about: codes, and phrases in lower case, of the providers.
const CONCERNS: [(&[&str], &[&str], Concern); 5] = [
    (
        &[
            "insufficient_quota",
            "billing_not_active",
            "billing_error",
            "insufficient_balance",
            "credits_exhausted",
        ],
        &[
            "credit balance is too low",
            "insufficient balance",
            "requires more credits",
            "insufficient credits",
        ],
        Concern::Balance,
    ),
    (
        &["api_key_invalid", "invalid_api_key", "authentication_error", "invalid_authentication"],
        &["api key not valid", "incorrect api key", "invalid api key", "invalid subscription key"],
        Concern::Key,
    ),
    (
        &["unsupported_country_region_territory"],
        &["user location is not supported", "country, region, or territory not supported"],
        Concern::Region,
    ),
    (
        &[
            "content_filter",
            "content_policy_violation",
            "responsibleaipolicyviolation",
            "data_inspection_failed",
        ],
        &["content management policy", "usage policies"],
        Concern::Safety,
    ),
    (
        &["model_not_found", "deploymentnotfound", "model_not_available"],
        &["try pulling it first"],
        Concern::Model,
    ),
];

/// Whether this is the path of a member, like `messages[0].content`.
fn is_path(field: &str) -> bool {
    let is_letter = |byte: u8| {
        byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-' | b'[' | b']' | b'/' | b'$')
    };
    (1..=128).contains(&field.len()) && field.bytes().all(is_letter)
}
