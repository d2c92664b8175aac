//! The way of a request: a frame is read from a client's connection, answered at once or sent to a model's queue, and
//! whoever has the answer writes it straight to the connection.

pub mod socket;

pub mod engine;

mod connection;

mod embed;

mod chunk;

pub mod outbox;

use std::{path::PathBuf, sync::Arc, time::Duration};

use engine::Engine;
use tokio::{net::UnixListener, signal::unix::SignalKind, time::Instant};

use crate::{runtime::library::Settings, system};

/// What the supervisor asks for.
#[derive(Debug, Clone)]
pub struct Options {
    /// Folder of socket and lock.
    pub socket_directory: PathBuf,
    /// Folder of model folders.
    pub models: PathBuf,
    /// Which library.
    pub library: Settings,
    /// Most memory of this process, MB.
    pub memory_mb: u64,
    /// Most texts that may wait for one model.
    pub queue_limit: usize,
    /// Times that the supervisor had to start an engine again.
    pub restarts: u32,
}

/// Why an engine does not serve.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// Another engine of this protocol serves in this folder.
    #[error("another engine serves in {0}")]
    Held(String),
    /// The socket cannot be had.
    #[error("cannot listen in {directory}: {reason}")]
    Socket {
        /// The socket directory.
        directory: String,
        /// What the system says.
        reason: String,
    },
    /// Something that every process can expect of the system.
    #[error("cannot {0}")]
    System(String),
}

impl ServeError {
    /// The process's exit code (sysexits.h).
    pub fn exit_code(&self) -> i32 {
        match self {
            Self::Held(_) => 75,
            Self::Socket { .. } | Self::System(_) => 78,
        }
    }
}

/// Serves until SIGTERM, or until the executable is replaced and nobody is connected.
///
/// # Errors
/// It cannot begin to serve.
pub fn serve(options: Options) -> Result<(), ServeError> {
    system::limit_memory(options.memory_mb.max(256) << 20)
        .map_err(|reason| ServeError::System(format!("limit memory: {reason}")))?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(system::processors().max(2) + 2)
        .thread_name("pool")
        .build()
        .map_err(|error| ServeError::System(format!("start the event loop: {error}")))?;
    let _entered = runtime.enter();
    let (_lock, listener) = socket::listen(&options.socket_directory)?;
    let engine = Engine::new(options);
    runtime.block_on(run(engine, listener));
    Ok(())
}

async fn run(engine: Arc<Engine>, listener: UnixListener) {
    let Ok(mut terminate) = tokio::signal::unix::signal(SignalKind::terminate()) else { return };
    let mut watch = tokio::time::interval(Duration::from_secs(2));
    let mut last_client = Instant::now();
    let mut connections = 0;
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    connections += 1;
                    tokio::spawn(connection::serve(engine.clone(), stream, connections));
                }
                // Out of descriptors, most likely: others will be closed.
                Err(error) => {
                    eprintln!("ragstone-engine: cannot accept a connection: {error}");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            },
            _ = terminate.recv() => return,
            _ = watch.tick() => {
                if engine.clients() > 0 || !system::executable_replaced() {
                    last_client = Instant::now();
                } else if last_client.elapsed() > UNUSED {
                    return;
                }
            }
        }
    }
}

/// How long an engine whose executable was replaced waits for clients.
const UNUSED: Duration = Duration::from_secs(10);
