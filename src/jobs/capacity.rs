//! Counts the job workers that run on the server, and checks their limits: `rag.max_job_workers` for all
//! roles together, and `rag.max_job_workers_per_role`, so that one role cannot keep the others waiting.

use ragstone_client::processes::job_registry::{self, JobTicket};
use ragstone_client::settings;
use std::collections::HashSet;

/// The jobs that have a worker, in all databases.
pub struct Capacity(HashSet<JobTicket>);

impl Capacity {
    /// The jobs that have a worker now.
    pub fn now() -> Self {
        Self(job_registry::running().collect())
    }

    /// True if a job has a worker.
    pub fn has(&self, ticket: &JobTicket) -> bool {
        self.0.contains(ticket)
    }

    /// Counts a job whose worker is being started.
    pub fn add(&mut self, ticket: JobTicket) {
        self.0.insert(ticket);
    }

    /// True if no further job may start.
    pub fn is_exhausted(&self) -> bool {
        self.0.len() >= settings::max_job_workers()
    }

    /// True if no further job of this role may start.
    pub fn is_exhausted_for(&self, role: u32) -> bool {
        self.0.iter().filter(|ticket| ticket.role == role).count() >= settings::max_job_workers_per_role()
    }
}
