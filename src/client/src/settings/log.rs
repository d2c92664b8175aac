//! Settings of the agent log.

use pgrx::{GucContext, GucFlags, GucRegistry, GucSetting, PostgresGucEnum};
use ragstone_pg::guc::{StringCheck, define_checked_string};
use std::ffi::{CStr, CString};

/// The transaction that a step of the log belongs to.
#[derive(PostgresGucEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub enum LogDurability {
    /// The caller's transaction: the step disappears if it is rolled back.
    #[name = c"transaction"]
    Transaction,
    /// A transaction of its own: the step stays.
    #[name = c"autonomous"]
    Autonomous,
}

static LOG_DURABILITY: GucSetting<LogDurability> =
    GucSetting::<LogDurability>::new(LogDurability::Transaction);
static RUN: GucSetting<Option<CString>> = GucSetting::<Option<CString>>::new(Some(c""));

/// Registers the settings with PostgreSQL.
pub fn define() {
    GucRegistry::define_enum_guc(
        c"rag.log_durability",
        c"Sets the transaction that writes a step of the log: the caller's (transaction) or its own (autonomous).",
        c"An autonomous step is kept if the caller's transaction is rolled back.",
        &LOG_DURABILITY,
        GucContext::Userset,
        GucFlags::default(),
    );
    define_checked_string::<RunNumber>(
        c"rag.run",
        c"Sets the current run, to which Ragstone's functions log steps; 0 means none.",
        c"rag.start_run sets it, and rag.finish_run sets it to none.",
        &RUN,
        GucContext::Userset,
    );
}

/// `rag.log_durability`.
pub fn log_durability() -> LogDurability {
    LOG_DURABILITY.get()
}

/// `rag.run`, if it is set.
pub fn run() -> Option<i64> {
    RUN.get()?.to_str().ok()?.trim().parse().ok().filter(|run| *run > 0)
}

/// Checks that a value is a run's number, or empty.
struct RunNumber;

impl StringCheck for RunNumber {
    fn accepts(value: &CStr) -> bool {
        value.is_empty()
            || value.to_str().is_ok_and(|text| text.trim().parse::<i64>().is_ok_and(|run| run >= 0))
    }
}
