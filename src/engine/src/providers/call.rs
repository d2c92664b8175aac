//! One call of a provider: its turn, its tries, its deadline, its record.

use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant as Clock, SystemTime},
};

use backon::{BackoffBuilder, ExponentialBuilder};
use ragstone_core::{
    protocol::FailureKind,
    provider::{Account, Secret, Spent, Target, Usage},
};
use reqwest::{
    Client, Request, Response, StatusCode, Url,
    header::{CONTENT_TYPE, HeaderName, HeaderValue, LOCATION},
};
use tokio::time::Instant;

use super::{
    client::{self, Clients},
    key,
    line::{Line, Lines, TooLate, Turn},
    refusal::{Refusal, retry_after},
    wire::{self, Fault, Post, Protocol},
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
    input_tokens: u64,
    entry: Mutex<Option<Entry>>,
    course: Mutex<Course>,
}

/// How far a call has come, for its record and for what is said when its time is over.
#[derive(Default)]
struct Course {
    at: At,
    tries: u32,
    input_tokens: u64,
    output_tokens: u64,
    /// About as many tokens in have tries that are neither answered nor refused yet.
    asked: u64,
    /// About as many tokens out have come of an answer that is not all there yet.
    streamed: u64,
}

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
    /// Tokens in, about.
    pub input_tokens: u64,
    /// Tokens out, about.
    pub output_tokens: u64,
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
        let base = base(&target)?;
        let key = key::read(&target).await?;
        let shared = engine.providers();
        let client = shared.clients.get(&target, &base).await?;
        let estimate = Spent {
            cost: target.prices.cost(opening.input_tokens, opening.output_tokens),
            tokens: opening.input_tokens + opening.output_tokens,
            calls: 1,
        };
        let entry = engine.ledger().open(&target, opening.model, opening.account, estimate, text)?;
        Ok(Self {
            wire: wire::of(target.wire),
            line: shared.lines.of(&target),
            base,
            key,
            client,
            begin,
            deadline,
            input_tokens: opening.input_tokens,
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
        let usage = if outcome.is_ok() { self.usage() } else { self.usage_so_far() };
        let entry = lock(&self.entry).take();
        match (&outcome, entry) {
            (Ok(answer), Some(entry)) => entry.answered(usage, reply(answer)),
            (Err(error), Some(entry)) => entry.failed(error.kind(), usage),
            (_, None) => {}
        }
        outcome.map(|answer| (answer, usage))
    }

    /// Adds what a try took.
    pub fn took(&self, input_tokens: u64, output_tokens: u64) {
        let mut course = lock(&self.course);
        course.input_tokens += input_tokens;
        course.output_tokens += output_tokens;
        course.asked = course.asked.saturating_sub(input_tokens);
        course.streamed = 0;
    }

    /// Notes a piece of an answer, about so many tokens: nobody may be there when the provider says how many.
    pub fn streams(&self, tokens: u64) {
        lock(&self.course).streamed += tokens;
    }

    /// Notes that the provider is asked once more.
    pub fn again(&self) {
        if let Some(entry) = lock(&self.entry).as_mut() {
            entry.retry();
        }
    }

    /// Sends a request until it is answered, and gives the answer of status 200. `tokens` is about what it takes.
    ///
    /// # Errors
    /// The provider cannot be reached, refuses, or would have to be waited for too long.
    pub async fn post(&self, post: Post, tokens: u64) -> Result<Answer, Error> {
        let json = post.body;
        let body = heavy(tokens * 4, move || serde_json::to_vec(&json)).await?;
        let request = self.request(&post.path, body.map_err(|error| Error::Internal(error.to_string()))?)?;
        let mut pauses = ExponentialBuilder::default()
            .with_jitter()
            .with_min_delay(FIRST_PAUSE)
            .with_max_delay(LONGEST_PAUSE)
            .with_max_times(self.target.limits.retries as usize)
            .build();
        loop {
            let failed = match self.attempt(&request, tokens).await? {
                Ok(answer) => return Ok(answer),
                Err(failed) => failed,
            };
            let Some(pause) = pauses.next().filter(|_| failed.may_pass) else { return Err(failed.error) };
            let pause = failed.retry_after.map_or(pause, |after| after + pause.min(FIRST_PAUSE) / 4);
            if Instant::now() + pause >= self.deadline {
                return Err(failed.error);
            }
            self.again();
            tokio::time::sleep(pause).await;
        }
    }

    fn request(&self, path: &str, body: Vec<u8>) -> Result<Request, Error> {
        let mut request =
            self.client.post(address(&self.base, path)).header(CONTENT_TYPE, "application/json");
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
    async fn attempt(&self, request: &Request, tokens: u64) -> Result<Result<Answer, Failed>, Error> {
        self.is_at(At::Turn);
        let turn = self.line.turn(&self.target.limits, tokens, self.deadline).await;
        let turn = turn.map_err(|late| self.too_late(&late))?;
        self.is_at(At::Answer);
        let input = tokens.min(self.input_tokens);
        {
            let mut course = lock(&self.course);
            course.tries += 1;
            course.asked += input;
        }
        let request =
            request.try_clone().ok_or(Error::Internal("a request that cannot be repeated".into()))?;
        match self.client.execute(request).await {
            Ok(response) if response.status() == StatusCode::OK => {
                self.is_at(At::Rest);
                Ok(Ok(Answer { response, turn }))
            }
            Ok(response) => {
                self.is_refused(input);
                turn.took(0);
                Ok(Err(self.refused(response).await))
            }
            Err(error) => {
                self.is_refused(input);
                let failed = client::unanswered(&self.target, &error);
                Ok(Err(Failed { error: failed.error, may_pass: failed.may_pass, retry_after: None }))
            }
        }
    }

    async fn refused(&self, mut response: Response) -> Failed {
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
        let refusal = Refusal {
            status: status.as_u16(),
            retry_after: retry_after(response.headers(), SystemTime::now()),
            redirect: host,
            ..Refusal::of_body(&body)
        };
        Failed {
            error: self.refusal(&refusal),
            may_pass: refusal.may_pass(),
            retry_after: refusal.retry_after,
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

    /// An answer of more bytes than allowed.
    pub fn too_long(&self) -> Error {
        let (name, limit) = (&self.target.name, self.target.limits.max_reply_bytes);
        self.failure(
            FailureKind::OverLimit,
            format!("answer of provider \"{name}\" is over the limit of {limit} bytes"),
            String::new(),
            "Ask for less, or raise the server's option max_reply_bytes.",
        )
    }

    /// The connection was lost in the middle of an answer.
    pub fn broken_off(&self) -> Error {
        let message = format!("answer of provider \"{}\" broke off", self.target.name);
        self.failure(FailureKind::ProviderLost, message, String::new(), "Try again.")
    }

    /// An answer that is none.
    pub fn fault(&self, fault: Fault) -> Error {
        match fault {
            Fault::Refused(refusal) => self.refusal(&refusal),
            Fault::Malformed(reason) => self.malformed(reason),
        }
    }

    /// An answer that is not what the protocol says.
    pub fn malformed(&self, detail: String) -> Error {
        let (name, protocol) = (&self.target.name, self.wire.name());
        self.failure(
            FailureKind::ProviderMalformed,
            format!("answer of provider \"{name}\" is not what the protocol {protocol} says"),
            detail,
            "Check the server's options protocol and base_url.",
        )
    }

    fn refusal(&self, refusal: &Refusal) -> Error {
        refusal.error(&self.target, self.key.as_ref().map(|key| key.0.as_str()), lock(&self.course).tries)
    }

    fn out_of_time(&self) -> Error {
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
        let tries = if course.tries > 1 { format!("{} tries", course.tries) } else { String::new() };
        self.failure(FailureKind::ProviderLost, message, tries, hint)
    }

    fn too_late(&self, late: &TooLate) -> Error {
        let TooLate { what, per_minute, wait } = late;
        self.failure(
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

    fn failure(&self, kind: FailureKind, message: String, detail: String, hint: &str) -> Error {
        Error::Provider { kind, message, detail, hint: hint.into() }
    }

    fn is_at(&self, at: At) {
        lock(&self.course).at = at;
    }

    fn is_refused(&self, input_tokens: u64) {
        let mut course = lock(&self.course);
        course.asked = course.asked.saturating_sub(input_tokens);
    }

    /// As the provider says.
    fn usage(&self) -> Usage {
        let course = lock(&self.course);
        self.usage_of(course.input_tokens, course.output_tokens)
    }

    /// With what the provider has not said, and will ask for all the same.
    fn usage_so_far(&self) -> Usage {
        let course = lock(&self.course);
        self.usage_of(course.input_tokens + course.asked, course.output_tokens + course.streamed)
    }

    fn usage_of(&self, input_tokens: u64, output_tokens: u64) -> Usage {
        Usage {
            input_tokens,
            output_tokens,
            cost: self.target.prices.cost(input_tokens, output_tokens),
            latency_ms: self.begin.elapsed().as_secs_f64() * 1e3,
        }
    }
}

/// Nobody waits any longer for a call that was not run to its end.
impl Drop for Call {
    fn drop(&mut self) {
        let usage = self.usage_so_far();
        if let Some(entry) = lock(&self.entry).as_mut() {
            entry.so_far(usage);
        }
    }
}

/// A try that came to nothing.
struct Failed {
    error: Error,
    may_pass: bool,
    retry_after: Option<Duration>,
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

fn base(target: &Target) -> Result<Url, Error> {
    let url = Url::parse(&target.base_url).ok();
    url.filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host()).ok_or_else(|| {
        Error::Argument(format!(
            "base_url of provider \"{}\": expected an address with http or https",
            target.name
        ))
    })
}

/// The path below the base, whose query stays: Azure's deployments have one.
fn address(base: &Url, path: &str) -> Url {
    let mut url = base.clone();
    let (path, query) = path.split_once('?').map_or((path, None), |(path, query)| (path, Some(query)));
    url.set_path(&format!("{}/{path}", base.path().trim_end_matches('/')));
    if let Some(query) = query {
        url.query_pairs_mut().extend_pairs(query.split('&').filter_map(|pair| pair.split_once('=')));
    }
    url
}

fn secret(value: &str) -> Result<HeaderValue, Error> {
    let mut value =
        HeaderValue::from_str(value).map_err(|_| Error::Internal("a key that no header can hold".into()))?;
    value.set_sensitive(true);
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_is_put_below_the_base_and_before_its_query() {
        let of = |base: &str, path: &str| address(&Url::parse(base).unwrap(), path).to_string();
        assert_eq!(of("https://a/v1", "embeddings"), "https://a/v1/embeddings");
        assert_eq!(of("http://a:1", "embed"), "http://a:1/embed");
        assert_eq!(
            of("https://a/d?api-version=1", "chat/completions"),
            "https://a/d/chat/completions?api-version=1"
        );
        assert_eq!(
            of("https://a/v1beta/", "models/m:streamGenerateContent?alt=sse"),
            "https://a/v1beta/models/m:streamGenerateContent?alt=sse"
        );
    }
}
