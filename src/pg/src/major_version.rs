//! The differences between the major versions of PostgreSQL, and numbers from its headers that pgrx does not bind.
//!
//! No other file in Rust distinguishes versions. A version that no line names is treated like the newest one.
//!
//! # Where to look for a new major version
//!
//! The newest version is at <https://www.postgresql.org/docs/devel/release.html>: read "Migration" first. Then, in this order:
//!
//! 1. `Cargo.toml`: a version of pgrx that supports it (the version of cargo-pgrx is in `setup/pgrx.sh`), and the feature `pgNN`,
//!    also in `src/pg/Cargo.toml` and `src/client/Cargo.toml`.
//! 2. `setup/postgres.sh`: a copy of the version, for both architectures. `setup/pgvector.sh`: a pgvector that supports it.
//! 3. This file: the constants and functions below. `src/backend_tests.rs` compares them with the headers of the server that
//!    it runs in (`PG=NN setup/pgrxtest.sh`). Also the declarations of functions that pgrx does not bind:
//!    `time_limit.rs` (`utils/timeout.h`), `own_sqlstate.rs` (`utils/elog.h`), `windowapi.rs` (`windowapi.h`),
//!    `client/processes/register.rs` (`tcop/tcopprot.h`).
//! 4. Code that writes or reads PostgreSQL's on-disk formats: `core/jsonb/layout.rs` (`utils/jsonb.h`) and `core/tsvector.rs`
//!    (`tsearch/ts_type.h`). `pg_upgrade` copies such files unchanged, so the release notes would announce a change.
//!    `backend_tests.rs` compares the JSON that this code writes and reads with the server's.
//! 5. Code that relies on internal behaviour: `read_only.rs` (which code checks `transaction_read_only`),
//!    `client/settings/paths.rs` (the folder `pg_stat_tmp`, which base backups leave out), `attempt.rs` and `encoding.rs`
//!    (internals of errors and encodings).
//! 6. Queries on the catalogues: `sql/queries/attachments.sql` (kinds of constraints), `unique_indexes.sql` (kinds of keys,
//!    columns that are not null), `function.sql`, `type.sql` and `commands.sql`. A new kind of table, column, constraint or
//!    function may have to be refused.
//! 7. Tests that name a version: `tests/it/job_rights.rs`. Expected outputs, if the server words messages differently.
//! 8. `.ci/run`, `setup/upgradecheck.sh`, `Makefile`, `README.md`, `CONTRIBUTING.md`, `docs/production.md`: the list of versions.
//!
//! When support for the oldest version ends, remove it from the same places, with the conditions below that only it needs.

use pgrx::pg_sys;
use std::ffi::c_int;

/// The major version that the library is built for. A server of another version refuses the library.
pub const MAJOR: u32 = pg_sys::PG_MAJORVERSION_NUM;

/// True if a background worker can only connect as a role with LOGIN. `BGWORKER_BYPASS_ROLELOGINCHECK`
/// (`postmaster/bgworker.h`) exists since PostgreSQL 17.
pub const WORKER_NEEDS_LOGIN: bool = MAJOR < 17;

/// The flags with which a background worker connects as a role, if possible even without LOGIN.
pub const WORKER_CONNECTION_FLAGS: u32 = if WORKER_NEEDS_LOGIN { 0 } else { BYPASS_LOGIN_CHECK };

/// `BGWORKER_BYPASS_ROLELOGINCHECK`, which the bindings of older versions lack.
pub const BYPASS_LOGIN_CHECK: u32 = 0x0002;

// Since PostgreSQL 18 the backend's function has another name than that of libpq (`port.h`).
#[cfg(any(feature = "pg15", feature = "pg16", feature = "pg17"))]
pub use pgrx::pg_sys::pqsignal;
#[cfg(not(any(feature = "pg15", feature = "pg16", feature = "pg17")))]
pub use pgrx::pg_sys::pqsignal_be as pqsignal;

/// Makes `RegisterTimeout` allocate a new id (`utils/timeout.h`), as any value from `USER_TIMEOUT` on does. `USER_TIMEOUT` is 12 in
/// 15 and 16, and 13 in 17 and 18, where `TRANSACTION_TIMEOUT` precedes it: the largest number works in all versions.
pub const NEW_TIMEOUT: c_int = c_int::MAX;

/// `LOCK_TIMEOUT` (`utils/timeout.h`): the same in 15 to 18.
pub const LOCK_TIMEOUT: c_int = 2;

/// `STATEMENT_TIMEOUT` (`utils/timeout.h`): the same in 15 to 18.
pub const STATEMENT_TIMEOUT: c_int = 3;

/// `WINDOW_SEEK_CURRENT` (`windowapi.h`): the same in 15 to 18.
pub const WINDOW_SEEK_CURRENT: c_int = 0;
