//! The HTTP client that all calls share: connections are kept alive, whoever the system trusts is trusted, redirects are not
//! followed.

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

use crate::{failure::Error, scheduler::registry::lock};

/// The clients: one for each time that a connection may take, and for hosts behind a proxy and this one.
#[derive(Default)]
pub struct Clients {
    tls: OnceCell<ClientConfig>,
    clients: Mutex<HashMap<(u64, bool), Client>>,
    names: Arc<Names>,
}

impl Clients {
    /// The client for this target.
    ///
    /// # Errors
    /// The system has no randomness, or the environment names a proxy that is none.
    pub async fn get(&self, target: &Target, base: &Url) -> Result<Client, Error> {
        let key = (target.limits.connect_timeout_ms, is_loopback(base));
        if let Some(client) = lock(&self.clients).get(&key) {
            return Ok(client.clone());
        }
        let tls = self.tls.get_or_try_init(tls).await?.clone();
        let mut builder = Client::builder()
            .tls_backend_preconfigured(tls)
            .dns_resolver(self.names.clone())
            .redirect(Policy::none())
            .connect_timeout(Duration::from_millis(key.0.max(1)))
            .pool_idle_timeout(KEPT_ALIVE)
            .http2_keep_alive_interval(ASKED)
            .http2_keep_alive_timeout(ASKED)
            .user_agent(concat!("ragstone-engine/", env!("CARGO_PKG_VERSION")));
        if key.1 {
            builder = builder.no_proxy();
        }
        let client =
            builder.build().map_err(|error| Error::Internal(format!("HTTP client: {}", cause(&error))))?;
        let mut clients = lock(&self.clients);
        if clients.len() >= MOST_CLIENTS {
            clients.clear();
        }
        Ok(clients.entry(key).or_insert(client).clone())
    }
}

/// Whoever changes a server's timeout again and again fills no memory.
const MOST_CLIENTS: usize = 64;

/// All calls to a host that speaks HTTP/2 share a connection, so that hundreds of sessions need one handshake and not one each.
/// Where nothing comes over it for so long while calls wait, and then nothing again after a ping, it is taken for dead: else all
/// later calls would wait for it as well.
const ASKED: Duration = Duration::from_secs(10);

/// How long a connection that nobody uses is kept. Many providers close it after a minute or two.
const KEPT_ALIVE: Duration = Duration::from_secs(50);

/// A proxy has no way to this host's own addresses.
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

/// Trust in whom the system trusts, or in the file that SSL_CERT_FILE names. Reading the certificates takes milliseconds.
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

/// Looks names up as the system does, in threads of its own: a name server that does not answer holds up no model.
struct Names {
    places: Arc<Semaphore>,
}

impl Default for Names {
    fn default() -> Self {
        Self { places: Arc::new(Semaphore::new(LOOKUPS)) }
    }
}

/// Most names that are looked up at once.
const LOOKUPS: usize = 16;

impl Resolve for Names {
    fn resolve(&self, name: Name) -> Resolving {
        let places = self.places.clone();
        Box::pin(async move {
            let place = places.acquire_owned().await?;
            let (send, receive) = oneshot::channel();
            thread::Builder::new().name("names".into()).spawn(move || {
                let _place = place;
                let _ = send.send((name.as_str(), 0).to_socket_addrs());
            })?;
            let addresses = receive.await?.map_err(NoSuchName)?;
            Ok(Box::new(addresses) as Addrs)
        })
    }
}

/// A host's name that has no address.
#[derive(Debug)]
struct NoSuchName(io::Error);

impl fmt::Display for NoSuchName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "the name of its host cannot be resolved: {}", self.0)
    }
}

impl StdError for NoSuchName {}

/// A request that was not answered, and whether it may be when it is sent again.
pub struct Unanswered {
    /// What the user reads.
    pub error: Error,
    /// Whether to try again.
    pub may_pass: bool,
}

/// Why there was no answer, in words that name neither address nor key.
pub fn unanswered(target: &Target, error: &reqwest::Error) -> Unanswered {
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
        let may_pass = !error.is_timeout() && matches!(cause, Cause::Refused | Cause::Lost(_));
        let error = failure(unreachable, format!("cannot reach provider \"{name}\": {reason}"), cause.hint());
        return Unanswered { error, may_pass };
    }
    let message = format!("provider \"{name}\" closed the connection before it answered");
    Unanswered { error: failure(FailureKind::ProviderLost, message, "Try again."), may_pass: true }
}

/// What is behind an error of the HTTP library.
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
        if let Some(name) = error.downcast_ref::<NoSuchName>() {
            return Cause::Name(name.to_string());
        }
        if let Some(tls) = error.downcast_ref::<rustls::Error>() {
            return tls_cause(tls);
        }
        next = error.source();
        if let Some(system) = error.downcast_ref::<io::Error>() {
            // An error in it is not its source, but the same error.
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
