//! The engine's side: passes documents to children, a few at a time.

use std::{
    io,
    os::{
        fd::{AsFd, OwnedFd},
        unix::net::UnixStream as StdStream,
    },
    sync::Arc,
    time::Duration,
};

use ragstone_core::protocol::{
    Frame, MAX_FRAME, PREFIX, ParseRefusal, ParseTask, ParsedDocument, decode, encode,
};
use rustix::io::Errno;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UnixStream,
    time::timeout,
};

use super::{
    control::{self, ChildLimits},
    ending::Ending,
    error::DocumentError,
};
use crate::{
    failure::Error,
    scheduler::{
        fair_queue::Client,
        turns::{Turn, Turns},
    },
    system,
};

/// The children, of which a few work at a time.
pub struct ParserPool {
    launcher: OwnedFd,
    turns: Arc<Turns>,
}

impl ParserPool {
    /// Children that this launcher starts: as many at a time as there are processors, and two at least, so that one role does
    /// not have all of them.
    pub fn new(launcher: OwnedFd) -> Self {
        Self { launcher, turns: Turns::new(system::processors().max(2)) }
    }

    /// Waits for a turn. Dropping the future gives up waiting.
    pub async fn take_turn(&self, client: Client) -> Turn {
        self.turns.take(client).await
    }

    /// Parses a document in a new child. Dropping the future kills the child.
    pub async fn parse(&self, task: ParseTask) -> Result<ParsedDocument, Error> {
        let limits = ChildLimits { memory_mb: task.limits.memory_mb, timeout_ms: task.limits.timeout_ms };
        let mut socket = self.start_child(limits).await?;
        let frame = tokio::task::spawn_blocking(move || encode(0, &task).map_err(|error| error.to_string()));
        let frame = frame.await.map_err(|error| error.to_string()).and_then(|frame| frame);
        let frame = frame.map_err(Error::Internal)?;
        let time = Duration::from_millis(limits.timeout_ms.into()) + GRACE;
        let output = timeout(time, exchange(&mut socket, &frame)).await.unwrap_or_default();
        drop(socket);
        let decoding = tokio::task::spawn_blocking(move || result(&output, limits));
        decoding.await.map_err(|error| Error::Internal(error.to_string()))?
    }

    async fn start_child(&self, limits: ChildLimits) -> Result<UnixStream, Error> {
        let failed = |error: io::Error| Error::Internal(format!("cannot start a parser: {error}"));
        let (own, other) = StdStream::pair().map_err(failed)?;
        own.set_nonblocking(true).map_err(failed)?;
        let other = OwnedFd::from(other);
        loop {
            match control::send(self.launcher.as_fd(), limits, &other) {
                Ok(()) => return UnixStream::from_std(own).map_err(failed),
                Err(Errno::AGAIN) => tokio::time::sleep(RETRY_INTERVAL).await,
                Err(Errno::PIPE | Errno::CONNRESET) => {
                    // Only a new engine can start one.
                    eprintln!("ragstone-engine: ends, since the launcher of parsers has died");
                    system::exit_now(1);
                }
                Err(error) => return Err(failed(error.into())),
            }
        }
    }
}

/// The launcher kills a child at its time limit; the engine closes the socket if that does not happen.
const GRACE: Duration = Duration::from_secs(5);

const RETRY_INTERVAL: Duration = Duration::from_millis(1);

/// Sends the document, and returns what arrives until the child has ended.
async fn exchange(socket: &mut UnixStream, frame: &[u8]) -> Vec<u8> {
    // A child that ends early does not read all of it.
    let _ = socket.write_all(frame).await;
    let mut output = Vec::new();
    let _ = socket.take((PREFIX + MAX_FRAME + 1) as u64).read_to_end(&mut output).await;
    output
}

/// The result of a child: a frame, and after it a byte of the launcher that says how the child ended.
fn result(output: &[u8], limits: ChildLimits) -> Result<ParsedDocument, Error> {
    let (frame, ending) = match output.split_last() {
        Some((ending, frame)) => (frame, Ending::from_byte(*ending)),
        None => (output, None),
    };
    let error = match ending {
        Some(Ending::Done) => {
            let decoded = frame.get(PREFIX..).map(decode::<Result<ParsedDocument, ParseRefusal>>);
            match decoded {
                Some(Ok(Frame { body: Ok(document), .. })) => return Ok(document),
                Some(Ok(Frame { body: Err(refusal), .. })) => DocumentError::Refused(refusal),
                Some(Err(_)) | None => DocumentError::Crashed,
            }
        }
        Some(Ending::OutOfTime) => DocumentError::OutOfTime(limits.timeout_ms),
        Some(Ending::OutOfMemory) => DocumentError::OutOfMemory(limits.memory_mb),
        Some(Ending::StackOverflow) => DocumentError::TooDeep,
        Some(Ending::Crashed) => DocumentError::Crashed,
        Some(Ending::Killed) => DocumentError::Killed,
        Some(Ending::NotStarted) => DocumentError::NotStarted,
        None => DocumentError::OutOfTime(limits.timeout_ms),
    };
    Err(Error::Document(error))
}
