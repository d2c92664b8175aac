//! One client's connection with HTTP/1.1 and keep-alive.

use super::reply::{Answer, Gate, Kind, Part, Reply};
use super::{Seen, State};
use anyhow::{Context, bail};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::Value;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Serves a client until it disconnects or a reply closes the connection.
pub(super) fn serve(state: &State, stream: TcpStream, tls: Option<Arc<ServerConfig>>, number: usize) {
    let _ = stream.set_nodelay(true);
    let Ok(socket) = stream.try_clone() else { return };
    let stream: Box<dyn Stream> = match tls {
        None => Box::new(stream),
        Some(config) => match ServerConnection::new(config) {
            Ok(session) => Box::new(StreamOwned::new(session, stream)),
            Err(_) => return,
        },
    };
    let mut connection = Connection { state, stream, socket, number, read: Vec::new() };
    // It is no fault of the provider if a client disconnects or does not trust the certificate.
    while let Ok(true) = connection.serve_one() {}
    let _ = connection.socket.shutdown(Shutdown::Both);
}

trait Stream: Read + Write {}

impl<T: Read + Write> Stream for T {}

struct Connection<'a> {
    state: &'a State,
    stream: Box<dyn Stream>,
    /// The socket below TLS.
    socket: TcpStream,
    number: usize,
    /// Bytes that were read and not parsed yet.
    read: Vec<u8>,
}

impl Connection<'_> {
    /// Answers one request. Returns false if the connection must be closed.
    fn serve_one(&mut self) -> crate::Result<bool> {
        let Some(seen) = self.read_request()? else { return Ok(false) };
        let (index, reply) = self.state.begin(&seen);
        let outcome = self.reply(reply, &seen);
        self.state.end(index, outcome.is_err());
        Ok(outcome?)
    }

    /// The next request; None if the client has disconnected.
    fn read_request(&mut self) -> crate::Result<Option<Seen>> {
        loop {
            let mut headers = [httparse::EMPTY_HEADER; 64];
            let mut request = httparse::Request::new(&mut headers);
            if let httparse::Status::Complete(head) = request.parse(&self.read)? {
                let headers: Vec<(String, String)> = request
                    .headers
                    .iter()
                    .map(|header| {
                        (header.name.to_lowercase(), String::from_utf8_lossy(header.value).into_owned())
                    })
                    .collect();
                let mut seen = Seen {
                    method: request.method.context("no method")?.to_owned(),
                    path: request.path.context("no path")?.to_owned(),
                    headers,
                    body: Value::Null,
                    connection: self.number,
                    abandoned: false,
                };
                let length = seen.header("content-length").map_or(Ok(0), str::parse)?;
                while self.read.len() < head + length {
                    if self.read_some()? == 0 {
                        bail!("the request broke off");
                    }
                }
                let body: Vec<u8> = self.read.drain(..head + length).skip(head).collect();
                seen.body = serde_json::from_slice(&body)
                    .unwrap_or_else(|_| Value::from(String::from_utf8_lossy(&body).into_owned()));
                return Ok(Some(seen));
            }
            if self.read_some()? == 0 {
                return Ok(None);
            }
        }
    }

    fn read_some(&mut self) -> io::Result<usize> {
        let mut bytes = [0; 16 << 10];
        let count = self.stream.read(&mut bytes)?;
        self.read.extend_from_slice(&bytes[..count]);
        Ok(count)
    }

    /// Sends a reply. Returns false if the connection must be closed; an error means that the client has
    /// disconnected.
    fn reply(&mut self, reply: Reply, seen: &Seen) -> io::Result<bool> {
        match reply.kind {
            Kind::HangUp => Ok(false),
            Kind::By(decide) => self.reply(decide(seen), seen),
            Kind::Answer(answer) => self.answer(&answer),
        }
    }

    fn answer(&mut self, answer: &Answer) -> io::Result<bool> {
        self.wait(answer.after)?;
        let mut head = format!("HTTP/1.1 {} Stub\r\n", answer.status);
        for (name, value) in &answer.headers {
            head += &format!("{name}: {value}\r\n");
        }
        let announces = answer.headers.iter().any(|(name, _)| name == "content-length");
        if answer.is_stream {
            head += "transfer-encoding: chunked\r\n";
        } else if !announces {
            head += &format!("content-length: {}\r\n", answer.parts.iter().map(length).sum::<u64>());
        }
        self.stream.write_all(format!("{head}\r\n").as_bytes())?;
        for part in &answer.parts {
            match part {
                Part::Bytes(bytes) => self.write(bytes, answer.is_stream)?,
                Part::Spaces(count) => self.write_spaces(*count, answer.is_stream)?,
                Part::Gate(gate) => self.wait_for(gate)?,
                Part::Stall => self.wait(Duration::MAX)?,
                Part::Break => return Ok(false),
            }
        }
        if answer.is_stream {
            self.stream.write_all(b"0\r\n\r\n")?;
        }
        self.stream.flush()?;
        Ok(true)
    }

    fn write(&mut self, bytes: &[u8], chunked: bool) -> io::Result<()> {
        if chunked {
            // One write, so that it arrives in one piece.
            let mut chunk = format!("{:x}\r\n", bytes.len()).into_bytes();
            chunk.extend_from_slice(bytes);
            chunk.extend_from_slice(b"\r\n");
            self.stream.write_all(&chunk)?;
        } else {
            self.stream.write_all(bytes)?;
        }
        self.stream.flush()
    }

    fn write_spaces(&mut self, count: u64, chunked: bool) -> io::Result<()> {
        let block = [b' '; 64 << 10];
        let mut left = count;
        while left > 0 {
            let now = left.min(block.len() as u64);
            self.write(&block[..now as usize], chunked)?;
            left -= now;
        }
        Ok(())
    }

    /// Waits until the gate is open or the client has disconnected.
    fn wait_for(&self, gate: &Gate) -> io::Result<()> {
        while !gate.wait(LOOK) {
            self.is_there()?;
        }
        Ok(())
    }

    /// Waits for this time, or until the client has disconnected.
    fn wait(&self, pause: Duration) -> io::Result<()> {
        let (begin, never) = (Instant::now(), Gate::new());
        while let Some(left) = pause.checked_sub(begin.elapsed()).filter(|left| !left.is_zero()) {
            never.wait(left.min(LOOK));
            self.is_there()?;
        }
        Ok(())
    }

    /// An error if the client has disconnected. A client sends nothing before it gets its answer: received
    /// data is the end of TLS.
    fn is_there(&self) -> io::Result<()> {
        self.socket.set_nonblocking(true)?;
        let peeked = self.socket.peek(&mut [0; 1]);
        self.socket.set_nonblocking(false)?;
        match peeked {
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(()),
            Err(error) => Err(error),
            Ok(_) => Err(ErrorKind::ConnectionAborted.into()),
        }
    }
}

/// Interval at which a waiting provider checks whether its client is still connected.
const LOOK: Duration = Duration::from_millis(3);

fn length(part: &Part) -> u64 {
    match part {
        Part::Bytes(bytes) => bytes.len() as u64,
        Part::Spaces(count) => *count,
        Part::Gate(_) | Part::Stall | Part::Break => 0,
    }
}
