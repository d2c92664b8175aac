//! The background workers as processes. [`sync_main`], [`job_main`], [`supervisor`] and [`launcher`] have the entry points.
//!
//! The worker of a database runs [`sync_loop`], which drives the [`indexer`] (with its [`settling`] and [`pauses`]) and, in the
//! first worker of a database, the [`mailbox_readers`]. [`exit`] checks whether work is left when it exits.

mod exit;
mod indexer;
mod job_main;
mod launcher;
mod mailbox_readers;
mod pauses;
mod settling;
mod supervisor;
mod sync_loop;
mod sync_main;
