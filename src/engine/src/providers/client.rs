//! The HTTP clients that all calls share. They keep connections alive, trust the certificates that the system trusts, and do not
//! follow redirects.

use std::{
    collections::HashMap,
    error::Error as StdError,
    fmt, io,
    net::ToSocketAddrs,
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

use ragstone_core::{failure::FailureKind, provider::Target};
use reqwest::{
    Client, Url,
    dns::{Addrs, Name, Resolve, Resolving},
    redirect::Policy,
};
use rustls::{ClientConfig, RootCertStore, crypto::ring};
use rustls_platform_verifier::Verifier;
use tokio::sync::{OnceCell, Semaphore, oneshot};

use crate::{failure::Error, lock::lock};

/// One client for each connection timeout, with and without the proxy of the environment.
#[derive(Default)]
pub struct HttpClients {
    tls: OnceCell<ClientConfig>,
    clients: Mutex<HashMap<(u64, bool), Client>>,
    dns_resolver: Arc<DnsResolver>,
}

impl HttpClients {
    /// The client for this target.
    ///
    /// # Errors
    /// The system has no source of randomness, or the environment names a proxy that is not valid.
    pub async fn get(&self, target: &Target, base: &Url) -> Result<Client, Error> {
        let key = (target.limits.connect_timeout_ms, is_loopback(base));
        if let Some(client) = lock(&self.clients).get(&key) {
            return Ok(client.clone());
        }
        let tls = self.tls.get_or_try_init(tls).await?.clone();
        let mut builder = Client::builder()
            .tls_backend_preconfigured(tls)
            .dns_resolver(self.dns_resolver.clone())
            .redirect(Policy::none())
            .connect_timeout(Duration::from_millis(key.0.max(1)))
            .pool_idle_timeout(POOL_IDLE_TIMEOUT)
            .http2_keep_alive_interval(HTTP2_PING_INTERVAL)
            .http2_keep_alive_timeout(HTTP2_PING_INTERVAL)
            .user_agent(concat!("ragstone-engine/", env!("CARGO_PKG_VERSION")));
        if key.1 {
            builder = builder.no_proxy();
        }
        let client =
            builder.build().map_err(|error| Error::Internal(format!("HTTP client: {}", cause(&error))))?;
        let mut clients = lock(&self.clients);
        if clients.len() >= MAX_CLIENTS {
            clients.clear();
        }
        Ok(clients.entry(key).or_insert(client).clone())
    }
}

/// Limits the memory of a process in which a server's timeout is changed again and again.
const MAX_CLIENTS: usize = 64;

/// All calls to a host that speaks HTTP/2 share a connection, so that hundreds of sessions need a single handshake. If
/// calls wait and nothing arrives during this interval, nor within another one after a ping, the connection is closed
/// as dead; otherwise all later calls would wait for it as well.
const HTTP2_PING_INTERVAL: Duration = Duration::from_secs(10);

/// How long an idle connection is kept. Many providers close it after a minute or two.
const POOL_IDLE_TIMEOUT: Duration = Duration::from_secs(50);

/// Whether the host is this machine, which a proxy cannot reach by that name.
fn is_loopback(base: &Url) -> bool {
    match base.host_str() {
        Some("localhost") => true,
        Some(host) => {
            let address = host.trim_start_matches('[').trim_end_matches(']').parse::<std::net::IpAddr>();
            address.is_ok_and(|address| address.is_loopback())
        }
        None => false,
    }
}

/// Trusts the certificates of the system, or of the file that SSL_CERT_FILE names. Reading them takes milliseconds.
async fn tls() -> Result<ClientConfig, Error> {
    let reading = tokio::task::spawn_blocking(|| {
        let provider = Arc::new(ring::default_provider());
        let builder =
            ClientConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions();
        let builder = builder.map_err(|error| Error::Internal(error.to_string()))?;
        let mut config = match Verifier::new(provider) {
            Ok(verifier) => {
                builder.dangerous().with_custom_certificate_verifier(Arc::new(verifier)).with_no_client_auth()
            }
            // A system without certificates can still call a provider without TLS.
            Err(error) => {
                eprintln!("ragstone-engine: no certificate is trusted: {error}");
                builder.with_root_certificates(RootCertStore::empty()).with_no_client_auth()
            }
        };
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(config)
    });
    reading.await.map_err(|error| Error::Internal(error.to_string()))?
}

/// Resolves names with the system's resolver, in threads of its own, so that a name server that does not answer does not
/// block the threads that the models need.
struct DnsResolver {
    lookups: Arc<Semaphore>,
}

impl Default for DnsResolver {
    fn default() -> Self {
        Self { lookups: Arc::new(Semaphore::new(MAX_LOOKUPS)) }
    }
}

/// Maximum number of concurrent lookups.
const MAX_LOOKUPS: usize = 16;

impl Resolve for DnsResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let lookups = self.lookups.clone();
        Box::pin(async move {
            let permit = lookups.acquire_owned().await?;
            let (send, receive) = oneshot::channel();
            thread::Builder::new().name("names".into()).spawn(move || {
                let _permit = permit;
                let _ = send.send((name.as_str(), 0).to_socket_addrs());
            })?;
            let addresses = receive.await?.map_err(ResolveError)?;
            Ok(Box::new(addresses) as Addrs)
        })
    }
}

/// The error of a host name without an address.
#[derive(Debug)]
struct ResolveError(io::Error);

impl fmt::Display for ResolveError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "the name of its host cannot be resolved: {}", self.0)
    }
}

impl StdError for ResolveError {}

/// A request got no answer.
pub struct TransportError {
    /// The error that the user reads.
    pub error: Error,
    /// Whether it may succeed when it is sent again.
    pub is_transient: bool,
}

/// Why there was no answer. The message names neither address nor key.
pub fn transport_error(target: &Target, error: &reqwest::Error) -> TransportError {
    let name = &target.name;
    let cause = cause(error);
    let failure = |kind, message: String, hint: &str| Error::Provider {
        kind,
        message,
        detail: String::new(),
        hint: hint.to_owned(),
    };
    if error.is_connect() || matches!(cause, Cause::Name(_) | Cause::Tls(_) | Cause::Certificate(_)) {
        let unreachable = FailureKind::ProviderUnreachable;
        let reason = match cause {
            _ if error.is_timeout() => {
                format!("no connection within {} ms", target.limits.connect_timeout_ms)
            }
            _ => cause.to_string(),
        };
        let is_transient = !error.is_timeout() && matches!(cause, Cause::Refused | Cause::Lost(_));
        let error = failure(unreachable, format!("cannot reach provider \"{name}\": {reason}"), cause.hint());
        return TransportError { error, is_transient };
    }
    let message = format!("provider \"{name}\" closed the connection before it answered");
    TransportError { error: failure(FailureKind::ProviderLost, message, "Try again."), is_transient: true }
}

/// The cause of an error of the HTTP library.
#[derive(Debug)]
enum Cause {
    Name(String),
    Refused,
    Certificate(String),
    Tls(String),
    Lost(io::ErrorKind),
    Other(&'static str),
}

impl fmt::Display for Cause {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(reason) => formatter.write_str(reason),
            Self::Refused => formatter.write_str("connection refused"),
            Self::Certificate(reason) => write!(formatter, "its certificate is not accepted: {reason}"),
            Self::Tls(reason) => write!(formatter, "TLS: {reason}"),
            Self::Lost(kind) => write!(formatter, "{kind}"),
            Self::Other(what) => formatter.write_str(what),
        }
    }
}

impl Cause {
    fn hint(&self) -> &'static str {
        match self {
            Self::Name(_) => {
                "Check the host in the server's option base_url, and the name service of the database's host."
            }
            Self::Refused => {
                "Check that the provider runs, and host and port in the server's option base_url."
            }
            Self::Certificate(_) => {
                "Install the certificate of its authority on the database's host, or name its file in the variable SSL_CERT_FILE of the server's environment."
            }
            Self::Tls(_) => "Check scheme and port in the server's option base_url.",
            Self::Lost(_) | Self::Other(_) => {
                "Check the network between the database's host and the provider."
            }
        }
    }
}

fn cause(error: &(dyn StdError + 'static)) -> Cause {
    let mut next = Some(error);
    let mut found = Cause::Other("no connection");
    while let Some(error) = next {
        if let Some(name) = error.downcast_ref::<ResolveError>() {
            return Cause::Name(name.to_string());
        }
        if let Some(tls) = error.downcast_ref::<rustls::Error>() {
            return tls_cause(tls);
        }
        next = error.source();
        if let Some(system) = error.downcast_ref::<io::Error>() {
            // `source` skips the error inside an I/O error.
            if let Some(inner) = system.get_ref() {
                next = Some(inner);
            } else if system.kind() == io::ErrorKind::ConnectionRefused {
                found = Cause::Refused;
            } else {
                found = Cause::Lost(system.kind());
            }
        }
    }
    found
}

fn tls_cause(error: &rustls::Error) -> Cause {
    match error {
        rustls::Error::InvalidCertificate(reason) => Cause::Certificate(reason.to_string()),
        other => Cause::Tls(other.to_string()),
    }
}
