//! The background workers as processes: their entry points, and the loop of a database's worker.

mod exit;
mod job_main;
mod launcher;
mod mailbox_readers;
mod supervisor;
mod sync_loop;
mod sync_main;
