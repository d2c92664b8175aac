//! Serves requests. A connection's task reads a frame, and answers it at once or puts it into a model's queue. The
//! thread that completes the answer writes it to the connection.

pub mod options;

pub mod socket;

pub mod engine;

mod connection;

mod embed;

mod parse;

mod chunk;

mod tokenizing;

use std::{sync::Arc, time::Duration};

use engine::Engine;
use options::ServeOptions;
use socket::ServeError;
use tokio::{net::UnixListener, signal::unix::SignalKind, time::Instant};

use crate::{
    outbox::REPORT_INTERVAL,
    parser::{launcher, pool::ParserPool},
    providers::shared::MAX_SCHEMAS_AT_ONCE,
    sandbox,
    scheduler::tokenizer_turns::TokenizerTurns,
    system,
};

/// Serves until SIGTERM, or until the executable is replaced and no client is connected.
///
/// # Errors
/// The engine cannot begin to serve.
pub fn serve(options: ServeOptions) -> Result<(), ServeError> {
    // Before the limits and the sandbox, which a program that the engine starts would inherit.
    let launcher = launcher::start()
        .map_err(|error| ServeError::System(format!("start the launcher of parsers: {error}")))?;
    system::limit_memory(options.memory_mb.max(256) << 20)
        .map_err(|reason| ServeError::System(format!("limit memory: {reason}")))?;
    let processors = system::processors();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        // All that have turns, and some for what takes a moment.
        .max_blocking_threads(TokenizerTurns::threads(processors) + MAX_SCHEMAS_AT_ONCE + processors.max(2))
        .thread_name("pool")
        .build()
        .map_err(|error| ServeError::System(format!("start the event loop: {error}")))?;
    let entered = runtime.enter();
    let (_lock, listener) = socket::listen(&options.socket_directory)?;
    // Before any other thread starts, which would be outside the sandbox.
    let sandbox = sandbox::enter(options.readable_paths());
    let engine = Engine::new(options, sandbox, ParserPool::new(launcher));
    runtime.block_on(run(engine, listener));
    drop(entered);
    // Threads that are still at work end with the process.
    runtime.shutdown_background();
    Ok(())
}

async fn run(engine: Arc<Engine>, listener: UnixListener) {
    let Ok(mut terminate) = tokio::signal::unix::signal(SignalKind::terminate()) else { return };
    let mut executable_check = tokio::time::interval(Duration::from_secs(2));
    let mut load_report = tokio::time::interval(REPORT_INTERVAL);
    let mut last_client = Instant::now();
    let mut connections = 0;
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    connections += 1;
                    tokio::spawn(connection::serve(engine.clone(), stream, connections));
                }
                // The process probably has no free descriptor, until another connection is closed.
                Err(error) => {
                    eprintln!("ragstone-engine: cannot accept a connection: {error}");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            },
            _ = terminate.recv() => return,
            _ = load_report.tick() => engine.registry().queues().iter().for_each(|queue| queue.report_load()),
            _ = executable_check.tick() => {
                if engine.clients() > 0 || !system::executable_replaced() {
                    last_client = Instant::now();
                } else if last_client.elapsed() > MAX_TIME_WITHOUT_CLIENTS {
                    return;
                }
            }
        }
    }
}

/// How long an engine whose executable was replaced waits for clients before it ends.
const MAX_TIME_WITHOUT_CLIENTS: Duration = Duration::from_secs(10);
