//! Ragstone: retrieval-augmented generation inside PostgreSQL.
//!
//! In reading order: what SQL sees, what it is made of, and what touches Postgres.

mod api;
mod agents;
mod ask;
mod chat;
mod collection;
mod search;
mod sync;
mod jobs;
mod runs;
mod tools;
mod embedding;
mod parsing;
mod provider;
mod accounting;
mod worker;
mod pg;

#[cfg(any(test, feature = "pg_test"))]
mod backend_tests;
#[cfg(test)]
pub mod pg_test;

use pgrx::{extension_sql_file, pg_guard, pg_module_magic};

pg_module_magic!(name, version);

extension_sql_file!("../sql/bootstrap.sql", bootstrap);
extension_sql_file!("../sql/privileges.sql", finalize);

#[pg_guard]
extern "C-unwind" fn _PG_init() {
    pg::guc::define();
    worker::supervisor::register_if_preloaded();
    worker::launcher::register_if_preloaded();
}
