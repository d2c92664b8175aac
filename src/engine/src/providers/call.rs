//! One call of a provider: its permit, its attempts, its deadline, its record.

mod errors;
mod tokens;

use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant as Clock, SystemTime},
};

use backon::{BackoffBuilder, ExponentialBuilder};
use ragstone_core::{
    protocol::Caller,
    provider::{Account, Secret, Spent, Target, Usage},
};
use reqwest::{
    Client, Request, Response, Url,
    header::{CONTENT_TYPE, HeaderName, HeaderValue, LOCATION},
};
use tokio::time::Instant;

pub use self::tokens::{TokenCounts, estimate_tokens};
use super::{
    client::{self, TransportError},
    key,
    rate_limit::{Permit, RateLimiter},
    refusal::{Refusal, retry_after},
    shared::Calls,
    url,
    wire::{
        self,
        protocol::{Protocol, WireRequest},
    },
};
use crate::{failure::Error, ledger::LedgerEntry, lock::lock};

/// A call: which provider, and the deadline.
pub struct ProviderCall {
    /// The provider.
    pub target: Box<Target>,
    /// Its protocol.
    pub wire: &'static dyn Protocol,
    /// Its address.
    pub base: Url,
    key: Option<Secret>,
    client: Client,
    rate_limiter: Arc<RateLimiter>,
    /// Who has the call's turns.
    caller: Caller,
    begin: Clock,
    timeout: Duration,
    /// None if each request has a deadline of its own.
    deadline: Option<Instant>,
    entry: Mutex<Option<LedgerEntry>>,
    progress: Mutex<CallProgress>,
}

/// The state of a call, for its record and for the message when its deadline passes.
#[derive(Default)]
struct CallProgress {
    phase: CallPhase,
    retries: u32,
    /// Tokens of the attempts that were answered.
    used: TokenCounts,
    /// Estimated tokens of the attempt in progress.
    pending: TokenCounts,
}

/// What a call waits for.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
enum CallPhase {
    #[default]
    Permit,
    AnswerHead,
    AnswerBody,
}

/// What is recorded of a call before it begins.
pub struct NewCall<'a> {
    /// The provider's name of the model.
    pub model: &'a str,
    /// The role that pays for the call, with its budgets.
    pub account: &'a Account,
    /// Estimated tokens.
    pub estimate: TokenCounts,
    /// What the server's timeout is for.
    pub timed: Timed,
}

/// What a timeout is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Timed {
    /// The call, with its wait for turns.
    Call,
    /// Each request, from its turn on: how many there are, and how many of others go before them, is the caller's affair.
    EachRequest,
}

/// An answer whose head has arrived, with the permit that it holds until its body is read.
pub struct ProviderAnswer {
    /// The head; the body is still to be read.
    pub response: Response,
    /// The permit.
    pub permit: Permit,
}

impl ProviderCall {
    /// Prepares a call: reads the key, picks a connection, reserves budgets.
    ///
    /// # Errors
    /// The address or the key is not usable, or a budget has no room.
    pub async fn open(
        calls: &Calls,
        target: Box<Target>,
        new: NewCall<'_>,
        prompt: impl FnOnce() -> String,
    ) -> Result<Self, Error> {
        let begin = Clock::now();
        let timeout = Duration::from_millis(target.limits.timeout_ms.min(MAX_TIMEOUT_MS));
        let deadline = (new.timed == Timed::Call).then(|| Instant::now() + timeout);
        let base = url::parse_base(&target)?;
        let key = key::read(&target)?;
        let client = calls.clients.get(&target, &base).await?;
        let TokenCounts { input, output } = new.estimate;
        let estimate =
            Spent { cost: target.prices.cost(input, output), tokens: new.estimate.sum(), calls: 1 };
        let entry = calls.ledger().open(&target, new.model, new.account, estimate, prompt)?;
        Ok(Self {
            wire: wire::of(target.wire),
            rate_limiter: calls.rate_limiters.get(&target),
            caller: Caller { database: target.database, role: new.account.role },
            base,
            key,
            client,
            begin,
            timeout,
            deadline,
            entry: Mutex::new(Some(entry)),
            progress: Mutex::default(),
            target,
        })
    }

    /// Runs `work` until the deadline if the call has one, and closes the call's record. `reply` picks the part of the answer that is recorded.
    ///
    /// # Errors
    /// Those of the work, or the deadline has passed.
    pub async fn run<T>(
        &self,
        work: impl Future<Output = Result<T, Error>>,
        reply: impl FnOnce(&T) -> &str,
    ) -> Result<(T, Usage), Error> {
        let result = match self.deadline {
            Some(_) => self.in_time(work).await.flatten(),
            None => work.await,
        };
        let usage = self.usage();
        let entry = lock(&self.entry).take();
        match (&result, entry) {
            (Ok(answer), Some(entry)) => entry.close_answered(usage, reply(answer)),
            (Err(error), Some(entry)) => entry.close_failed(error.kind(), usage),
            (_, None) => {}
        }
        result.map(|answer| (answer, usage))
    }

    /// The deadline of the call, or of a request that has its turn now.
    fn deadline(&self) -> Instant {
        self.deadline.unwrap_or_else(|| Instant::now() + self.timeout)
    }

    /// Waits for a part of a request, no longer than its deadline.
    ///
    /// # Errors
    /// The deadline has passed.
    async fn in_time<T>(&self, work: impl Future<Output = T>) -> Result<T, Error> {
        tokio::time::timeout_at(self.deadline(), work).await.map_err(|_| self.timed_out())
    }

    /// Records the tokens of an attempt that was answered.
    pub fn record_tokens(&self, tokens: TokenCounts) {
        self.update(|progress| {
            progress.used.input += tokens.input;
            progress.used.output += tokens.output;
            progress.pending = TokenCounts::default();
        });
    }

    /// Sets the estimated tokens of the attempt in progress, which are recorded if the call is cancelled.
    pub fn set_pending_tokens(&self, tokens: TokenCounts) {
        self.update(|progress| progress.pending = tokens);
    }

    fn update(&self, change: impl FnOnce(&mut CallProgress)) {
        change(&mut lock(&self.progress));
        let usage = self.usage();
        if let Some(entry) = lock(&self.entry).as_mut() {
            entry.set_usage(usage);
        }
    }

    /// Records that the provider is asked once more.
    pub fn record_retry(&self) {
        lock(&self.progress).retries += 1;
        if let Some(entry) = lock(&self.entry).as_mut() {
            entry.record_retry();
        }
    }

    /// Sends a request, again if it fails transiently, and returns the head of the answer. `estimate` is the number of
    /// tokens that it takes, approximately.
    ///
    /// # Errors
    /// The provider cannot be reached, refuses, or wants to be asked again only after the deadline.
    pub async fn post(&self, request: WireRequest, estimate: TokenCounts) -> Result<ProviderAnswer, Error> {
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
            let failed = match self.attempt(&request, estimate).await? {
                Ok(answer) => return Ok(answer),
                Err(failed) => failed,
            };
            let (error, is_transient, retry_after) = match failed {
                AttemptError::Refused(refusal) => {
                    (self.refused(&refusal, attempts), refusal.is_transient(), refusal.retry_after)
                }
                AttemptError::Transport(TransportError { error, is_transient }) => {
                    (error, is_transient, None)
                }
            };
            let Some(delay) = delays.next().filter(|_| is_transient) else { return Err(error) };
            let delay =
                retry_after.map_or(delay, |after| after.saturating_add(delay.min(MIN_RETRY_DELAY) / 4));
            if delay >= self.deadline().saturating_duration_since(Instant::now()) {
                return Err(error);
            }
            self.record_retry();
            tokio::time::sleep(delay).await;
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

    /// One attempt. The outer error ends the call, the inner one allows another attempt.
    async fn attempt(
        &self,
        request: &Request,
        estimate: TokenCounts,
    ) -> Result<Result<ProviderAnswer, AttemptError>, Error> {
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
                Ok(Ok(ProviderAnswer { response, permit }))
            }
            Ok(response) => {
                permit.record_tokens(0);
                self.set_pending_tokens(TokenCounts::default());
                Ok(Err(AttemptError::Refused(self.in_time(self.read_refusal(response)).await?)))
            }
            Err(error) => {
                self.set_pending_tokens(TokenCounts::default());
                Ok(Err(AttemptError::Transport(client::transport_error(&self.target, &error))))
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
        let status = response.status();
        let location = response.headers().get(LOCATION).filter(|_| status.is_redirection());
        let host =
            location.and_then(|url| self.base.join(url.to_str().ok()?).ok()?.host_str().map(str::to_owned));
        Refusal {
            status: status.as_u16(),
            retry_after: retry_after(response.headers(), SystemTime::now()),
            redirect: host,
            ..Refusal::of_body(&body)
        }
    }

    /// Reads the whole body of an answer.
    ///
    /// # Errors
    /// It is longer than the limit, or the connection is lost.
    pub async fn read_body(&self, answer: &mut ProviderAnswer) -> Result<Vec<u8>, Error> {
        let announced = answer.response.content_length().unwrap_or(0);
        self.check_size(announced)?;
        let mut body = Vec::with_capacity(announced.min(MAX_INITIAL_BUFFER_BYTES) as usize);
        let reading = async {
            while let Some(bytes) = answer.response.chunk().await.map_err(|_| self.broken_off())? {
                self.check_size((body.len() + bytes.len()) as u64)?;
                body.extend_from_slice(&bytes);
            }
            Ok(())
        };
        self.in_time(reading).await.flatten()?;
        Ok(body)
    }

    fn check_size(&self, bytes: u64) -> Result<(), Error> {
        if bytes <= self.target.limits.max_reply_bytes { Ok(()) } else { Err(self.too_long()) }
    }

    fn set_phase(&self, phase: CallPhase) {
        lock(&self.progress).phase = phase;
    }

    fn usage(&self) -> Usage {
        let CallProgress { used, pending, .. } = *lock(&self.progress);
        let (input_tokens, output_tokens) = (used.input + pending.input, used.output + pending.output);
        Usage {
            input_tokens,
            output_tokens,
            cost: self.target.prices.cost(input_tokens, output_tokens),
            latency_ms: self.begin.elapsed().as_secs_f64() * 1e3,
        }
    }
}

/// How an attempt failed.
enum AttemptError {
    Refused(Refusal),
    Transport(TransportError),
}

/// Delay before the first retry.
const MIN_RETRY_DELAY: Duration = Duration::from_millis(250);
/// Upper limit of the delay, which doubles with each retry.
const MAX_RETRY_DELAY: Duration = Duration::from_secs(20);
/// A day: keeps the deadline within the range of the clock.
const MAX_TIMEOUT_MS: u64 = 24 * 3600 * 1000;
/// How much of an error's body is read.
const MAX_REFUSAL_BYTES: usize = 64 << 10;
/// Upper limit of the buffer that is allocated by the announced length alone.
const MAX_INITIAL_BUFFER_BYTES: u64 = 1 << 20;

/// Maximum size of JSON that is read or written in the thread that serves the sockets; it takes about a millisecond.
const MAX_INLINE_JSON_BYTES: u64 = 1 << 20;

/// Runs `work` on `bytes` bytes of JSON: here if they are few, else in a blocking thread.
///
/// # Errors
/// The work panicked.
pub async fn run_by_size<T: Send + 'static>(
    bytes: u64,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Error> {
    if bytes <= MAX_INLINE_JSON_BYTES {
        return Ok(work());
    }
    tokio::task::spawn_blocking(work).await.map_err(|error| Error::Internal(error.to_string()))
}

fn secret_header(value: &str) -> Result<HeaderValue, Error> {
    let mut value =
        HeaderValue::from_str(value).map_err(|_| Error::Internal("a key that no header can hold".into()))?;
    value.set_sensitive(true);
    Ok(value)
}
