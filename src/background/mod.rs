//! The background workers as processes. [`worker_main`], [`job_main`], [`supervisor`] and [`launcher`] have the entry points.
//!
//! A database has workers of two kinds. Those that index run [`sync_loop`], which drives the [`indexer`] (with its [`settling`],
//! [`pauses`], [`provider_pauses`] and [`suspects`]). The coordinator runs [`coordinator_loop`], which drives the [`mailbox_readers`], the jobs and the maintenance of the
//! log. [`exit`] checks whether work is left when one exits.

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
