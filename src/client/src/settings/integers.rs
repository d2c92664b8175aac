//! The integer settings. A new setting needs an entry in the table below and a line in `docs/reference/settings.md`. A
//! setting for the engine is also an option that `background/supervisor.rs` passes and `engine/main.rs` reads.

use pgrx::{GucContext, GucFlags, GucRegistry, GucSetting};
use std::time::Duration;

/// Defines for each entry a function that returns the setting's current value, and one function that registers all settings
/// with PostgreSQL. An entry has the function with the conversion of the number, the setting's name, its default and range,
/// its context, its unit if it has one, and its description.
macro_rules! integer_settings {
    ($vis:vis fn $define:ident(); $(
        $(#[$doc:meta])*
        fn $function:ident() -> $type:ty = $convert:expr,
        $name:literal, $default:literal in $min:literal..=$max:expr, $context:ident $(, $unit:ident)?,
        $description:literal;
    )*) => {
        $(
            mod $function {
                pub(super) static VALUE: super::GucSetting<i32> = super::GucSetting::<i32>::new($default);
            }

            $(#[$doc])*
            pub fn $function() -> $type {
                let convert: fn(i32) -> $type = $convert;
                convert($function::VALUE.get())
            }
        )*

        $vis fn $define() {
            $(
                GucRegistry::define_int_guc(
                    $name,
                    $description,
                    c"",
                    &$function::VALUE,
                    $min,
                    $max,
                    GucContext::$context,
                    GucFlags::empty() $(| GucFlags::$unit)?,
                );
            )*
        }
    };
}

/// The maximum number of seconds whose milliseconds fit into an integer setting.
const MAX_SECONDS: i32 = i32::MAX / 1000;

/// A hundred years.
const MAX_DAYS: i32 = 36_500;

integer_settings! {
    pub(super) fn define();

    /// `rag.engine_threads`; 0 for all processors.
    fn engine_threads() -> i32 = |threads| threads,
    c"rag.engine_threads", 0 in 0..=1024, Sighup,
    c"Sets the number of threads that run a model; 0 means one per processor.";

    /// `rag.engine_memory` in MiB.
    fn engine_memory() -> i32 = |mebibytes| mebibytes,
    c"rag.engine_memory", 4096 in 256..=i32::MAX / 1024, Sighup, UNIT_MB,
    c"Sets the memory limit of the engine.";

    /// `rag.engine_nice`, 0 to 19.
    fn engine_nice() -> i32 = |nice| nice,
    c"rag.engine_nice", 0 in 0..=19, Sighup,
    c"Sets the nice level of the engine.";

    /// `rag.engine_queue_limit` in texts.
    fn engine_queue_limit() -> i32 = |texts| texts,
    c"rag.engine_queue_limit", 65_536 in 1..=i32::MAX, Sighup,
    c"Sets the maximum number of texts that wait for one model.";

    /// `rag.sync_workers` of one database.
    fn sync_workers() -> i32 = |workers| workers,
    c"rag.sync_workers", 1 in 1..=64, Sighup,
    c"Sets the maximum number of workers that index the collections of one database.";

    /// `rag.max_sync_workers` of all databases.
    fn max_sync_workers() -> i32 = |workers| workers,
    c"rag.max_sync_workers", 3 in 1..=1024, Sighup,
    c"Sets the maximum number of such workers, and of coordinators, in all databases together.";

    /// `rag.sync_max_attempts` of a row.
    fn sync_max_attempts() -> i32 = |attempts| attempts,
    c"rag.sync_max_attempts", 5 in 1..=1000, Sighup,
    c"Sets the maximum number of attempts to index a row that fails.";

    /// `rag.sync_compare_interval`.
    fn sync_compare_interval() -> Duration = |seconds| Duration::from_secs(seconds.max(1) as u64),
    c"rag.sync_compare_interval", 3600 in 1..=MAX_SECONDS, Sighup, UNIT_S,
    c"Sets the time between comparisons of a collection's keys with its source.";

    /// `rag.sync_idle_timeout`.
    fn sync_idle_timeout() -> Duration = |seconds| Duration::from_secs(seconds.max(1) as u64),
    c"rag.sync_idle_timeout", 300 in 1..=MAX_SECONDS, Sighup, UNIT_S,
    c"Sets the time after which a worker or coordinator without work exits.";

    /// `rag.calls_retention` in days; 0 for ever.
    fn calls_retention() -> i32 = |days| days,
    c"rag.calls_retention", 90 in 0..=MAX_DAYS, Sighup,
    c"Sets the number of days that calls to providers are kept in rag.calls; 0 keeps them forever.";

    /// `rag.max_job_workers` of all databases.
    fn max_job_workers() -> usize = |workers| workers.max(1) as usize,
    c"rag.max_job_workers", 4 in 1..=1024, Sighup,
    c"Sets the maximum number of concurrent jobs in all databases together.";

    /// `rag.max_job_workers_per_role` of all databases; the value 0 means half of `rag.max_job_workers`.
    fn max_job_workers_per_role() -> usize = |workers| match workers {
        0 => (max_job_workers() / 2).max(1),
        workers => workers.unsigned_abs() as usize,
    },
    c"rag.max_job_workers_per_role", 0 in 0..=1024, Sighup,
    c"Sets the maximum number of concurrent jobs of one role in all databases together; 0 means half of rag.max_job_workers.";

    /// `rag.jobs_retention` in days; `None` for ever.
    fn jobs_retention() -> Option<i32> = |days| (days > 0).then_some(days),
    c"rag.jobs_retention", 7 in 0..=MAX_DAYS, Sighup,
    c"Sets the number of days that a job is kept after its end; 0 keeps it forever.";

    /// `rag.request_timeout` in milliseconds.
    fn request_timeout() -> u64 = |milliseconds| u64::try_from(milliseconds).unwrap_or_default(),
    c"rag.request_timeout", 60_000 in 1..=i32::MAX, Userset, UNIT_MS,
    c"Sets the maximum time in which the engine makes no progress with a call.";

    /// `rag.parse_memory` in MiB.
    fn parse_memory() -> u32 = i32::unsigned_abs,
    c"rag.parse_memory", 1024 in 16..=i32::MAX / 1024, Suset, UNIT_MB,
    c"Sets the maximum memory for parsing a document.";

    /// `rag.parse_timeout` in milliseconds.
    fn parse_timeout() -> u32 = i32::unsigned_abs,
    c"rag.parse_timeout", 60_000 in 1..=3_600_000, Suset, UNIT_MS,
    c"Sets the maximum time for parsing a document.";

    /// `rag.parse_pages` of one document.
    fn parse_pages() -> u32 = i32::unsigned_abs,
    c"rag.parse_pages", 2000 in 1..=100_000, Userset,
    c"Sets the maximum number of pages of a document that are parsed.";

    /// `rag.log_retention` in days; `None` for ever.
    fn log_retention() -> Option<i32> = |days| (days > 0).then_some(days),
    c"rag.log_retention", 90 in 0..=MAX_DAYS, Sighup,
    c"Sets the number of days that runs and their steps are kept; 0 keeps them forever.";

    /// `rag.log_max_value` in bytes.
    fn log_max_value() -> usize = |bytes| bytes.max(0) as usize,
    c"rag.log_max_value", 1_048_576 in 1024..=64 << 20, Userset, UNIT_BYTE,
    c"Sets the maximum length of the input, output or attributes of a run or step; longer values are truncated.";
}
