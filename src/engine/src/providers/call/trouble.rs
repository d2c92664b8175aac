//! What goes wrong with a call, in the words that the user reads.

use ragstone_core::failure::FailureKind;

use super::{At, Call};
use crate::{
    failure::Error,
    providers::{line::TooLate, refusal::Refusal, wire::Fault},
    scheduler::registry::lock,
};

impl Call {
    /// An answer of more bytes than allowed.
    pub fn too_long(&self) -> Error {
        let (name, limit) = (&self.target.name, self.target.limits.max_reply_bytes);
        failure(
            FailureKind::OverLimit,
            format!("answer of provider \"{name}\" is over the limit of {limit} bytes"),
            String::new(),
            "Ask for less, or raise the server's option max_reply_bytes.",
        )
    }

    /// The connection was lost in the middle of an answer.
    pub fn broken_off(&self) -> Error {
        let message = format!("answer of provider \"{}\" broke off", self.target.name);
        failure(FailureKind::ProviderLost, message, String::new(), "Try again.")
    }

    /// An answer that is none.
    pub fn fault(&self, fault: Fault) -> Error {
        match fault {
            Fault::Refused(refusal) => self.refusal(&refusal, 1),
            Fault::Malformed(reason) => self.malformed(reason),
        }
    }

    /// An answer that is not what the protocol says.
    pub fn malformed(&self, detail: String) -> Error {
        let (name, protocol) = (&self.target.name, self.wire.name());
        failure(
            FailureKind::ProviderMalformed,
            format!("answer of provider \"{name}\" is not what the protocol {protocol} says"),
            detail,
            "Check the server's options protocol and base_url.",
        )
    }

    /// The provider says no.
    pub(super) fn refusal(&self, refusal: &Refusal, tries: u32) -> Error {
        refusal.error(&self.target, self.key.as_ref().map(|key| key.0.as_str()), tries)
    }

    /// The deadline is there.
    pub(super) fn out_of_time(&self) -> Error {
        let (name, limit) = (&self.target.name, self.target.limits.timeout_ms);
        let course = lock(&self.course);
        let (message, hint) = match course.at {
            At::Turn => (
                format!("no turn to call provider \"{name}\" within {limit} ms"),
                "Raise the server's option concurrency, or the time that the call may take.",
            ),
            At::Answer => (
                format!("provider \"{name}\" did not answer within {limit} ms"),
                "Raise the time that the call may take.",
            ),
            At::Rest => (
                format!("provider \"{name}\" did not end its answer within {limit} ms"),
                "Raise the time that the call may take, or ask for a shorter answer.",
            ),
        };
        let detail = match course.retries {
            0 => String::new(),
            retries => format!("{} tries", retries + 1),
        };
        failure(FailureKind::ProviderLost, message, detail, hint)
    }

    /// The turn would come after the deadline.
    pub(super) fn too_late(&self, late: &TooLate) -> Error {
        let TooLate { what, per_minute, wait } = late;
        failure(
            FailureKind::QueueFull,
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

fn failure(kind: FailureKind, message: String, detail: String, hint: &str) -> Error {
    Error::Provider { kind, message, detail, hint: hint.into() }
}
