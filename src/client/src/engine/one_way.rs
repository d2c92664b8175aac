//! Messages that a session sends to the engine without waiting for an answer. They have their own connection: if the engine
//! stops reading from it because its agent log is full, the session's other requests are not affected. A question that is sent
//! over it is answered after the messages before it were read.

use crate::engine::client::connect_before;
use crate::engine::connection::{Connection, ConnectionError};
use ragstone_core::protocol::{Request, Response};
use ragstone_pg::error::{Error, Result};
use std::cell::RefCell;
use std::time::{Duration, Instant};

/// Maximum time to wait for an engine that has to be started.
const MAX_START_TIME: Duration = Duration::from_secs(5);

/// Maximum time to wait until the engine reads a message.
const MAX_FLUSH_TIME: Duration = Duration::from_secs(2);

/// Maximum time to wait for the answer to a question behind the messages.
const MAX_ANSWER_TIME: Duration = Duration::from_secs(1);

/// After a failure, every message fails at once for this time, so that many messages do not each wait for the timeout.
const FAILURE_COOLDOWN: Duration = Duration::from_secs(5);

thread_local! {
    static CONNECTION: RefCell<Option<Box<Connection>>> = const { RefCell::new(None) };
    static LAST_FAILURE: RefCell<Option<(Instant, Error)>> = const { RefCell::new(None) };
}

/// Sends a request. On return the whole request is in the socket, so that the engine receives it even if this process ends
/// at once. Starts the engine if none is running. If the statement is cancelled meanwhile, the engine receives nothing.
///
/// # Errors
/// No engine can be reached, or the engine does not read. The engine then receives nothing.
pub fn send_and_forget(request: &Request) -> Result<()> {
    if let Some(error) = LAST_FAILURE.with_borrow(|failed| failed.as_ref().and_then(recent)) {
        return Err(error);
    }
    let outcome = send(request);
    let failure = outcome.as_ref().err().map(|error| (Instant::now(), error.clone()));
    LAST_FAILURE.with_borrow_mut(|failed| *failed = failure);
    outcome
}

fn recent((at, error): &(Instant, Error)) -> Option<Error> {
    (at.elapsed() < FAILURE_COOLDOWN).then(|| error.clone())
}

fn send(request: &Request) -> Result<()> {
    let mut left = 2;
    loop {
        left -= 1;
        // Taken out while it is in use: if the wait unwinds, the connection is dropped with the half-written request.
        let mut connection = match CONNECTION.take() {
            Some(connection) => connection,
            None => connect()?,
        };
        connection.send(request)?;
        match connection.flush(Instant::now() + MAX_FLUSH_TIME) {
            Ok(true) => {
                CONNECTION.set(Some(connection));
                return Ok(());
            }
            Ok(false) => return Err(full()),
            Err(ConnectionError::Refused(error)) => return Err(error),
            // The engine probably ended while the connection was idle; start another one.
            Err(ConnectionError::Closed) if left > 0 => {}
            Err(ConnectionError::Closed) => return Err(Error::engine_unreachable("the engine ended")),
        }
    }
}

/// Asks the engine something over the connection of the messages, so that its answer takes into account all messages of this
/// session. Returns `None` if the session has sent none to the running engine, or if the engine has not read them after a
/// second.
pub fn ask(request: &Request) -> Option<Response> {
    // Taken out while it is in use, as in `send`.
    let mut connection = CONNECTION.take()?;
    let id = connection.send(request).ok()?;
    let answer = connection.receive(id, Instant::now() + MAX_ANSWER_TIME).ok()?;
    if answer.is_none() {
        connection.cancel(id);
    }
    CONNECTION.set(Some(connection));
    answer
}

fn connect() -> Result<Box<Connection>> {
    let deadline = Instant::now() + MAX_START_TIME;
    loop {
        let mut connection = connect_before(deadline)?;
        if connection.is_greeted(deadline)? {
            return Ok(connection);
        }
        if Instant::now() >= deadline {
            return Err(Error::engine_unreachable(format!(
                "the engine did not answer within {MAX_START_TIME:?}"
            )));
        }
    }
}

fn full() -> Error {
    Error::engine_unreachable(format!("the engine accepted no data for {MAX_FLUSH_TIME:?}"))
        .detail("Entries that were sent before are not written yet.")
        .hint("Look for lines of \"ragstone coordinator\" in the server's log.")
}
