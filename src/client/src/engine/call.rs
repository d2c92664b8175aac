//! A request with all that it needs: what is left needs no transaction.

use crate::engine::client;
use crate::engine::client::Pending;
use crate::settings;
use ragstone_core::protocol::Request;
use ragstone_core::provider::Limits;
use ragstone_pg::error::Result;
use std::time::Duration;

/// The engine ends a call to a provider in time by itself, and says more about it.
const PROVIDER_TIMEOUT_MARGIN: Duration = Duration::from_secs(2);

/// A request, and how long its answer may take.
#[derive(Debug, Clone)]
pub struct Call {
    request: Request,
    timeout: Duration,
}

impl Call {
    /// A request that is answered within `rag.request_timeout`.
    pub fn new(request: Request) -> Self {
        Self { request, timeout: Duration::from_millis(settings::request_timeout()) }
    }

    /// A request that a provider answers, within the time that is its own.
    pub fn with_limits(limits: &Limits, request: Request) -> Self {
        Self { request, timeout: Duration::from_millis(limits.timeout_ms) + PROVIDER_TIMEOUT_MARGIN }
    }

    /// Whether both ask the same of the same. For whom, and what his budgets have left, may have changed in between.
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
            (a @ Embed { .. }, b) => a == b,
            _ => false,
        }
    }

    /// Whether a language model is asked.
    pub fn is_completion(&self) -> bool {
        matches!(self.request, Request::Complete { .. })
    }

    /// Puts it on its way.
    pub fn send(&self) -> Result<Pending> {
        client::send_with_timeout(self.request.clone(), self.timeout)
    }

    /// The same for a call that is not made twice.
    pub fn into_pending(self) -> Result<Pending> {
        client::send_with_timeout(self.request, self.timeout)
    }
}
