//! The attempts of one request: each takes a turn, and another one follows where a failure may pass.

use std::time::{Duration, SystemTime};

use backon::{BackoffBuilder, ExponentialBuilder};
use reqwest::{
    Request, Response,
    header::{CONTENT_TYPE, HeaderName, HeaderValue, LOCATION},
};
use tokio::time::Instant;

use super::{CallPhase, ProviderAnswer, ProviderCall, TokenCounts, run_by_size};
use crate::{
    failure::Error,
    providers::{
        client::{self, TransportError},
        refusal::{
            Refusal,
            headers::{request_id, retry_after},
        },
        url,
        wire::{error::ReplyError, protocol::WireRequest},
    },
};

/// How an attempt failed.
pub enum AttemptError {
    /// The provider has refused. The number counts the attempts.
    Refused(Box<Refusal>, u32),
    /// The provider could not be reached, or the connection was lost before the answer.
    Transport(TransportError),
    /// Another attempt is of no use.
    Final(Error),
}

impl From<Error> for AttemptError {
    fn from(error: Error) -> Self {
        Self::Final(error)
    }
}

impl ProviderCall {
    /// Sends a request and reads its answer by `read`, again if one of both fails transiently. `estimate` is the approximate
    /// number of tokens that the request takes.
    ///
    /// # Errors
    /// The last attempt's.
    pub async fn exchange<T, R>(
        &self,
        request: WireRequest,
        estimate: TokenCounts,
        read: impl Fn(ProviderAnswer) -> R,
    ) -> Result<T, AttemptError>
    where
        R: Future<Output = Result<T, AttemptError>>,
    {
        let json = request.body;
        let body = run_by_size(estimate.input * 4, move || serde_json::to_vec(&json)).await?;
        let request =
            self.build_request(&request.path, body.map_err(|error| Error::Internal(error.to_string()))?)?;
        let mut delays = ExponentialBuilder::default()
            .with_jitter()
            .with_min_delay(MIN_RETRY_DELAY)
            .with_max_delay(MAX_RETRY_DELAY)
            .with_max_times(self.target.limits.retries as usize)
            .build();
        let mut attempts = 0;
        loop {
            attempts += 1;
            let result = match self.attempt(&request, estimate).await {
                Ok(answer) => read(answer).await,
                Err(failed) => Err(failed),
            };
            let mut failed = match result {
                Ok(reply) => return Ok(reply),
                Err(failed) => failed,
            };
            let (is_transient, retry_after) = match &mut failed {
                AttemptError::Refused(refusal, tries) => {
                    *tries = attempts;
                    (refusal.is_transient() && !refusal.began, refusal.retry_after)
                }
                AttemptError::Transport(TransportError { is_transient, .. }) => (*is_transient, None),
                AttemptError::Final(_) => (false, None),
            };
            let Some(delay) = delays.next().filter(|_| is_transient) else { return Err(failed) };
            let delay =
                retry_after.map_or(delay, |after| after.saturating_add(delay.min(MIN_RETRY_DELAY) / 4));
            if delay >= self.deadline().saturating_duration_since(Instant::now()) {
                return Err(failed);
            }
            self.record_retry();
            tokio::time::sleep(delay).await;
        }
    }

    /// The error that the user reads.
    pub fn attempt_error(&self, failed: AttemptError) -> Error {
        match failed {
            AttemptError::Refused(refusal, tries) => self.refused(&refusal, tries),
            AttemptError::Transport(TransportError { error, .. }) | AttemptError::Final(error) => error,
        }
    }

    /// Why the reply of an attempt is not usable. `began` says whether a part of it was given out, so that no other attempt
    /// can take its place.
    pub fn reply_failed(&self, error: ReplyError, began: bool) -> AttemptError {
        match error {
            ReplyError::Refused(mut refusal) => {
                if !began {
                    self.set_pending_tokens(TokenCounts::default());
                }
                refusal.began = began;
                AttemptError::Refused(refusal, 1)
            }
            ReplyError::Malformed(reason) => AttemptError::Final(self.malformed(reason)),
        }
    }

    fn build_request(&self, path: &str, body: Vec<u8>) -> Result<Request, Error> {
        let mut request =
            self.client.post(url::join(&self.base, path)).header(CONTENT_TYPE, "application/json");
        for (name, value) in self.wire.headers() {
            request = request.header(*name, *value);
        }
        if let Some(key) = &self.key {
            let (name, value) = self.wire.key_header(&self.base, &key.0);
            request = request.header(HeaderName::from_static(name), secret_header(&value)?);
        }
        request.body(body).build().map_err(|_| Error::Internal("a request that cannot be written".into()))
    }

    async fn attempt(
        &self,
        request: &Request,
        estimate: TokenCounts,
    ) -> Result<ProviderAnswer, AttemptError> {
        self.set_phase(CallPhase::Permit);
        let (caller, limits) = (self.caller, &self.target.limits);
        let permit = self.rate_limiter.acquire(caller, limits, estimate.sum(), || self.deadline()).await;
        let permit = permit.map_err(|exceeded| self.rate_limited(&exceeded))?;
        self.set_phase(CallPhase::AnswerHead);
        let request =
            request.try_clone().ok_or(Error::Internal("a request that cannot be repeated".into()))?;
        self.set_pending_tokens(TokenCounts { output: 0, ..estimate });
        match self.in_time(self.client.execute(request)).await? {
            Ok(response) if response.status().is_success() => {
                self.set_phase(CallPhase::AnswerBody);
                Ok(ProviderAnswer { response, permit })
            }
            Ok(response) => {
                permit.record_tokens(0);
                self.set_pending_tokens(TokenCounts::default());
                let refusal = self.in_time(self.read_refusal(response)).await?;
                Err(AttemptError::Refused(Box::new(refusal), 1))
            }
            Err(error) => {
                self.set_pending_tokens(TokenCounts::default());
                Err(AttemptError::Transport(client::transport_error(&self.target, &error)))
            }
        }
    }

    async fn read_refusal(&self, mut response: Response) -> Refusal {
        let mut body = Vec::new();
        while let Ok(Some(bytes)) = response.chunk().await {
            body.extend_from_slice(&bytes);
            if body.len() > MAX_REFUSAL_BYTES {
                break;
            }
        }
        let (status, headers) = (response.status(), response.headers());
        let location = headers.get(LOCATION).filter(|_| status.is_redirection());
        let host =
            location.and_then(|url| self.base.join(url.to_str().ok()?).ok()?.host_str().map(str::to_owned));
        let refusal = Refusal::of_body(&body);
        Refusal {
            status: status.as_u16(),
            retry_after: retry_after(headers, SystemTime::now()).or(refusal.retry_after),
            request_id: request_id(headers).or(refusal.request_id),
            redirect: host,
            ..refusal
        }
    }
}

/// Delay before the first retry.
const MIN_RETRY_DELAY: Duration = Duration::from_millis(250);
/// Upper limit of the delay, which doubles with each retry.
const MAX_RETRY_DELAY: Duration = Duration::from_secs(20);
/// How much of the body of an error is read, bytes.
const MAX_REFUSAL_BYTES: usize = 64 << 10;

fn secret_header(value: &str) -> Result<HeaderValue, Error> {
    let mut value =
        HeaderValue::from_str(value).map_err(|_| Error::Internal("a key that no header can hold".into()))?;
    value.set_sensitive(true);
    Ok(value)
}
