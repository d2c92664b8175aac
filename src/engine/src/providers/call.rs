//! One call of a provider: its permit, its attempts, its deadline, its record.

mod attempts;
mod errors;
mod tokens;

use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant as Clock},
};

use ragstone_core::{
    protocol::Caller,
    provider::{Account, Secret, Spent, Target, Usage},
};
use reqwest::{Client, Response, Url};
use tokio::time::Instant;

pub use self::{
    attempts::AttemptError,
    tokens::{TokenCounts, estimate_tokens},
};
use super::{
    key,
    rate_limit::{Permit, RateLimiter},
    shared::Calls,
    url,
    wire::{self, protocol::Protocol},
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
    /// The role that takes turns for the call.
    caller: Caller,
    begin: Clock,
    timeout: Duration,
    /// `None` if each request has its own deadline.
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

/// What the record of a call holds before the call begins.
pub struct NewCall<'a> {
    /// The provider's name of the model.
    pub model: &'a str,
    /// The role that pays for the call, with its budgets.
    pub account: &'a Account,
    /// Estimated tokens.
    pub estimate: TokenCounts,
    /// What the server's timeout limits.
    pub timed: Timed,
}

/// What a timeout limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Timed {
    /// The whole call, including its wait for turns.
    Call,
    /// Each request, from its turn on. The number of requests and their wait for turns are not limited.
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

    /// Runs `work` until the deadline if the call has one, and closes the call's record. `reply` picks the part of the
    /// answer that is recorded.
    ///
    /// # Errors
    /// Errors of `work`; the deadline has passed.
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

    /// The deadline of the call, or of a request whose turn is now.
    fn deadline(&self) -> Instant {
        self.deadline.unwrap_or_else(|| Instant::now() + self.timeout)
    }

    /// Waits for a part of a request, at most until the request's deadline.
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

    /// Records another attempt.
    pub fn record_retry(&self) {
        lock(&self.progress).retries += 1;
        if let Some(entry) = lock(&self.entry).as_mut() {
            entry.record_retry();
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

/// A day: keeps the deadline within the range of the clock.
const MAX_TIMEOUT_MS: u64 = 24 * 3600 * 1000;
/// Upper limit of the buffer that is allocated by the announced length alone.
const MAX_INITIAL_BUFFER_BYTES: u64 = 1 << 20;

/// Maximum bytes of JSON that are read or written in the thread that serves the sockets; that takes about a millisecond.
const MAX_INLINE_JSON_BYTES: u64 = 1 << 20;

/// Runs `work` on JSON of `bytes` bytes: here if it is short, otherwise in a blocking thread.
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
