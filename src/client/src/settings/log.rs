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
static LOG_RETENTION: GucSetting<i32> = GucSetting::<i32>::new(90);
static LOG_MAX_VALUE: GucSetting<i32> = GucSetting::<i32>::new(1 << 20);
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
    GucRegistry::define_int_guc(
        c"rag.log_retention",
        c"Sets for how many days runs and their steps are kept, 0 for ever.",
        c"",
        &LOG_RETENTION,
        0,
        36_500,
        GucContext::Sighup,
        GucFlags::default(),
    );
    GucRegistry::define_int_guc(
        c"rag.log_max_value",
        c"Sets the longest input, output or attributes of a run or step; of a longer value the beginning is kept.",
        c"",
        &LOG_MAX_VALUE,
        1024,
        64 << 20,
        GucContext::Userset,
        GucFlags::UNIT_BYTE,
    );
}

/// `rag.log_durability`.
pub fn log_durability() -> LogDurability {
    LOG_DURABILITY.get()
}

/// `rag.log_retention` in days; none for ever.
pub fn log_retention() -> Option<i32> {
    Some(LOG_RETENTION.get()).filter(|days| *days > 0)
}

/// `rag.log_max_value` in bytes.
pub fn log_max_value() -> usize {
    LOG_MAX_VALUE.get().max(0) as usize
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
