//! A session asks the engine: connecting, starting the engine where there is none, waiting, asking again.

use crate::engine::connection::{ConnectOutcome, Connection, ConnectionError};
use crate::engine::launch::Launch;
use crate::settings;
use ragstone_core::protocol::{Progress, Request, Response};
use ragstone_pg::error::{Error, Result};
use ragstone_pg::wait;
use std::cell::RefCell;
use std::time::{Duration, Instant};

/// Times that one request may see the engine die before it is taken for the cause.
const MAX_ENGINE_DEATHS: u32 = 16;

/// Pause between two tries to connect.
const CONNECT_INTERVAL: Duration = Duration::from_millis(10);

thread_local! {
    /// The session's connection, with a number that tells one connection from the next.
    static SESSION: RefCell<Session> = const { RefCell::new(Session { connection: None, generation: 0 }) };
}

struct Session {
    connection: Option<Box<Connection>>,
    generation: u64,
}

/// A request on its way. Dropping it tells the engine that nobody waits any longer.
pub struct Pending {
    request: Request,
    id: u64,
    generation: u64,
    deadline: Instant,
    answered: bool,
}

/// The engine's answer to a request; a failure of the engine's is an error here.
pub fn call(request: Request) -> Result<Response> {
    send(request)?.wait()
}

/// Puts a request on its way. Several may be under way at once.
pub fn send(request: Request) -> Result<Pending> {
    send_with_timeout(request, Duration::from_millis(settings::request_timeout()))
}

/// The same, where the answer may take another time than `rag.request_timeout`.
pub fn send_with_timeout(request: Request, timeout: Duration) -> Result<Pending> {
    let deadline = Instant::now() + timeout;
    let (generation, id) = send_before(&request, deadline)?;
    Ok(Pending { request, id, generation, deadline, answered: false })
}

/// Puts a request on its way where an engine runs already; nothing where none does.
pub fn send_if_running(request: Request) -> Result<Option<Pending>> {
    SESSION.with_borrow_mut(|session| session.connection.take_if(|connection| !connection.is_open()));
    if SESSION.with_borrow(|session| session.connection.is_none()) {
        match Connection::open()? {
            ConnectOutcome::Connected(connection) => adopt(connection),
            ConnectOutcome::NoListener | ConnectOutcome::Busy => return Ok(None),
        }
    }
    send(request).map(Some)
}

/// The answer of an engine that runs already, or nothing where none does.
pub fn call_if_running(request: Request) -> Result<Option<Response>> {
    call_if_running_with_timeout(request, Duration::from_millis(settings::request_timeout()))
}

/// The same, where the answer may take another time than `rag.request_timeout`.
pub fn call_if_running_with_timeout(request: Request, timeout: Duration) -> Result<Option<Response>> {
    // The session's own connection may be one to an engine that has gone.
    if !matches!(Connection::open()?, ConnectOutcome::Connected(_)) {
        return Ok(None);
    }
    send_with_timeout(request, timeout)?.wait().map(Some)
}

/// Tells other sessions how far a work has come. Only where the engine is connected, and never an error: progress is
/// no reason to fail.
pub fn report(progress: Progress) {
    post(&Request::Report(progress));
}

/// Sends what is not answered. Only where the engine is connected, and never an error.
pub fn post(request: &Request) {
    SESSION.with_borrow_mut(|session| {
        if let Some(connection) = &mut session.connection {
            let _ = connection.send(request);
        }
    });
}

impl Pending {
    /// Waits for the answer. A cancelled statement leaves from here, and the request with it.
    pub fn wait(mut self) -> Result<Response> {
        self.next()
    }

    /// Waits for the answer, or the next piece of it.
    pub fn next(&mut self) -> Result<Response> {
        for _ in 0..MAX_ENGINE_DEATHS {
            match receive(self.generation, self.id, self.deadline) {
                Ok(Some(answer)) => {
                    self.answered = !matches!(answer, Response::Piece(_));
                    return match answer {
                        Response::Failed(failure) => Err(failure.into()),
                        answer => Ok(answer),
                    };
                }
                Ok(None) => return Err(no_answer()),
                Err(ConnectionError::Refused(error)) => return Err(error),
                Err(ConnectionError::Closed) if !self.request.is_repeatable() => {
                    self.answered = true;
                    return Err(engine_ended());
                }
                Err(ConnectionError::Closed) => {
                    (self.generation, self.id) = send_before(&self.request, self.deadline)?
                }
            }
        }
        Err(Error::unavailable(format!(
            "the engine died {MAX_ENGINE_DEATHS} times while it worked on this request"
        ))
        .hint("Look for lines of ragstone-engine in the server's log."))
    }
}

/// For who has other things to do than to wait.
impl Pending {
    /// The answer, if it has come. Never asks again: an engine that has gone is an error.
    pub fn try_receive(&mut self) -> Result<Option<Response>> {
        match receive(self.generation, self.id, Instant::now()) {
            Ok(Some(Response::Failed(failure))) => {
                self.answered = true;
                Err(failure.into())
            }
            Ok(answer) => {
                self.answered = answer.as_ref().is_some_and(|answer| !matches!(answer, Response::Piece(_)));
                Ok(answer)
            }
            Err(ConnectionError::Refused(error)) => Err(error),
            Err(ConnectionError::Closed) => Err(Error::unavailable("the engine has ended")),
        }
    }

    /// Waits until something comes from the engine, the latch is set or the time is over.
    pub fn wait_for_event(&self, timeout: Duration) {
        let watched = SESSION.with_borrow(|session| {
            let own = session.connection.as_ref().filter(|_| session.generation == self.generation);
            own.map(|connection| connection.interest())
        });
        match watched {
            Some((socket, interest)) => wait::for_socket(socket, interest, Instant::now() + timeout),
            None => wait::for_latch(timeout),
        }
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        if self.answered {
            return;
        }
        SESSION.with_borrow_mut(|session| {
            if session.generation == self.generation
                && let Some(connection) = &mut session.connection
            {
                connection.cancel(self.id);
            }
        });
    }
}

/// Takes the connection out of its place while it is waited on, so that an interrupt finds nothing borrowed.
fn receive(generation: u64, id: u64, deadline: Instant) -> Result<Option<Response>, ConnectionError> {
    let mut lease = Lease::take(generation).ok_or(ConnectionError::Closed)?;
    let answer = lease
        .connection
        .as_mut()
        .map_or(Err(ConnectionError::Closed), |connection| connection.receive(id, deadline));
    if answer.is_err() {
        lease.connection = None;
    }
    answer
}

/// The session's connection while it is waited on; goes back to its place also when the wait is unwound.
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

/// Sends over the session's connection, made first if need be.
fn send_before(request: &Request, deadline: Instant) -> Result<(u64, u64)> {
    if !request.is_repeatable() {
        // An engine that ended while nobody asked it anything is no reason to fail.
        SESSION.with_borrow_mut(|session| session.connection.take_if(|connection| !connection.is_open()));
    }
    while SESSION.with_borrow(|session| session.connection.is_none()) {
        let mut connection = connect_before(deadline)?;
        // Nor is one that was ending, and could still be connected to.
        if request.is_repeatable() || connection.is_greeted(deadline)? {
            adopt(connection);
        } else if Instant::now() >= deadline {
            return Err(no_answer());
        }
    }
    SESSION.with_borrow_mut(|session| match &mut session.connection {
        Some(connection) => Ok((session.generation, connection.send(request)?)),
        None => Err(Error::internal("the connection has gone before it was used")),
    })
}

/// The connection is the session's from now on.
fn adopt(connection: Box<Connection>) {
    SESSION.with_borrow_mut(|session| {
        session.connection = Some(connection);
        session.generation += 1;
    });
}

/// A connection, once there is one; starts the engine where none runs.
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
    Error::unavailable(format!("the engine accepted no connection within {} ms", settings::request_timeout()))
        .detail("the backlog of its socket is full")
        .hint("Raise rag.request_timeout, or open fewer sessions at once.")
}

fn engine_ended() -> Error {
    Error::unavailable("the engine ended while a provider was being asked")
        .detail("The provider may have answered, and may charge for it.")
        .hint("Ask again. The reason is in the server's log.")
}

fn no_answer() -> Error {
    Error::unavailable(format!("the engine did not answer within {} ms", settings::request_timeout()))
        .hint("Raise rag.request_timeout, or look at rag.stat_engine for what it is busy with.")
}
