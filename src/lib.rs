//! Ragstone: retrieval-augmented generation inside PostgreSQL.
//!
//! In reading order: what SQL sees, what it is made of, and what touches Postgres.

mod api;
mod embedding;
mod pg;
mod worker;

use pgrx::{pg_guard, pg_module_magic};

pg_module_magic!(name, version);

#[pg_guard]
extern "C-unwind" fn _PG_init() {
    pg::guc::define();
    worker::supervisor::register_if_preloaded();
}
