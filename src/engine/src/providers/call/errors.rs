//! The errors of a call, with the messages that the user reads.

use ragstone_core::failure::FailureKind;

use super::{CallPhase, ProviderCall};
use crate::{
    failure::Error,
    lock::lock,
    providers::{rate_limit::RateLimitExceeded, refusal::Refusal},
};

impl ProviderCall {
    /// The answer is longer than allowed.
    pub fn too_long(&self) -> Error {
        let (name, limit) = (&self.target.name, self.target.limits.max_reply_bytes);
        provider_error(
            FailureKind::OverLimit,
            format!("answer of provider \"{name}\" is over the limit of {limit} bytes"),
            String::new(),
            "Ask for less, or raise the server's option max_reply_bytes.",
        )
    }

    /// The connection was lost in the middle of an answer.
    pub fn broken_off(&self) -> Error {
        let message = format!("answer of provider \"{}\" broke off", self.target.name);
        provider_error(FailureKind::ProviderLost, message, String::new(), "Try again.")
    }

    /// The answer does not follow the protocol.
    pub fn malformed(&self, detail: String) -> Error {
        let (name, protocol) = (&self.target.name, self.wire.name());
        provider_error(
            FailureKind::ProviderMalformed,
            format!("answer of provider \"{name}\" is not what the protocol {protocol} says"),
            detail,
            "Check the server's options protocol and base_url.",
        )
    }

    /// The provider refuses the request.
    pub(super) fn refused(&self, refusal: &Refusal, attempts: u32) -> Error {
        refusal.error(&self.target, self.key.as_ref().map(|key| key.0.as_str()), attempts)
    }

    /// The deadline has passed.
    pub(super) fn timed_out(&self) -> Error {
        let (name, limit) = (&self.target.name, self.target.limits.timeout_ms);
        let progress = lock(&self.progress);
        let (message, hint) = match progress.phase {
            CallPhase::Permit => (
                format!("no turn to call provider \"{name}\" within {limit} ms"),
                "Raise the server's option concurrency, of which one role has at most half, or the time that the call may take.",
            ),
            CallPhase::AnswerHead => (
                format!("provider \"{name}\" did not answer within {limit} ms"),
                "Raise the time that the call may take.",
            ),
            CallPhase::AnswerBody => (
                format!("provider \"{name}\" did not end its answer within {limit} ms"),
                "Raise the time that the call may take, or ask for a shorter answer.",
            ),
        };
        let detail = match progress.retries {
            0 => String::new(),
            retries => format!("{} tries", retries + 1),
        };
        provider_error(FailureKind::ProviderLost, message, detail, hint)
    }

    /// A rate limit would delay the call beyond its deadline.
    pub(super) fn rate_limited(&self, exceeded: &RateLimitExceeded) -> Error {
        let RateLimitExceeded { what, per_minute, wait } = exceeded;
        provider_error(
            FailureKind::RateLimited,
            format!(
                "no turn to call provider \"{}\": {per_minute} {what} a minute are used up",
                self.target.name
            ),
            format!(
                "The next turn is in {} s, later than the call may take.",
                wait.as_millis().div_ceil(1000)
            ),
            "Try again later, or raise the server's limit.",
        )
    }
}

fn provider_error(kind: FailureKind, message: String, detail: String, hint: &str) -> Error {
    Error::Provider { kind, message, detail, hint: hint.into() }
}
