//! The background workers as processes. Their entry points are in [`worker_main`], [`job_main`],
//! [`supervisor`] and [`launcher`].
//!
//! A database has workers of two kinds. Workers that index rows run [`sync_loop`], which drives the
//! [`indexer`] (with its [`settling`], [`pauses`], [`provider_pauses`] and [`suspects`]). The coordinator
//! runs [`coordinator_loop`], which drives the [`mailbox_readers`], the jobs and the maintenance of the agent
//! log. [`exit`] checks whether work is left when a worker exits.

mod coordinator_loop;
mod exit;
mod indexer;
mod job_main;
mod launcher;
mod mailbox_readers;
mod pauses;
mod pipeline;
mod provider_pauses;
mod settling;
mod supervisor;
mod suspects;
mod sync_loop;
mod worker_main;
