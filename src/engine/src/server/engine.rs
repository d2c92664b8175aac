//! The state that all connections share.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
    time::Instant,
};

use ragstone_core::protocol::{Model, Progress, Stats};

use super::options::ServeOptions;
use crate::{
    agent_log::AgentLog,
    lock::lock,
    model::folder::ModelFolder,
    parser::pool::ParserPool,
    pieces::PieceStreams,
    providers::shared::Calls,
    runtime::library::Library,
    scheduler::{host::Host, registry::Registry, tokenizer_turns::TokenizerTurns},
    system,
};

/// The engine's state.
pub struct Engine {
    registry: Arc<Registry>,
    agent_log: AgentLog,
    piece_streams: Arc<PieceStreams>,
    calls: Arc<Calls>,
    parsers: ParserPool,
    tokenizer_turns: TokenizerTurns,
    tokenizer_steps: AtomicU64,
    reports: Mutex<ProgressReports>,
    clients: AtomicU32,
    restarts: u32,
    sandbox: String,
    started: Instant,
}

/// Key: connection, database, process, subject.
type ProgressReports = BTreeMap<(u64, u32, i32, String), Progress>;

impl Engine {
    /// Creates an engine without clients and models, which runs in this sandbox.
    pub fn new(options: ServeOptions, sandbox: String, parsers: ParserPool) -> Arc<Self> {
        let library = Library::new(options.library);
        Arc::new(Self {
            registry: Registry::new(options.models, library, options.memory_mb, options.queue_limit),
            agent_log: AgentLog::default(),
            piece_streams: Arc::default(),
            calls: Arc::default(),
            parsers,
            tokenizer_turns: TokenizerTurns::new(system::processors()),
            tokenizer_steps: AtomicU64::new(0),
            reports: Mutex::default(),
            clients: AtomicU32::new(0),
            restarts: options.restarts,
            sandbox,
            started: Instant::now(),
        })
    }

    /// The queues of all models.
    pub fn registry(&self) -> &Arc<Registry> {
        &self.registry
    }

    /// The agents' log entries that are not written yet.
    pub fn agent_log(&self) -> &AgentLog {
        &self.agent_log
    }

    /// Pieces of jobs' answers.
    pub fn piece_streams(&self) -> &Arc<PieceStreams> {
        &self.piece_streams
    }

    /// The state that calls to providers share.
    pub fn calls(&self) -> &Arc<Calls> {
        &self.calls
    }

    /// The processes that parse documents.
    pub fn parsers(&self) -> &ParserPool {
        &self.parsers
    }

    /// The turns of requests that are tokenised.
    pub fn tokenizer_turns(&self) -> &TokenizerTurns {
        &self.tokenizer_turns
    }

    /// Number of steps that tokenizers have made; it rises while they make progress.
    pub fn tokenizer_steps(&self) -> u64 {
        self.tokenizer_steps.load(Ordering::Relaxed)
    }

    /// Counts a step of a tokenizer.
    pub fn count_tokenizer_step(&self) {
        self.tokenizer_steps.fetch_add(1, Ordering::Relaxed);
    }

    /// Number of connected clients.
    pub fn clients(&self) -> u32 {
        self.clients.load(Ordering::Relaxed)
    }

    /// Counts a client that has connected.
    pub fn client_connected(&self) {
        self.clients.fetch_add(1, Ordering::Relaxed);
    }

    /// Removes what a client that has disconnected leaves behind: its reports, and its texts in the queues.
    pub fn client_disconnected(&self, connection: u64, had_requests: bool) {
        self.clients.fetch_sub(1, Ordering::Relaxed);
        lock(&self.reports).retain(|key, _| key.0 != connection);
        if had_requests {
            self.remove_cancelled();
        }
    }

    /// Drops cancelled texts from all queues.
    pub fn remove_cancelled(&self) {
        self.registry.queues().iter().for_each(|queue| queue.remove_cancelled());
    }

    /// Stores a client's report on a long operation.
    pub fn report(&self, connection: u64, progress: Progress) {
        let key = (connection, progress.database, progress.pid, progress.subject.clone());
        let mut reports = lock(&self.reports);
        if progress.total == 0 {
            reports.remove(&key);
        } else {
            reports.insert(key, progress);
        }
    }

    /// The reports of all clients.
    pub fn reports(&self) -> Vec<Progress> {
        lock(&self.reports).values().cloned().collect()
    }

    /// The installed models, broken ones too.
    pub fn models(&self) -> Vec<Model> {
        let names = ModelFolder::installed(self.registry.models_folder());
        names.iter().filter_map(|name| self.registry.queue(name).ok()).map(|queue| queue.report()).collect()
    }

    /// The counters.
    pub fn stats(&self) -> Stats {
        Stats {
            pid: std::process::id(),
            uptime_s: self.started.elapsed().as_secs_f64(),
            runtime: self.registry.library().describe(),
            restarts: self.restarts,
            sandbox: self.sandbox.clone(),
            resident_bytes: system::resident_bytes(),
            clients: self.clients(),
            models: self.registry.queues().iter().map(|queue| queue.stats()).collect(),
        }
    }
}
