//! What all connections share.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
    },
    time::Instant,
};

use ragstone_core::protocol::{Model, Progress, Stats};

use super::Options;
use crate::{
    ledger::Ledger,
    log::Log,
    model::folder::Folder,
    pieces::Mailboxes,
    providers::call::Providers,
    runtime::library::Library,
    scheduler::registry::{Registry, lock},
    system,
};

/// The engine's state.
pub struct Engine {
    registry: Arc<Registry>,
    ledger: Arc<Ledger>,
    log: Log,
    mailboxes: Arc<Mailboxes>,
    providers: Providers,
    reports: Mutex<Reports>,
    clients: AtomicU32,
    restarts: u32,
    since: Instant,
}

/// By connection, then by database, process and subject.
type Reports = BTreeMap<(u64, u32, i32, String), Progress>;

impl Engine {
    /// An engine without clients and models.
    pub fn new(options: Options) -> Arc<Self> {
        let library = Library::new(options.library);
        Arc::new(Self {
            registry: Registry::new(options.models, library, options.memory_mb, options.queue_limit),
            ledger: Arc::default(),
            log: Log::default(),
            mailboxes: Arc::default(),
            providers: Providers::default(),
            reports: Mutex::default(),
            clients: AtomicU32::new(0),
            restarts: options.restarts,
            since: Instant::now(),
        })
    }

    /// The models.
    pub fn registry(&self) -> &Arc<Registry> {
        &self.registry
    }

    /// What calls of providers take, and have taken.
    pub fn ledger(&self) -> &Arc<Ledger> {
        &self.ledger
    }

    /// Logs of agents that are not written down yet.
    pub fn log(&self) -> &Log {
        &self.log
    }

    /// Pieces of jobs' answers.
    pub fn mailboxes(&self) -> &Arc<Mailboxes> {
        &self.mailboxes
    }

    /// Connections to providers, and who waits for them.
    pub fn providers(&self) -> &Providers {
        &self.providers
    }

    /// Connected clients.
    pub fn clients(&self) -> u32 {
        self.clients.load(Ordering::Relaxed)
    }

    /// A client came.
    pub fn enter(&self) {
        self.clients.fetch_add(1, Ordering::Relaxed);
    }

    /// A client went: its reports end, and its texts leave the queues.
    pub fn leave(&self, connection: u64, had_requests: bool) {
        self.clients.fetch_sub(1, Ordering::Relaxed);
        lock(&self.reports).retain(|key, _| key.0 != connection);
        if had_requests {
            self.sweep();
        }
    }

    /// Drops what nobody waits for from all queues.
    pub fn sweep(&self) {
        self.registry.stations().iter().for_each(|station| station.sweep());
    }

    /// Keeps the state of a long work.
    pub fn report(&self, connection: u64, progress: Progress) {
        let key = (connection, progress.database, progress.pid, progress.subject.clone());
        let mut reports = lock(&self.reports);
        if progress.total == 0 {
            reports.remove(&key);
        } else {
            reports.insert(key, progress);
        }
    }

    /// The works in progress.
    pub fn reports(&self) -> Vec<Progress> {
        lock(&self.reports).values().cloned().collect()
    }

    /// The installed models, broken ones too.
    pub fn models(&self) -> Vec<Model> {
        let names = Folder::installed(self.registry.models());
        names
            .iter()
            .filter_map(|name| self.registry.station(name).ok())
            .map(|station| station.report())
            .collect()
    }

    /// The counters.
    pub fn stats(&self) -> Stats {
        Stats {
            pid: std::process::id(),
            uptime_s: self.since.elapsed().as_secs_f64(),
            runtime: self.registry.library().describe(),
            restarts: self.restarts,
            resident_bytes: system::resident_bytes(),
            clients: self.clients(),
            models: self.registry.stations().iter().map(|station| station.stats()).collect(),
        }
    }
}
