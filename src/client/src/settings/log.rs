//! Settings of the log of agents.

use pgrx::{GucContext, GucFlags, GucRegistry, GucSetting, PostgresGucEnum};
use ragstone_pg::guc::{StringCheck, define_checked_string};
use std::ffi::{CStr, CString};

/// Whose transaction a step of the log belongs to.
#[derive(PostgresGucEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub enum LogDurability {
    /// The caller's: it goes where that is rolled back.
    #[name = c"transaction"]
    Transaction,
    /// One of its own: it stays.
    #[name = c"autonomous"]
    Autonomous,
}

static LOG_DURABILITY: GucSetting<LogDurability> =
    GucSetting::<LogDurability>::new(LogDurability::Transaction);
static RUN: GucSetting<Option<CString>> = GucSetting::<Option<CString>>::new(Some(c""));

/// Makes them known to Postgres.
pub fn define() {
    GucRegistry::define_enum_guc(
        c"rag.log_durability",
        c"Sets whose transaction a step of the log belongs to: transaction (the caller's) or autonomous (its own).",
        c"An autonomous step stays where the caller's transaction is rolled back.",
        &LOG_DURABILITY,
        GucContext::Userset,
        GucFlags::default(),
    );
    define_checked_string::<RunNumber>(
        c"rag.run",
        c"Sets the run that calls of Ragstone's functions are steps of, 0 for none.",
        c"rag.start_run sets it, rag.finish_run sets it to none.",
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

/// A run's number, or nothing.
struct RunNumber;

impl StringCheck for RunNumber {
    fn accepts(value: &CStr) -> bool {
        value.is_empty()
            || value.to_str().is_ok_and(|text| text.trim().parse::<i64>().is_ok_and(|run| run >= 0))
    }
}
