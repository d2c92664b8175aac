//! A session's connection to the engine. Its system calls never block; it waits on the latch.

use crate::processes::system::{connect_nonblocking, own_user, peer_user};
use crate::settings::paths;
use ragstone_core::protocol::{self, Frame, PREFIX, PROTOCOL, Request, Response};
use ragstone_pg::error::{Error, Result};
use ragstone_pg::wait;
use ragstone_pg::wait::Interest;
use std::collections::{BTreeMap, HashSet, VecDeque};
use std::io::{ErrorKind, Read, Write};
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::net::UnixStream;
use std::time::Instant;

/// The id of the Hello request.
const HELLO: u64 = 0;

/// The result of an attempt to connect.
pub enum ConnectOutcome {
    /// The engine accepted the connection.
    Connected(Box<Connection>),
    /// There is no socket, or no process listens on it.
    NoListener,
    /// The socket's backlog is full.
    Busy,
}

/// Why a connection can no longer be used.
#[derive(Debug)]
pub enum ConnectionError {
    /// The engine has closed the connection; requests may be sent again.
    Closed,
    /// The engine refused the client; sending again would fail as well.
    Refused(Error),
}

/// A connection to the engine.
pub struct Connection {
    stream: UnixStream,
    outgoing: Vec<u8>,
    written: usize,
    incoming: Vec<u8>,
    /// Answers that have arrived and were not taken yet, by request.
    answers: BTreeMap<u64, VecDeque<Response>>,
    cancelled: HashSet<u64>,
    last_id: u64,
    greeted: bool,
}

impl Connection {
    /// Tries to connect without blocking.
    pub fn open() -> Result<ConnectOutcome> {
        let path = paths::socket();
        let stream = match connect_nonblocking(&path) {
            Ok(stream) => stream,
            Err(error) => match error.kind() {
                ErrorKind::NotFound | ErrorKind::ConnectionRefused => {
                    return Ok(ConnectOutcome::NoListener);
                }
                ErrorKind::WouldBlock | ErrorKind::Interrupted => return Ok(ConnectOutcome::Busy),
                _ => {
                    return Err(Error::engine_unreachable(format!(
                        "could not connect to the engine's socket \"{}\"",
                        path.display()
                    ))
                    .detail(error.to_string())
                    .hint("Check rag.socket_directory."));
                }
            },
        };
        check_peer(&stream)?;
        let mut connection = Self {
            stream,
            outgoing: Vec::new(),
            written: 0,
            incoming: Vec::new(),
            answers: BTreeMap::new(),
            cancelled: HashSet::new(),
            last_id: HELLO,
            greeted: false,
        };
        let hello = Request::Hello { protocol: PROTOCOL, version: env!("CARGO_PKG_VERSION").to_owned() };
        connection.outgoing = protocol::encode(HELLO, &hello)?;
        Ok(ConnectOutcome::Connected(Box::new(connection)))
    }

    /// Sends a request and returns its id.
    pub fn send(&mut self, request: &Request) -> Result<u64> {
        self.last_id += 1;
        let frame = protocol::encode(self.last_id, request)?;
        self.outgoing.extend_from_slice(&frame);
        // A write error occurs again when the caller waits for the answer, and is handled there.
        let _ = self.write();
        Ok(self.last_id)
    }

    /// True if the engine has not closed the connection, as far as the socket shows.
    pub fn is_open(&mut self) -> bool {
        self.write().and_then(|()| self.read()).is_ok()
    }

    /// True if an answer was read and not taken yet. It may have arrived together with another one.
    pub fn has_untaken(&self) -> bool {
        !self.answers.is_empty()
    }

    /// Waits until everything is written to the socket. Returns false if the deadline passes first.
    pub fn flush(&mut self, deadline: Instant) -> Result<bool, ConnectionError> {
        loop {
            self.write()?;
            if self.written == self.outgoing.len() {
                return Ok(true);
            }
            if Instant::now() >= deadline {
                return Ok(false);
            }
            wait::for_socket(self.stream.as_raw_fd(), Interest::Write, deadline);
        }
    }

    /// Waits for the engine's greeting. Returns false if the engine closes the connection, or the deadline passes first.
    pub fn is_greeted(&mut self, deadline: Instant) -> Result<bool> {
        loop {
            match self.write().and_then(|()| self.read()) {
                Ok(_) if self.greeted => return Ok(true),
                Ok(_) if Instant::now() >= deadline => return Ok(false),
                Ok(_) => wait::for_socket(self.stream.as_raw_fd(), Interest::Read, deadline),
                Err(ConnectionError::Closed) => return Ok(false),
                Err(ConnectionError::Refused(error)) => return Err(error),
            }
        }
    }

    /// Waits for the answer to a request, or for its next piece. Returns `None` if the deadline passes first.
    pub fn receive(&mut self, id: u64, deadline: Instant) -> Result<Option<Response>, ConnectionError> {
        loop {
            if let Some(answer) = take_first(&mut self.answers, id) {
                return Ok(Some(answer));
            }
            self.write()?;
            if self.read()? {
                continue;
            }
            if Instant::now() >= deadline {
                return Ok(None);
            }
            let (socket, interest) = self.interest();
            wait::for_socket(socket, interest, deadline);
        }
    }

    /// The socket, and the event on which to wait.
    pub fn interest(&self) -> (RawFd, Interest) {
        let interest = if self.written < self.outgoing.len() { Interest::ReadWrite } else { Interest::Read };
        (self.stream.as_raw_fd(), interest)
    }

    /// Cancels a request whose answer is no longer needed.
    pub fn cancel(&mut self, request: u64) {
        let come = self.answers.remove(&request).unwrap_or_default();
        if come.iter().any(Response::is_last) {
            return;
        }
        self.cancelled.insert(request);
        let _ = self.send(&Request::Cancel { request });
    }

    /// The answers that have arrived and were not taken, by request.
    pub fn into_answers(self) -> BTreeMap<u64, VecDeque<Response>> {
        self.answers
    }

    fn write(&mut self) -> Result<(), ConnectionError> {
        while self.written < self.outgoing.len() {
            match self.stream.write(&self.outgoing[self.written..]) {
                Ok(0) => return Err(ConnectionError::Closed),
                Ok(bytes) => self.written += bytes,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                // The engine may have sent the reason before it closed the connection.
                Err(_) => return self.read().and(Err(ConnectionError::Closed)),
            }
        }
        self.outgoing = Vec::new();
        self.written = 0;
        Ok(())
    }

    /// Reads available bytes. Returns whether there was at least one answer.
    fn read(&mut self) -> Result<bool, ConnectionError> {
        let mut buffer = [0; 65_536];
        loop {
            match self.stream.read(&mut buffer) {
                Ok(0) => return Err(ConnectionError::Closed),
                Ok(bytes) => {
                    self.incoming.extend_from_slice(&buffer[..bytes]);
                    if self.take_frames()? {
                        return Ok(true);
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return Err(ConnectionError::Closed),
            }
        }
    }

    fn take_frames(&mut self) -> Result<bool, ConnectionError> {
        let refused = |error: protocol::FrameError| ConnectionError::Refused(error.into());
        let (mut start, mut any) = (0, false);
        while let Some(prefix) = self.incoming[start..].first_chunk::<PREFIX>() {
            let length = protocol::frame_length(*prefix).map_err(refused)?;
            let begin = start + PREFIX;
            let Some(bytes) = self.incoming.get(begin..begin + length) else {
                break;
            };
            let frame = protocol::decode::<Response>(bytes).map_err(refused)?;
            start = begin + length;
            any = true;
            self.accept(frame)?;
        }
        self.incoming.drain(..start);
        if self.incoming.is_empty() {
            self.incoming = Vec::new();
        }
        Ok(any)
    }

    fn accept(&mut self, frame: Frame<Response>) -> Result<(), ConnectionError> {
        match frame {
            Frame { id: HELLO, body: Response::Hello { protocol: PROTOCOL, .. } } => {
                self.greeted = true;
                Ok(())
            }
            Frame { id: HELLO, body: Response::Hello { protocol, version, .. } } => {
                Err(ConnectionError::Refused(other_protocol(&format!(
                    "The engine is version {version} with protocol {protocol}"
                ))))
            }
            Frame { id: HELLO, body: Response::Failed(failure) } => {
                Err(ConnectionError::Refused(failure.into()))
            }
            Frame { id, body } => {
                let cancelled =
                    if body.is_last() { self.cancelled.remove(&id) } else { self.cancelled.contains(&id) };
                if !cancelled {
                    let answers = self.answers.entry(id).or_default();
                    // A second unread sign of progress would add nothing.
                    if body != Response::Working || answers.back() != Some(&body) {
                        answers.push_back(body);
                    }
                }
                Ok(())
            }
        }
    }
}

/// Removes the first answer to a request, or its first piece, from those that have arrived.
pub fn take_first<K: Ord>(arrived: &mut BTreeMap<K, VecDeque<Response>>, request: K) -> Option<Response> {
    let answers = arrived.get_mut(&request)?;
    let first = answers.pop_front();
    if answers.is_empty() {
        arrived.remove(&request);
    }
    first
}

fn other_protocol(found: &str) -> Error {
    Error::engine_unreachable("the running engine does not match this version of ragstone")
        .detail(format!(
            "{found}, the library is version {} with protocol {PROTOCOL}.",
            env!("CARGO_PKG_VERSION")
        ))
        .hint("Close the sessions that still use the old version, or restart the server.")
}

/// Refuses an engine of another system user: that user may have created the socket to read the texts.
fn check_peer(stream: &UnixStream) -> Result<()> {
    let (peer, own) = (peer_user(stream).unwrap_or(u32::MAX), own_user());
    if peer == own {
        return Ok(());
    }
    Err(Error::forbidden(format!("the engine's socket belongs to user id {peer}, not to {own}"))
        .hint("Set rag.socket_directory to a folder in which only the server's user can write."))
}
