//! What a session hands over to the engine without waiting for an answer, over a connection of its own: where the engine reads
//! nothing more for a while, since it has no room, the session's other requests go on.

use crate::engine::client::connect_before;
use crate::engine::connection::{Connection, ConnectionError};
use ragstone_core::protocol::Request;
use ragstone_pg::error::{Error, Result};
use std::cell::RefCell;
use std::time::{Duration, Instant};

/// How long an engine that has to be started is waited for.
const MAX_START_TIME: Duration = Duration::from_secs(5);

/// How long a full socket is waited for.
const MAX_FLUSH_TIME: Duration = Duration::from_secs(2);

/// After a failure nothing is tried for so long, so that not each of many letters waits in vain.
const FAILURE_COOLDOWN: Duration = Duration::from_secs(5);

thread_local! {
    static CONNECTION: RefCell<Option<Box<Connection>>> = const { RefCell::new(None) };
    static LAST_FAILURE: RefCell<Option<(Instant, Error)>> = const { RefCell::new(None) };
}

/// Hands a request over: when this returns, all of it is on its way, and it comes to the engine also where this process ends
/// at once. Starts the engine where none runs. A cancelled statement leaves from here, and nothing of the request comes to the
/// engine.
///
/// # Errors
/// No engine can be reached, or it takes nothing more; then nothing of the request comes to it.
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
        // Out of its place while it is waited on: what is half written is dropped where the wait is unwound.
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
            // An engine that ended while nobody talked to it, most likely: the next one is started.
            Err(ConnectionError::Closed) if left > 0 => {}
            Err(ConnectionError::Closed) => return Err(Error::unavailable("the engine ended")),
        }
    }
}

fn connect() -> Result<Box<Connection>> {
    let deadline = Instant::now() + MAX_START_TIME;
    loop {
        let mut connection = connect_before(deadline)?;
        if connection.is_greeted(deadline)? {
            return Ok(connection);
        }
        if Instant::now() >= deadline {
            return Err(Error::unavailable(format!("the engine did not answer within {MAX_START_TIME:?}")));
        }
    }
}

fn full() -> Error {
    Error::unavailable(format!("the engine took nothing more for {MAX_FLUSH_TIME:?}"))
        .detail("What was posted before is not written down yet.")
        .hint("Look for lines of \"ragstone worker\" in the server's log.")
}
