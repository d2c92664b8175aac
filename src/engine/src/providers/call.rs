//! One call of a provider: its turn, its tries, its deadline, its record.

mod trouble;

use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant as Clock, SystemTime},
};

use backon::{BackoffBuilder, ExponentialBuilder};
use ragstone_core::provider::{Account, Secret, Spent, Target, Usage};
use reqwest::{
    Client, Request, Response, Url,
    header::{CONTENT_TYPE, HeaderName, HeaderValue, LOCATION},
};
use tokio::time::Instant;

use super::{
    client::{self, Clients, Unanswered},
    key,
    line::{Line, Lines, Turn},
    refusal::{Refusal, retry_after},
    url,
    wire::{self, Post, Protocol},
};
use crate::{failure::Error, ledger::Entry, scheduler::registry::lock, server::engine::Engine};

/// What calls of all sessions share.
#[derive(Default)]
pub struct Providers {
    clients: Clients,
    lines: Lines,
}

/// Who is called, and when the call has to be over.
pub struct Call {
    /// The provider.
    pub target: Box<Target>,
    /// How it is spoken to.
    pub wire: &'static dyn Protocol,
    /// Where it is.
    pub base: Url,
    key: Option<Secret>,
    client: Client,
    line: Arc<Line>,
    begin: Clock,
    deadline: Instant,
    entry: Mutex<Option<Entry>>,
    course: Mutex<Course>,
}

/// How far a call has come, for its record and for what is said when its time is over.
#[derive(Default)]
struct Course {
    at: At,
    retries: u32,
    /// What the answered tries took.
    taken: Tokens,
    /// What the try under way takes, about.
    pending: Tokens,
}

/// Tokens of a request and its answer.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Tokens {
    /// In the prompt, or in the texts to embed.
    pub input: u64,
    /// In the answer.
    pub output: u64,
}

impl Tokens {
    /// What a provider tells, bounded: it may tell anything.
    pub fn told(input: u64, output: u64) -> Self {
        Self { input: input.min(MOST_TOLD), output: output.min(MOST_TOLD) }
    }

    /// Both.
    pub fn sum(self) -> u64 {
        self.input + self.output
    }
}

/// More tokens than any call can take.
const MOST_TOLD: u64 = 1_000_000_000;

/// What a call waits for.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
enum At {
    #[default]
    Turn,
    Answer,
    Rest,
}

/// What a call is recorded as before it begins.
pub struct Opening<'a> {
    /// The provider's name of the model.
    pub model: &'a str,
    /// For whom.
    pub account: &'a Account,
    /// What it will take, about.
    pub estimate: Tokens,
}

/// An answer that has begun, with the turn that it takes until it is read.
pub struct Answer {
    /// Its head; the body is still to be read.
    pub response: Response,
    /// Its turn.
    pub turn: Turn,
}

impl Call {
    /// Makes ready for a call: key, connection, budgets.
    ///
    /// # Errors
    /// The address or the key is not usable, or a budget has no room.
    pub async fn open(
        engine: &Engine,
        target: Box<Target>,
        opening: Opening<'_>,
        text: impl FnOnce() -> String,
    ) -> Result<Self, Error> {
        let begin = Clock::now();
        let deadline = Instant::now() + Duration::from_millis(target.limits.timeout_ms.min(LONGEST_MS));
        let base = url::base(&target)?;
        let key = key::read(&target).await?;
        let shared = engine.providers();
        let client = shared.clients.get(&target, &base).await?;
        let Tokens { input, output } = opening.estimate;
        let estimate =
            Spent { cost: target.prices.cost(input, output), tokens: opening.estimate.sum(), calls: 1 };
        let entry = engine.ledger().open(&target, opening.model, opening.account, estimate, text)?;
        Ok(Self {
            wire: wire::of(target.wire),
            line: shared.lines.of(&target),
            base,
            key,
            client,
            begin,
            deadline,
            entry: Mutex::new(Some(entry)),
            course: Mutex::default(),
            target,
        })
    }

    /// Does the work before the deadline, and closes the record. `reply` is what is kept of the answer.
    ///
    /// # Errors
    /// Those of the work, or the time is over.
    pub async fn run<T>(
        &self,
        work: impl Future<Output = Result<T, Error>>,
        reply: impl FnOnce(&T) -> &str,
    ) -> Result<(T, Usage), Error> {
        let outcome = match tokio::time::timeout_at(self.deadline, work).await {
            Ok(outcome) => outcome,
            Err(_) => Err(self.out_of_time()),
        };
        let usage = self.usage();
        let entry = lock(&self.entry).take();
        match (&outcome, entry) {
            (Ok(answer), Some(entry)) => entry.answered(usage, reply(answer)),
            (Err(error), Some(entry)) => entry.failed(error.kind(), usage),
            (_, None) => {}
        }
        outcome.map(|answer| (answer, usage))
    }

    /// Notes what the try that ends now took.
    pub fn took(&self, tokens: Tokens) {
        self.change(|course| {
            course.taken.input += tokens.input;
            course.taken.output += tokens.output;
            course.pending = Tokens::default();
        });
    }

    /// Notes what the try under way takes up to now: what is recorded if nobody waits for its end.
    pub fn takes(&self, tokens: Tokens) {
        self.change(|course| course.pending = tokens);
    }

    fn change(&self, change: impl FnOnce(&mut Course)) {
        change(&mut lock(&self.course));
        let usage = self.usage();
        if let Some(entry) = lock(&self.entry).as_mut() {
            entry.so_far(usage);
        }
    }

    /// Notes that the provider is asked once more.
    pub fn again(&self) {
        lock(&self.course).retries += 1;
        if let Some(entry) = lock(&self.entry).as_mut() {
            entry.retry();
        }
    }

    /// Sends a request until it is answered, and gives the head of the answer. `estimate` is about what it takes.
    ///
    /// # Errors
    /// The provider cannot be reached, refuses, or would have to be waited for too long.
    pub async fn post(&self, post: Post, estimate: Tokens) -> Result<Answer, Error> {
        let json = post.body;
        let body = heavy(estimate.input * 4, move || serde_json::to_vec(&json)).await?;
        let request = self.request(&post.path, body.map_err(|error| Error::Internal(error.to_string()))?)?;
        let mut pauses = ExponentialBuilder::default()
            .with_jitter()
            .with_min_delay(FIRST_PAUSE)
            .with_max_delay(LONGEST_PAUSE)
            .with_max_times(self.target.limits.retries as usize)
            .build();
        let mut tries = 0;
        loop {
            tries += 1;
            let failed = match self.attempt(&request, estimate).await? {
                Ok(answer) => return Ok(answer),
                Err(failed) => failed,
            };
            let (error, may_pass, retry_after) = match failed {
                Failed::Refused(refusal) => {
                    (self.refusal(&refusal, tries), refusal.may_pass(), refusal.retry_after)
                }
                Failed::Unanswered(Unanswered { error, may_pass }) => (error, may_pass, None),
            };
            let Some(pause) = pauses.next().filter(|_| may_pass) else { return Err(error) };
            let pause = retry_after.map_or(pause, |after| after.saturating_add(pause.min(FIRST_PAUSE) / 4));
            if pause >= self.deadline.saturating_duration_since(Instant::now()) {
                return Err(error);
            }
            self.again();
            tokio::time::sleep(pause).await;
        }
    }

    fn request(&self, path: &str, body: Vec<u8>) -> Result<Request, Error> {
        let mut request =
            self.client.post(url::address(&self.base, path)).header(CONTENT_TYPE, "application/json");
        for (name, value) in self.wire.headers() {
            request = request.header(*name, *value);
        }
        if let Some(key) = &self.key {
            let (name, value) = self.wire.key(&self.base, &key.0);
            request = request.header(HeaderName::from_static(name), secret(&value)?);
        }
        request.body(body).build().map_err(|_| Error::Internal("a request that cannot be written".into()))
    }

    /// One try. The outer error ends the call.
    async fn attempt(&self, request: &Request, estimate: Tokens) -> Result<Result<Answer, Failed>, Error> {
        self.is_at(At::Turn);
        let turn = self.line.turn(&self.target.limits, estimate.sum(), self.deadline).await;
        let turn = turn.map_err(|late| self.too_late(&late))?;
        self.is_at(At::Answer);
        let request =
            request.try_clone().ok_or(Error::Internal("a request that cannot be repeated".into()))?;
        self.takes(Tokens { output: 0, ..estimate });
        match self.client.execute(request).await {
            Ok(response) if response.status().is_success() => {
                self.is_at(At::Rest);
                Ok(Ok(Answer { response, turn }))
            }
            Ok(response) => {
                turn.took(0);
                self.takes(Tokens::default());
                Ok(Err(Failed::Refused(self.refused(response).await)))
            }
            Err(error) => {
                self.takes(Tokens::default());
                Ok(Err(Failed::Unanswered(client::unanswered(&self.target, &error))))
            }
        }
    }

    async fn refused(&self, mut response: Response) -> Refusal {
        let mut body = Vec::new();
        while let Ok(Some(bytes)) = response.chunk().await {
            body.extend_from_slice(&bytes);
            if body.len() > MOST_OF_A_REFUSAL {
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

    /// The whole body of an answer.
    ///
    /// # Errors
    /// It is longer than the limit, or breaks off.
    pub async fn read(&self, answer: &mut Answer) -> Result<Vec<u8>, Error> {
        let announced = answer.response.content_length().unwrap_or(0);
        self.check_size(announced)?;
        let mut body = Vec::with_capacity(announced.min(FIRST_BUFFER) as usize);
        while let Some(bytes) = answer.response.chunk().await.map_err(|_| self.broken_off())? {
            self.check_size((body.len() + bytes.len()) as u64)?;
            body.extend_from_slice(&bytes);
        }
        Ok(body)
    }

    fn check_size(&self, bytes: u64) -> Result<(), Error> {
        if bytes <= self.target.limits.max_reply_bytes { Ok(()) } else { Err(self.too_long()) }
    }

    fn is_at(&self, at: At) {
        lock(&self.course).at = at;
    }

    fn usage(&self) -> Usage {
        let Course { taken, pending, .. } = *lock(&self.course);
        let (input_tokens, output_tokens) = (taken.input + pending.input, taken.output + pending.output);
        Usage {
            input_tokens,
            output_tokens,
            cost: self.target.prices.cost(input_tokens, output_tokens),
            latency_ms: self.begin.elapsed().as_secs_f64() * 1e3,
        }
    }
}

/// A try that came to nothing.
enum Failed {
    Refused(Refusal),
    Unanswered(Unanswered),
}

const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(20);
const LONGEST_MS: u64 = 24 * 3600 * 1000;
const MOST_OF_A_REFUSAL: usize = 64 << 10;
const FIRST_BUFFER: u64 = 1 << 20;

/// Bytes of JSON that are read or written in the thread that serves the sockets: about a millisecond.
const LIGHT: u64 = 1 << 20;

/// Does work on so many bytes: elsewhere, if they are many.
///
/// # Errors
/// The work panicked.
pub async fn heavy<T: Send + 'static>(
    bytes: u64,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Error> {
    if bytes <= LIGHT {
        return Ok(work());
    }
    tokio::task::spawn_blocking(work).await.map_err(|error| Error::Internal(error.to_string()))
}

/// Tokens of so many bytes, about.
pub fn tokens_of(bytes: usize) -> u64 {
    bytes.div_ceil(4) as u64
}

fn secret(value: &str) -> Result<HeaderValue, Error> {
    let mut value =
        HeaderValue::from_str(value).map_err(|_| Error::Internal("a key that no header can hold".into()))?;
    value.set_sensitive(true);
    Ok(value)
}
