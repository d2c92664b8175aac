//! A scripted provider with real sockets: it answers, streams, stalls, refuses and breaks off as a test requires.
//!
//! ```no_run
//! use ragstone_tests::provider::{Provider, Reply};
//!
//! let provider = Provider::start([Reply::status(429).header("retry-after", "0"), Reply::chat("hello")])?;
//! // … call provider.url(), which ends in /v1 …
//! assert_eq!(provider.requests()[0].body["messages"][0]["content"], "hi");
//! # anyhow::Ok(())
//! ```

mod connection;
mod http2;
mod reply;
mod script;
mod tls;

pub use reply::{Gate, Part, Reply, embedding};
pub use script::{Counter, Script, gated};

use crate::Result;
use crate::wait::SOON;
use serde_json::Value;
use std::collections::BTreeMap;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Instant;
use tls::Authority;

/// A running provider. Dropping it ends it.
#[derive(Debug)]
pub struct Provider {
    address: SocketAddr,
    authority: Option<Authority>,
    state: Arc<State>,
    listening: Option<JoinHandle<()>>,
}

/// A request that the provider has received.
#[derive(Debug, Clone, PartialEq)]
pub struct Seen {
    /// `POST`.
    pub method: String,
    /// Path with the query string.
    pub path: String,
    /// Headers; names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body as JSON; a JSON string if it is not JSON.
    pub body: Value,
    /// Number of the connection, from 0.
    pub connection: usize,
    /// True if the client closed the connection before it had received the whole answer.
    pub abandoned: bool,
}

impl Seen {
    /// The value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

#[derive(Debug, Default)]
struct State {
    shared: Mutex<Shared>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Shared {
    script: Vec<Reply>,
    requests: Vec<Seen>,
    connections: usize,
    /// The connections that are open, by their numbers.
    open: BTreeMap<usize, TcpStream>,
    at_once: usize,
    most_at_once: usize,
    ended: bool,
}

impl State {
    fn lock(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change<T>(&self, change: impl FnOnce(&mut Shared) -> T) -> T {
        let result = change(&mut self.lock());
        self.changed.notify_all();
        result
    }

    /// Records a request. Returns its number and the reply to it.
    fn begin(&self, seen: &Seen) -> (usize, Reply) {
        self.change(|shared| {
            let index = shared.requests.len();
            shared.requests.push(seen.clone());
            shared.at_once += 1;
            shared.most_at_once = shared.most_at_once.max(shared.at_once);
            let reply = shared.script.first().cloned().unwrap_or_else(|| Reply::status(500));
            if shared.script.len() > 1 {
                shared.script.remove(0);
            }
            (index, reply)
        })
    }

    /// Records that a request was answered.
    fn end(&self, index: usize, abandoned: bool) {
        self.change(|shared| {
            shared.at_once -= 1;
            shared.requests[index].abandoned = abandoned;
        });
    }
}

impl Provider {
    /// Starts a provider on a local port, which answers requests one after the other with the replies of the
    /// script; the last reply is repeated.
    ///
    /// # Errors
    /// No port is available.
    pub fn start(script: impl IntoIterator<Item = Reply>) -> Result<Self> {
        Self::listen(script, None)
    }

    /// As [`Self::start`] with TLS, for the name `localhost` and the address 127.0.0.1. The certificate of
    /// its authority is in [`Self::certificate`]; only clients that are configured with it trust the
    /// provider.
    ///
    /// # Errors
    /// No port is available, or the certificate cannot be created.
    pub fn start_tls(script: impl IntoIterator<Item = Reply>) -> Result<Self> {
        Self::listen(script, Some(Authority::new()?))
    }

    /// As [`Self::start_tls`], for clients that use HTTP/2: many requests share a connection.
    /// [`Seen::abandoned`] is then true if the client has reset the request's own stream.
    ///
    /// # Errors
    /// No port is available, or the certificate cannot be created.
    pub fn start_http2(script: impl IntoIterator<Item = Reply>) -> Result<Self> {
        Self::listen(script, Some(Authority::with_http2()?))
    }

    fn listen(script: impl IntoIterator<Item = Reply>, authority: Option<Authority>) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let state = Arc::new(State::default());
        state.lock().script = script.into_iter().collect();
        let config = authority.as_ref().map(Authority::server);
        let listening = {
            let state = state.clone();
            thread::spawn(move || {
                for stream in listener.incoming().map_while(std::io::Result::ok) {
                    let Ok(copy) = stream.try_clone() else { continue };
                    let number = state.change(|shared| {
                        shared.open.insert(shared.connections, copy);
                        shared.connections += 1;
                        (!shared.ended).then_some(shared.connections - 1)
                    });
                    let Some(number) = number else { return };
                    let (state, config) = (state.clone(), config.clone());
                    thread::spawn(move || {
                        match config {
                            Some(config) if !config.alpn_protocols.is_empty() => {
                                http2::serve(&state, stream, config, number);
                            }
                            config => connection::serve(&state, stream, config, number),
                        }
                        state.change(|shared| shared.open.remove(&number));
                    });
                }
            })
        };
        Ok(Self { address, authority, state, listening: Some(listening) })
    }

    /// The base URL, with `/v1` at its end.
    pub fn url(&self) -> String {
        match self.authority {
            Some(_) => format!("https://localhost:{}/v1", self.address.port()),
            None => format!("http://{}/v1", self.address),
        }
    }

    /// The authority's certificate as PEM.
    pub fn certificate(&self) -> Option<&str> {
        self.authority.as_ref().map(Authority::certificate)
    }

    /// Writes the authority's certificate to a file, for `SSL_CERT_FILE`.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write_certificate(&self, file: &Path) -> Result<()> {
        Ok(std::fs::write(file, self.certificate().unwrap_or_default())?)
    }

    /// Continues with another script.
    pub fn script(&self, script: impl IntoIterator<Item = Reply>) {
        self.state.change(|shared| shared.script = script.into_iter().collect());
    }

    /// The requests so far, in the order in which they were read.
    pub fn requests(&self) -> Vec<Seen> {
        self.state.lock().requests.clone()
    }

    /// Number of connections so far.
    pub fn connections(&self) -> usize {
        self.state.lock().connections
    }

    /// Maximum number of requests that were being answered at the same time.
    pub fn most_at_once(&self) -> usize {
        self.state.lock().most_at_once
    }

    /// Waits until `count` requests have arrived, for at most [`SOON`]. Returns false if they have not.
    pub fn wait_for_requests(&self, count: usize) -> bool {
        self.wait(|shared| shared.requests.len() >= count)
    }

    /// Waits until a client has closed the connection of this request before it had received the whole
    /// answer, for at most [`SOON`]. Returns false if it has not.
    pub fn wait_until_abandoned(&self, request: usize) -> bool {
        self.wait(|shared| shared.requests.get(request).is_some_and(|request| request.abandoned))
    }

    fn wait(&self, condition: impl Fn(&Shared) -> bool) -> bool {
        let deadline = Instant::now() + SOON;
        let mut shared = self.state.lock();
        while !condition(&shared) {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            let waited = self.state.changed.wait_timeout(shared, left);
            shared = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }
}

impl Drop for Provider {
    fn drop(&mut self) {
        self.state.change(|shared| {
            shared.ended = true;
            for stream in shared.open.values() {
                let _ = stream.shutdown(Shutdown::Both);
            }
        });
        // Wakes the listener, which then notices that it must end.
        let _ = TcpStream::connect(self.address);
        if let Some(listening) = self.listening.take() {
            let _ = listening.join();
        }
    }
}
