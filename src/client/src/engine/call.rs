//! A complete request, which can be sent without a transaction.

use crate::engine::client;
use crate::engine::client::Pending;
use ragstone_core::protocol::{Caller, Request};
use ragstone_core::provider::Limits;
use ragstone_pg::error::Result;
use ragstone_pg::session;
use std::time::Duration;

/// Margin added to a provider's timeout. The engine enforces that timeout itself, with a better error message.
const PROVIDER_TIMEOUT_MARGIN: Duration = Duration::from_secs(2);

/// The current role in the session's database.
pub fn caller() -> Caller {
    Caller { database: session::database(), role: session::current_role().to_u32() }
}

/// A request, and the time for which the engine may make no progress with it.
#[derive(Debug, Clone)]
pub struct Call {
    request: Request,
    timeout: Duration,
}

impl Call {
    /// A request whose timeout is `rag.request_timeout`.
    pub fn new(request: Request) -> Self {
        Self { request, timeout: client::default_timeout() }
    }

    /// A request to a provider, with the provider's timeout.
    pub fn with_limits(limits: &Limits, request: Request) -> Self {
        Self { request, timeout: Duration::from_millis(limits.timeout_ms) + PROVIDER_TIMEOUT_MARGIN }
    }

    /// True if both requests have the same target and content. Caller and remaining budget are ignored: they may have changed.
    pub fn is_same(&self, other: &Self) -> bool {
        use Request::{Complete, Embed, EmbedBy, RerankBy};
        match (&self.request, &other.request) {
            (Complete { target: a, prompt: p, .. }, Complete { target: b, prompt: q, .. }) => {
                a == b && p == q
            }
            (
                EmbedBy { target: a, model: m, dimensions: d, kind: k, texts: t, .. },
                EmbedBy { target: b, model: n, dimensions: e, kind: l, texts: u, .. },
            ) => a == b && (m, d, k, t) == (n, e, l, u),
            (
                RerankBy { target: a, model: m, query: p, documents: d, .. },
                RerankBy { target: b, model: n, query: q, documents: e, .. },
            ) => a == b && (m, p, d) == (n, q, e),
            (
                Embed { model: m, kind: k, lane: l, texts: t, .. },
                Embed { model: n, kind: o, lane: p, texts: u, .. },
            ) => (m, k, l, t) == (n, o, p, u),
            _ => false,
        }
    }

    /// True for a call to a language model.
    pub fn is_completion(&self) -> bool {
        matches!(self.request, Request::Complete { .. })
    }

    /// Sends the request.
    pub fn send(&self) -> Result<Pending> {
        client::send_with_timeout(self.request.clone(), self.timeout)
    }

    /// Sends the request, and consumes the call.
    pub fn into_pending(self) -> Result<Pending> {
        client::send_with_timeout(self.request, self.timeout)
    }
}
