//! Ragstone's settings. Whatever names a file, a program or a limit of the server is SIGHUP.

mod log;
pub mod paths;

pub use crate::settings::log::{LogDurability, log_durability, log_max_value, log_retention, run};

use pgrx::{GucContext, GucFlags, GucRegistry, GucSetting, PostgresGucEnum};
use std::ffi::{CStr, CString};
use std::time::Duration;

/// What runs the models.
#[derive(PostgresGucEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub enum EngineRuntime {
    /// OpenVINO where it is installed, the processor has bf16 and its results are right; else ONNX Runtime.
    Auto,
    /// ONNX Runtime's own kernels in fp32.
    OnnxRuntime,
    /// OpenVINO in bf16.
    OpenVino,
}

/// What happens to a text that is longer than the model reads.
#[derive(PostgresGucEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub enum OverlongInput {
    /// Embed its beginning and say so, once per statement.
    Notice,
    /// Refuse it.
    Error,
    /// Embed its beginning.
    Ignore,
}

static ENGINE_RUNTIME: GucSetting<EngineRuntime> = GucSetting::<EngineRuntime>::new(EngineRuntime::Auto);
static ENGINE_THREADS: GucSetting<i32> = GucSetting::<i32>::new(0);
static ENGINE_MEMORY: GucSetting<i32> = GucSetting::<i32>::new(4096);
static ENGINE_NICE: GucSetting<i32> = GucSetting::<i32>::new(0);
static ENGINE_QUEUE_LIMIT: GucSetting<i32> = GucSetting::<i32>::new(65_536);
static ENGINE_PATH: GucSetting<Option<CString>> = GucSetting::<Option<CString>>::new(Some(c""));
static MODELS_PATH: GucSetting<Option<CString>> = GucSetting::<Option<CString>>::new(Some(c""));
static ONNXRUNTIME_PATH: GucSetting<Option<CString>> = GucSetting::<Option<CString>>::new(Some(c""));
static OPENVINO_PATH: GucSetting<Option<CString>> = GucSetting::<Option<CString>>::new(Some(c""));
static SOCKET_DIRECTORY: GucSetting<Option<CString>> = GucSetting::<Option<CString>>::new(Some(c""));
static DEFAULT_MODEL: GucSetting<Option<CString>> =
    GucSetting::<Option<CString>>::new(Some(c"all-MiniLM-L6-v2"));
static DEFAULT_LLM: GucSetting<Option<CString>> =
    GucSetting::<Option<CString>>::new(Some(c"local/extractive"));
static CALLS_RETENTION: GucSetting<i32> = GucSetting::<i32>::new(90);
static LOG_PROMPTS: GucSetting<bool> = GucSetting::<bool>::new(false);
static REQUEST_TIMEOUT: GucSetting<i32> = GucSetting::<i32>::new(60_000);
static SYNC_WORKERS: GucSetting<i32> = GucSetting::<i32>::new(1);
static MAX_SYNC_WORKERS: GucSetting<i32> = GucSetting::<i32>::new(3);
static SYNC_MAX_ATTEMPTS: GucSetting<i32> = GucSetting::<i32>::new(5);
static SYNC_COMPARE_INTERVAL: GucSetting<i32> = GucSetting::<i32>::new(3600);
static SYNC_IDLE_TIMEOUT: GucSetting<i32> = GucSetting::<i32>::new(300);
static MAX_JOB_WORKERS: GucSetting<i32> = GucSetting::<i32>::new(4);
static JOBS_RETENTION: GucSetting<i32> = GucSetting::<i32>::new(7);
static OVERLONG_INPUT: GucSetting<OverlongInput> = GucSetting::<OverlongInput>::new(OverlongInput::Notice);

/// Makes the settings known to Postgres.
pub fn define() {
    GucRegistry::define_enum_guc(
        c"rag.engine_runtime",
        c"Sets what runs the models: auto, onnxruntime or openvino.",
        c"auto takes OpenVINO where its library is installed, the processor has bf16 and the results agree.",
        &ENGINE_RUNTIME,
        GucContext::Sighup,
        GucFlags::default(),
    );
    integers();
    define_paths();
    log::define();
    GucRegistry::define_enum_guc(
        c"rag.overlong_input",
        c"Sets what happens to a text that is longer than the model reads: notice, error or ignore.",
        c"",
        &OVERLONG_INPUT,
        GucContext::Userset,
        GucFlags::default(),
    );
    GucRegistry::define_bool_guc(
        c"rag.log_prompts",
        c"Sets whether rag.calls keeps the prompts and replies of calls to providers.",
        c"",
        &LOG_PROMPTS,
        GucContext::Suset,
        GucFlags::default(),
    );
    GucRegistry::define_string_guc(
        c"rag.default_model",
        c"Sets the model of functions that are called without one.",
        c"",
        &DEFAULT_MODEL,
        GucContext::Userset,
        GucFlags::default(),
    );
    GucRegistry::define_string_guc(
        c"rag.default_llm",
        c"Sets the language model of functions that are called without one, as 'server/model'.",
        c"local/extractive answers rag.ask out of passages and needs no provider.",
        &DEFAULT_LLM,
        GucContext::Userset,
        GucFlags::default(),
    );
}

fn integers() {
    let int = |name, description, setting, range: (i32, i32), context, flags| {
        GucRegistry::define_int_guc(name, description, c"", setting, range.0, range.1, context, flags);
    };
    let plain = GucFlags::default();
    int(
        c"rag.engine_threads",
        c"Sets the engine's threads for one model run, 0 for as many as there are processors.",
        &ENGINE_THREADS,
        (0, 1024),
        GucContext::Sighup,
        plain,
    );
    int(
        c"rag.engine_memory",
        c"Sets the engine's own memory limit.",
        &ENGINE_MEMORY,
        (256, i32::MAX / 1024),
        GucContext::Sighup,
        GucFlags::UNIT_MB,
    );
    int(
        c"rag.engine_nice",
        c"Sets by how much the engine yields the processor to other processes.",
        &ENGINE_NICE,
        (0, 19),
        GucContext::Sighup,
        plain,
    );
    int(
        c"rag.engine_queue_limit",
        c"Sets the most texts that may wait for one model.",
        &ENGINE_QUEUE_LIMIT,
        (1, i32::MAX),
        GucContext::Sighup,
        plain,
    );
    int(
        c"rag.sync_workers",
        c"Sets the most workers that bring the collections of one database up to date.",
        &SYNC_WORKERS,
        (1, 64),
        GucContext::Sighup,
        plain,
    );
    int(
        c"rag.max_sync_workers",
        c"Sets the most such workers in all databases together.",
        &MAX_SYNC_WORKERS,
        (1, 1024),
        GucContext::Sighup,
        plain,
    );
    int(
        c"rag.sync_max_attempts",
        c"Sets how often a row that cannot be indexed is tried.",
        &SYNC_MAX_ATTEMPTS,
        (1, 1000),
        GucContext::Sighup,
        plain,
    );
    int(
        c"rag.sync_compare_interval",
        c"Sets how often keys are compared with the source, for what no trigger has seen.",
        &SYNC_COMPARE_INTERVAL,
        (1, i32::MAX / 1000),
        GucContext::Sighup,
        GucFlags::UNIT_S,
    );
    int(
        c"rag.sync_idle_timeout",
        c"Sets how long a worker without work stays.",
        &SYNC_IDLE_TIMEOUT,
        (1, i32::MAX / 1000),
        GucContext::Sighup,
        GucFlags::UNIT_S,
    );
    int(
        c"rag.calls_retention",
        c"Sets for how many days calls to providers stay in rag.calls, 0 for ever.",
        &CALLS_RETENTION,
        (0, 36_500),
        GucContext::Sighup,
        plain,
    );
    int(
        c"rag.max_job_workers",
        c"Sets the most jobs that run at once, in all databases together.",
        &MAX_JOB_WORKERS,
        (1, 1024),
        GucContext::Sighup,
        plain,
    );
    int(
        c"rag.jobs_retention",
        c"Sets how many days a job is kept after its end, 0 to keep all.",
        &JOBS_RETENTION,
        (0, 36_500),
        GucContext::Sighup,
        plain,
    );
    int(
        c"rag.request_timeout",
        c"Sets how long a call waits for the engine's answer, its restarts included.",
        &REQUEST_TIMEOUT,
        (1, i32::MAX),
        GucContext::Userset,
        GucFlags::UNIT_MS,
    );
}

fn define_paths() {
    let path = |name, description, setting| {
        GucRegistry::define_string_guc(
            name,
            description,
            c"Empty means the place where make install puts it.",
            setting,
            GucContext::Sighup,
            GucFlags::SUPERUSER_ONLY,
        );
    };
    path(c"rag.engine_path", c"Sets the program that runs the models.", &ENGINE_PATH);
    path(c"rag.models_path", c"Sets the folder that holds a folder per model.", &MODELS_PATH);
    path(c"rag.onnxruntime_path", c"Sets the ONNX Runtime library.", &ONNXRUNTIME_PATH);
    path(
        c"rag.openvino_path",
        c"Sets the folder of an ONNX Runtime library with OpenVINO's execution provider.",
        &OPENVINO_PATH,
    );
    path(
        c"rag.socket_directory",
        c"Sets the folder of the engine's socket, relative to the data directory.",
        &SOCKET_DIRECTORY,
    );
}

/// `rag.engine_runtime` as the engine's command line has it.
pub fn engine_runtime() -> &'static str {
    match ENGINE_RUNTIME.get() {
        EngineRuntime::Auto => "auto",
        EngineRuntime::OnnxRuntime => "onnxruntime",
        EngineRuntime::OpenVino => "openvino",
    }
}

/// `rag.engine_threads`; 0 for all processors.
pub fn engine_threads() -> i32 {
    ENGINE_THREADS.get()
}

/// `rag.engine_memory` in MiB.
pub fn engine_memory() -> i32 {
    ENGINE_MEMORY.get()
}

/// `rag.engine_nice`, 0 to 19.
pub fn engine_nice() -> i32 {
    ENGINE_NICE.get()
}

/// `rag.engine_queue_limit` in texts.
pub fn engine_queue_limit() -> i32 {
    ENGINE_QUEUE_LIMIT.get()
}

/// `rag.request_timeout` in milliseconds.
pub fn request_timeout() -> u64 {
    u64::try_from(REQUEST_TIMEOUT.get()).unwrap_or_default()
}

/// `rag.sync_workers` of one database.
pub fn sync_workers() -> i32 {
    SYNC_WORKERS.get()
}

/// `rag.max_sync_workers` of all databases.
pub fn max_sync_workers() -> i32 {
    MAX_SYNC_WORKERS.get()
}

/// `rag.sync_max_attempts` of a row.
pub fn sync_max_attempts() -> i32 {
    SYNC_MAX_ATTEMPTS.get()
}

/// `rag.sync_compare_interval`.
pub fn sync_compare_interval() -> Duration {
    Duration::from_secs(SYNC_COMPARE_INTERVAL.get().max(1) as u64)
}

/// `rag.sync_idle_timeout`.
pub fn sync_idle_timeout() -> Duration {
    Duration::from_secs(SYNC_IDLE_TIMEOUT.get().max(1) as u64)
}

/// `rag.calls_retention` in days; 0 for ever.
pub fn calls_retention() -> i32 {
    CALLS_RETENTION.get()
}

/// `rag.log_prompts`.
pub fn log_prompts() -> bool {
    LOG_PROMPTS.get()
}

/// `rag.max_job_workers` of all databases.
pub fn max_job_workers() -> usize {
    MAX_JOB_WORKERS.get().max(1) as usize
}

/// `rag.jobs_retention` in days; none for ever.
pub fn jobs_retention() -> Option<i32> {
    Some(JOBS_RETENTION.get()).filter(|days| *days > 0)
}

/// `rag.overlong_input`.
pub fn overlong_input() -> OverlongInput {
    OVERLONG_INPUT.get()
}

/// `rag.default_model`.
pub fn default_model() -> String {
    string(&DEFAULT_MODEL).unwrap_or_default()
}

/// `rag.default_llm`.
pub fn default_llm() -> String {
    string(&DEFAULT_LLM).unwrap_or_default()
}

/// `rag.engine_path`, if it is set.
pub fn engine_path() -> Option<String> {
    string(&ENGINE_PATH)
}

/// `rag.models_path`, if it is set.
pub fn models_path() -> Option<String> {
    string(&MODELS_PATH)
}

/// `rag.onnxruntime_path`, if it is set.
pub fn onnxruntime_path() -> Option<String> {
    string(&ONNXRUNTIME_PATH)
}

/// `rag.openvino_path`, if it is set.
pub fn openvino_path() -> Option<String> {
    string(&OPENVINO_PATH)
}

/// `rag.socket_directory`, if it is set.
pub fn socket_directory() -> Option<String> {
    string(&SOCKET_DIRECTORY)
}

fn string(setting: &GucSetting<Option<CString>>) -> Option<String> {
    let value = setting.get()?;
    let value: &CStr = &value;
    (!value.is_empty()).then(|| value.to_string_lossy().into_owned())
}
