//! The settings that are numbers: a new one is an entry of the table below, and a line in `docs/reference/settings.md`. One that the
//! engine needs is also an option that `background/supervisor.rs` passes to it, and `engine/main.rs` reads.

use pgrx::{GucContext, GucFlags, GucRegistry, GucSetting};
use std::time::Duration;

/// Makes of each entry a function that returns the setting's current value, and the function that makes all of them known to
/// Postgres. An entry has the function and what it makes of the number, the setting's name, its default and range, who may set
/// it, its unit if it has one, and its description.
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

/// The longest number of seconds whose milliseconds fit into a setting.
const MAX_SECONDS: i32 = i32::MAX / 1000;

/// A hundred years.
const MAX_DAYS: i32 = 36_500;

integer_settings! {
    pub(super) fn define();

    /// `rag.engine_threads`; 0 for all processors.
    fn engine_threads() -> i32 = |threads| threads,
    c"rag.engine_threads", 0 in 0..=1024, Sighup,
    c"Sets the engine's threads for one model run, 0 for as many as there are processors.";

    /// `rag.engine_memory` in MiB.
    fn engine_memory() -> i32 = |mebibytes| mebibytes,
    c"rag.engine_memory", 4096 in 256..=i32::MAX / 1024, Sighup, UNIT_MB,
    c"Sets the engine's own memory limit.";

    /// `rag.engine_nice`, 0 to 19.
    fn engine_nice() -> i32 = |nice| nice,
    c"rag.engine_nice", 0 in 0..=19, Sighup,
    c"Sets by how much the engine yields the processor to other processes.";

    /// `rag.engine_queue_limit` in texts.
    fn engine_queue_limit() -> i32 = |texts| texts,
    c"rag.engine_queue_limit", 65_536 in 1..=i32::MAX, Sighup,
    c"Sets the most texts that may wait for one model.";

    /// `rag.sync_workers` of one database.
    fn sync_workers() -> i32 = |workers| workers,
    c"rag.sync_workers", 1 in 1..=64, Sighup,
    c"Sets the most workers that bring the collections of one database up to date.";

    /// `rag.max_sync_workers` of all databases.
    fn max_sync_workers() -> i32 = |workers| workers,
    c"rag.max_sync_workers", 3 in 1..=1024, Sighup,
    c"Sets the most such workers in all databases together.";

    /// `rag.sync_max_attempts` of a row.
    fn sync_max_attempts() -> i32 = |attempts| attempts,
    c"rag.sync_max_attempts", 5 in 1..=1000, Sighup,
    c"Sets how often a row that cannot be indexed is tried.";

    /// `rag.sync_compare_interval`.
    fn sync_compare_interval() -> Duration = |seconds| Duration::from_secs(seconds.max(1) as u64),
    c"rag.sync_compare_interval", 3600 in 1..=MAX_SECONDS, Sighup, UNIT_S,
    c"Sets how often keys are compared with the source, for what no trigger has seen.";

    /// `rag.sync_idle_timeout`.
    fn sync_idle_timeout() -> Duration = |seconds| Duration::from_secs(seconds.max(1) as u64),
    c"rag.sync_idle_timeout", 300 in 1..=MAX_SECONDS, Sighup, UNIT_S,
    c"Sets how long a worker without work stays.";

    /// `rag.calls_retention` in days; 0 for ever.
    fn calls_retention() -> i32 = |days| days,
    c"rag.calls_retention", 90 in 0..=MAX_DAYS, Sighup,
    c"Sets for how many days calls to providers stay in rag.calls, 0 for ever.";

    /// `rag.max_job_workers` of all databases.
    fn max_job_workers() -> usize = |workers| workers.max(1) as usize,
    c"rag.max_job_workers", 4 in 1..=1024, Sighup,
    c"Sets the most jobs that run at once, in all databases together.";

    /// `rag.max_job_workers_per_role` of all databases; 0 in the file for half of `rag.max_job_workers`.
    fn max_job_workers_per_role() -> usize = |workers| match workers {
        0 => (max_job_workers() / 2).max(1),
        workers => workers.unsigned_abs() as usize,
    },
    c"rag.max_job_workers_per_role", 0 in 0..=1024, Sighup,
    c"Sets the most jobs of one role that run at once, in all databases together, 0 for half of rag.max_job_workers.";

    /// `rag.jobs_retention` in days; none for ever.
    fn jobs_retention() -> Option<i32> = |days| (days > 0).then_some(days),
    c"rag.jobs_retention", 7 in 0..=MAX_DAYS, Sighup,
    c"Sets how many days a job is kept after its end, 0 to keep all.";

    /// `rag.request_timeout` in milliseconds.
    fn request_timeout() -> u64 = |milliseconds| u64::try_from(milliseconds).unwrap_or_default(),
    c"rag.request_timeout", 60_000 in 1..=i32::MAX, Userset, UNIT_MS,
    c"Sets how long a call waits for the engine without a sign of progress.";

    /// `rag.log_retention` in days; none for ever.
    fn log_retention() -> Option<i32> = |days| (days > 0).then_some(days),
    c"rag.log_retention", 90 in 0..=MAX_DAYS, Sighup,
    c"Sets for how many days runs and their steps are kept, 0 for ever.";

    /// `rag.log_max_value` in bytes.
    fn log_max_value() -> usize = |bytes| bytes.max(0) as usize,
    c"rag.log_max_value", 1_048_576 in 1024..=64 << 20, Userset, UNIT_BYTE,
    c"Sets the longest input, output or attributes of a run or step; of a longer value the beginning is kept.";
}
