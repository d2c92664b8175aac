//! What a session hands over to the engine without waiting for an answer, over a connection of its own: where the engine reads
//! nothing more for a while, since it has no room, the session's other requests go on.

use crate::engine::client::connect_by;
use crate::engine::connection::{Connection, Lost};
use ragstone_core::protocol::Request;
use ragstone_pg::error::{Error, Result};
use std::cell::RefCell;
use std::time::{Duration, Instant};

/// How long an engine that has to be started is waited for.
const START: Duration = Duration::from_secs(5);

/// How long a full socket is waited for.
const FULL: Duration = Duration::from_secs(2);

/// After a failure nothing is tried for so long, so that not each of many letters waits in vain.
const REST: Duration = Duration::from_secs(5);

thread_local! {
    static OPEN: RefCell<Option<Box<Connection>>> = const { RefCell::new(None) };
    static FAILED: RefCell<Option<(Instant, Error)>> = const { RefCell::new(None) };
}

/// Hands a request over: when this returns, all of it is on its way, and it comes to the engine also where this process ends
/// at once. Starts the engine where none runs. A cancelled statement leaves from here, and nothing of the request comes to the
/// engine.
///
/// # Errors
/// No engine can be reached, or it takes nothing more; then nothing of the request comes to it.
pub fn send_and_forget(request: &Request) -> Result<()> {
    if let Some(error) = FAILED.with_borrow(|failed| failed.as_ref().and_then(recent)) {
        return Err(error);
    }
    let outcome = try_to(request);
    let failure = outcome.as_ref().err().map(|error| (Instant::now(), error.clone()));
    FAILED.with_borrow_mut(|failed| *failed = failure);
    outcome
}

fn recent((at, error): &(Instant, Error)) -> Option<Error> {
    (at.elapsed() < REST).then(|| error.clone())
}

fn try_to(request: &Request) -> Result<()> {
    let mut left = 2;
    loop {
        left -= 1;
        // Out of its place while it is waited on: what is half written is dropped where the wait is unwound.
        let mut connection = match OPEN.take() {
            Some(connection) => connection,
            None => connect()?,
        };
        connection.send(request)?;
        match connection.flush(Instant::now() + FULL) {
            Ok(true) => {
                OPEN.set(Some(connection));
                return Ok(());
            }
            Ok(false) => return Err(full()),
            Err(Lost::Refused(error)) => return Err(error),
            // An engine that ended while nobody talked to it, most likely: the next one is started.
            Err(Lost::Gone) if left > 0 => {}
            Err(Lost::Gone) => return Err(Error::unavailable("the engine ended")),
        }
    }
}

fn connect() -> Result<Box<Connection>> {
    let deadline = Instant::now() + START;
    loop {
        let mut connection = connect_by(deadline)?;
        if connection.is_greeted(deadline)? {
            return Ok(connection);
        }
        if Instant::now() >= deadline {
            return Err(Error::unavailable(format!("the engine did not answer within {START:?}")));
        }
    }
}

fn full() -> Error {
    Error::unavailable(format!("the engine took nothing more for {FULL:?}"))
        .detail("What was posted before is not written down yet.")
        .hint("Look for lines of \"ragstone worker\" in the server's log.")
}
