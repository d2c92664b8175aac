//! Ragstone: retrieval-augmented generation inside PostgreSQL.
//!
//! The modules in reading order: the SQL interface, its implementation, and the background workers.
#![deny(unsafe_code)]

mod api;
mod agents;
mod jobs;
mod tools;
mod chat;
mod ask;
mod evaluation;
mod search;
mod collections;
mod embedding;
mod provider;
mod log_import;
mod agent_log;
mod call_log;
mod background;

#[cfg(any(test, feature = "pg_test"))]
#[allow(unsafe_code, reason = "tests of unsafe functions")]
mod backend_tests;
#[cfg(test)]
pub mod pg_test;

use pgrx::{extension_sql_file, pg_guard, pg_module_magic};
use ragstone_client::processes::{launcher, supervisor};
use ragstone_client::settings;
use ragstone_pg::backtrace;

pg_module_magic!(name, version);

extension_sql_file!("../sql/bootstrap.sql", bootstrap);
extension_sql_file!("../sql/privileges.sql", finalize);

#[pg_guard]
extern "C-unwind" fn _PG_init() {
    backtrace::hide_from_clients();
    settings::define();
    jobs::handlers::register(&[agents::HANDLER]);
    supervisor::register_if_preloaded();
    launcher::register_if_preloaded();
}
