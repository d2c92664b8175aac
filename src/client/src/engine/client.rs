//! A session's requests to the engine: connects, starts the engine if none is running, waits, and sends again after a loss.

use crate::engine::connection::{ConnectOutcome, Connection, ConnectionError, take_first};
use crate::engine::launch::Launch;
use crate::settings;
use ragstone_core::protocol::{Progress, Request, Response};
use ragstone_pg::error::{Error, Result};
use ragstone_pg::wait;
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

/// Maximum number of times that the engine may die during one request. After that the request is assumed to be the cause.
const MAX_ENGINE_DEATHS: u32 = 16;

/// Time between two attempts to connect.
const CONNECT_INTERVAL: Duration = Duration::from_millis(10);

thread_local! {
    /// The session's connection, and a number that is incremented with each new connection.
    static SESSION: RefCell<Session> =
        const { RefCell::new(Session { connection: None, generation: 0, arrived: BTreeMap::new() }) };

    /// Limits each wait for the engine, even if the engine makes progress.
    static MAX_WAIT: Cell<Option<Duration>> = const { Cell::new(None) };
}

struct Session {
    connection: Option<Box<Connection>>,
    generation: u64,
    /// Answers that arrived over lost connections and were not taken yet, by generation and request.
    arrived: BTreeMap<(u64, u64), VecDeque<Response>>,
}

impl Session {
    /// Drops a lost connection of this session. Answers that arrived over it are kept until they are taken.
    fn lose(&mut self, connection: Option<Box<Connection>>) {
        let answers = connection.map(|connection| connection.into_answers()).unwrap_or_default();
        self.arrived.extend(answers.into_iter().map(|(id, answers)| ((self.generation, id), answers)));
    }

    fn lose_if_closed(&mut self) {
        let closed = self.connection.take_if(|connection| !connection.is_open());
        self.lose(closed);
    }
}

/// A request that was sent. Dropping it cancels the request in the engine.
pub struct Pending {
    request: Request,
    id: u64,
    generation: u64,
    /// The time for which the engine may make no progress with it.
    timeout: Duration,
    deadline: Instant,
    /// Number of times that the engine died while it worked on the request.
    deaths: u32,
    answered: bool,
}

/// Runs `work`, in which each wait for the engine ends after `timeout`, even if the engine makes progress.
pub fn with_max_wait<T>(timeout: Duration, work: impl FnOnce() -> T) -> T {
    struct Restore(Option<Duration>);
    impl Drop for Restore {
        fn drop(&mut self) {
            MAX_WAIT.set(self.0);
        }
    }
    let _restore = Restore(MAX_WAIT.replace(Some(timeout)));
    work()
}

/// The time for which the engine may make no progress with a request.
pub(super) fn default_timeout() -> Duration {
    MAX_WAIT.get().unwrap_or_else(|| Duration::from_millis(settings::request_timeout()))
}

/// Sends a request and waits for the answer. A failure that the engine reports is an error.
pub fn call(request: Request) -> Result<Response> {
    send(request)?.wait()
}

/// Sends a request. Several requests may be pending at a time.
pub fn send(request: Request) -> Result<Pending> {
    send_with_timeout(request, default_timeout())
}

/// Like [`send`], with a timeout other than `rag.request_timeout`.
pub fn send_with_timeout(request: Request, timeout: Duration) -> Result<Pending> {
    let deadline = Instant::now() + timeout;
    let (generation, id) = send_before(&request, deadline)?;
    Ok(Pending { request, id, generation, timeout, deadline, deaths: 0, answered: false })
}

/// Sends a request if an engine is running; otherwise returns `None`.
pub fn send_if_running(request: Request) -> Result<Option<Pending>> {
    if connect_if_running()? { send(request).map(Some) } else { Ok(None) }
}

/// Connects the session if an engine is running and the session is not connected. Returns whether the session is connected.
fn connect_if_running() -> Result<bool> {
    // The session's connection may lead to an engine that has ended.
    SESSION.with_borrow_mut(Session::lose_if_closed);
    if SESSION.with_borrow(|session| session.connection.is_none()) {
        match Connection::open()? {
            ConnectOutcome::Connected(connection) => adopt(connection),
            ConnectOutcome::NoListener | ConnectOutcome::Busy => return Ok(false),
        }
    }
    Ok(true)
}

/// Sends a request and waits for the answer if an engine is running; otherwise returns `None`.
pub fn call_if_running(request: Request) -> Result<Option<Response>> {
    call_if_running_with_timeout(request, Duration::from_millis(settings::request_timeout()))
}

/// Like [`call_if_running`], with a timeout other than `rag.request_timeout`.
pub fn call_if_running_with_timeout(request: Request, timeout: Duration) -> Result<Option<Response>> {
    if connect_if_running()? { send_with_timeout(request, timeout)?.wait().map(Some) } else { Ok(None) }
}

/// Reports progress for other sessions, if the session is connected. A failure is ignored.
pub fn report(progress: Progress) {
    post(&Request::Report(progress));
}

/// Sends a request that has no answer, if the session is connected. A failure is ignored.
pub fn post(request: &Request) {
    SESSION.with_borrow_mut(|session| {
        if let Some(connection) = &mut session.connection {
            let _ = connection.send(request);
        }
    });
}

impl Pending {
    /// Waits for the answer. A cancel of the statement unwinds from here, which cancels the request.
    pub fn wait(mut self) -> Result<Response> {
        self.receive_next()
    }

    /// Waits for the answer, or for its next piece. The timeout starts again with each sign of progress.
    pub fn receive_next(&mut self) -> Result<Response> {
        loop {
            if let Some(answer) = self.receive_before(self.deadline)? {
                return Ok(answer);
            }
        }
    }

    /// Like [`Self::receive_next`], with the return type of [`Self::poll`].
    pub fn wait_next(&mut self) -> Result<Option<Response>> {
        self.receive_next().map(Some)
    }

    /// The answer or its next piece, if it has arrived. Waits only for a new engine, if the engine that had the request has died.
    pub fn poll(&mut self) -> Result<Option<Response>> {
        self.receive_before(Instant::now())
    }

    fn receive_before(&mut self, until: Instant) -> Result<Option<Response>> {
        match receive(self.generation, self.id, until) {
            Ok(Some(Response::Working)) => self.renew_deadline(),
            Ok(Some(answer)) => {
                self.answered = answer.is_last();
                return match answer {
                    Response::Failed(failure) => Err(failure.into()),
                    answer => Ok(Some(answer)),
                };
            }
            Ok(None) if Instant::now() >= self.deadline => return Err(no_answer(self.timeout)),
            Ok(None) => {}
            Err(ConnectionError::Refused(error)) => return Err(error),
            Err(ConnectionError::Closed) if !self.request.is_repeatable() => {
                self.answered = true;
                return Err(engine_ended());
            }
            Err(ConnectionError::Closed) => {
                self.deaths += 1;
                if self.deaths == MAX_ENGINE_DEATHS {
                    return Err(too_many_deaths());
                }
                // Signs of progress that were not read are lost with the connection.
                self.renew_deadline();
                (self.generation, self.id) = send_before(&self.request, self.deadline)?;
            }
        }
        Ok(None)
    }

    fn renew_deadline(&mut self) {
        if MAX_WAIT.get().is_none() {
            self.deadline = Instant::now() + self.timeout;
        }
    }
}

/// Methods for a process that must not block.
impl Pending {
    /// The number of the connection over which it was sent. Each connection has a higher number than earlier ones.
    pub fn connection(&self) -> u64 {
        self.generation
    }

    /// The answer, if it has arrived. Does not send the request again: a lost connection is an error.
    pub fn try_receive(&mut self) -> Result<Option<Response>> {
        match receive(self.generation, self.id, Instant::now()) {
            Ok(Some(Response::Failed(failure))) => {
                self.answered = true;
                Err(failure.into())
            }
            Ok(Some(Response::Working)) => Ok(None),
            Ok(answer) => {
                self.answered = answer.as_ref().is_some_and(Response::is_last);
                Ok(answer)
            }
            Err(ConnectionError::Refused(error)) => Err(error),
            Err(ConnectionError::Closed) => Err(Error::engine_unreachable("the engine has ended")),
        }
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        if self.answered {
            return;
        }
        SESSION.with_borrow_mut(|session| {
            session.arrived.remove(&(self.generation, self.id));
            if session.generation == self.generation
                && let Some(connection) = &mut session.connection
            {
                connection.cancel(self.id);
            }
        });
    }
}

/// Waits until an answer is available that was not taken yet, the latch is set, or the timeout ends.
pub fn wait_for_event(timeout: Duration) {
    let (has_answers, watched) = SESSION.with_borrow_mut(|session| {
        // A closed socket would end every wait at once.
        session.lose_if_closed();
        let connection = session.connection.as_mut();
        let any = connection.as_ref().is_some_and(|own| own.has_untaken()) || !session.arrived.is_empty();
        (any, connection.map(|own| own.interest()))
    });
    match watched {
        _ if has_answers => {}
        Some((socket, interest)) => wait::for_socket(socket, interest, Instant::now() + timeout),
        None => wait::for_latch(timeout),
    }
}

/// Receives with the connection taken out of SESSION, so that an interrupt that unwinds does not find it borrowed.
fn receive(generation: u64, id: u64, deadline: Instant) -> Result<Option<Response>, ConnectionError> {
    // Answers that arrived before the connection was lost.
    let arrived = || SESSION.with_borrow_mut(|session| take_first(&mut session.arrived, (generation, id)));
    if let Some(answer) = arrived() {
        return Ok(Some(answer));
    }
    let mut lease = Lease::take(generation).ok_or(ConnectionError::Closed)?;
    let answer = lease
        .connection
        .as_mut()
        .map_or(Err(ConnectionError::Closed), |connection| connection.receive(id, deadline));
    if answer.is_err() {
        let lost = lease.connection.take();
        SESSION.with_borrow_mut(|session| session.lose(lost));
    }
    answer.or_else(|error| arrived().map(Some).ok_or(error))
}

/// The session's connection during a wait. Its drop, also by unwinding, puts the connection back.
struct Lease {
    connection: Option<Box<Connection>>,
}

impl Lease {
    fn take(generation: u64) -> Option<Self> {
        SESSION.with_borrow_mut(|session| {
            let current = session.generation == generation && session.connection.is_some();
            current.then(|| Self { connection: session.connection.take() })
        })
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        SESSION.with_borrow_mut(|session| session.connection = self.connection.take());
    }
}

/// Sends a request over the session's connection, and connects first if there is none.
fn send_before(request: &Request, deadline: Instant) -> Result<(u64, u64)> {
    if !request.is_repeatable() {
        // A request that cannot be repeated must not fail because the engine ended while the connection was idle.
        SESSION.with_borrow_mut(Session::lose_if_closed);
    }
    while SESSION.with_borrow(|session| session.connection.is_none()) {
        let mut connection = connect_before(deadline)?;
        // Such a request must not fail because the engine was shutting down when it accepted the connection, either.
        if request.is_repeatable() || connection.is_greeted(deadline)? {
            adopt(connection);
        } else if Instant::now() >= deadline {
            return Err(no_answer(Duration::from_millis(settings::request_timeout())));
        }
    }
    SESSION.with_borrow_mut(|session| match &mut session.connection {
        Some(connection) => Ok((session.generation, connection.send(request)?)),
        None => Err(Error::internal("the connection was closed before it was used")),
    })
}

/// Makes this the session's connection.
fn adopt(connection: Box<Connection>) {
    SESSION.with_borrow_mut(|session| {
        session.connection = Some(connection);
        session.generation += 1;
    });
}

/// Connects before the deadline; starts the engine if none is running.
pub(super) fn connect_before(deadline: Instant) -> Result<Box<Connection>> {
    let mut launch = Launch::default();
    loop {
        let busy = match Connection::open()? {
            ConnectOutcome::Connected(connection) => return Ok(connection),
            ConnectOutcome::Busy => true,
            ConnectOutcome::NoListener => {
                launch.advance()?;
                false
            }
        };
        if Instant::now() >= deadline {
            return Err(if busy { backlog_full() } else { launch.too_slow() });
        }
        wait::for_latch(CONNECT_INTERVAL);
    }
}

fn backlog_full() -> Error {
    Error::engine_unreachable(format!(
        "the engine accepted no connection within {} ms",
        settings::request_timeout()
    ))
    .detail("The backlog of its socket is full.")
    .hint("Raise rag.request_timeout, or open fewer sessions at once.")
}

fn too_many_deaths() -> Error {
    Error::engine_lost(format!("the engine died {MAX_ENGINE_DEATHS} times while it worked on this request"))
        .hint("Look for lines of ragstone-engine in the server's log.")
}

fn engine_ended() -> Error {
    Error::engine_lost("the engine ended while a provider was being asked")
        .detail("The provider may have answered, and may charge for it.")
        .hint("Ask again. The reason is in the server's log.")
}

fn no_answer(timeout: Duration) -> Error {
    let milliseconds = timeout.as_millis();
    if MAX_WAIT.get().is_some() {
        return Error::engine_lost(format!("the engine did not answer within {milliseconds} ms"))
            .hint("Raise timeout_ms, or look at rag.stat_engine for what the engine is busy with.");
    }
    Error::engine_lost(format!("the engine made no progress with the request within {milliseconds} ms"))
        .hint("Raise rag.request_timeout, or look at rag.stat_engine for what it is busy with.")
}
