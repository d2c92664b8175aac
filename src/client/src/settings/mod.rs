//! Ragstone's settings. Every setting that names a file, a program or a limit of the server has the context SIGHUP.

mod integers;
mod log;
pub mod paths;

pub use crate::settings::integers::*;
pub use crate::settings::log::{LogDurability, log_durability, run};

use pgrx::{GucContext, GucFlags, GucRegistry, GucSetting, PostgresGucEnum};
use ragstone_core::protocol::ParseLimits;
use std::ffi::{CStr, CString};

/// The library that runs the models.
#[derive(PostgresGucEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub enum EngineRuntime {
    /// OpenVINO if it is installed, the processor is faster in bf16 than in fp32, and its results are right; otherwise ONNX
    /// Runtime.
    Auto,
    /// ONNX Runtime's own kernels in fp32.
    OnnxRuntime,
    /// OpenVINO in bf16.
    OpenVino,
}

/// How to handle a text that is longer than the model's limit.
#[derive(PostgresGucEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub enum OverlongInput {
    /// Embed its beginning, with a NOTICE once per statement.
    Notice,
    /// Reject it.
    Error,
    /// Embed its beginning without a message.
    Ignore,
}

static ENGINE_RUNTIME: GucSetting<EngineRuntime> = GucSetting::<EngineRuntime>::new(EngineRuntime::Auto);
static ENGINE_PATH: GucSetting<Option<CString>> = GucSetting::<Option<CString>>::new(Some(c""));
static MODELS_PATH: GucSetting<Option<CString>> = GucSetting::<Option<CString>>::new(Some(c""));
static ONNXRUNTIME_PATH: GucSetting<Option<CString>> = GucSetting::<Option<CString>>::new(Some(c""));
static OPENVINO_PATH: GucSetting<Option<CString>> = GucSetting::<Option<CString>>::new(Some(c""));
static SOCKET_DIRECTORY: GucSetting<Option<CString>> = GucSetting::<Option<CString>>::new(Some(c""));
static DEFAULT_MODEL: GucSetting<Option<CString>> =
    GucSetting::<Option<CString>>::new(Some(c"all-MiniLM-L6-v2"));
static DEFAULT_LLM: GucSetting<Option<CString>> =
    GucSetting::<Option<CString>>::new(Some(c"local/extractive"));
static LOG_PROMPTS: GucSetting<bool> = GucSetting::<bool>::new(false);
static OVERLONG_INPUT: GucSetting<OverlongInput> = GucSetting::<OverlongInput>::new(OverlongInput::Notice);

/// The limits of a document that is parsed.
pub fn parse_limits() -> ParseLimits {
    ParseLimits { memory_mb: parse_memory(), timeout_ms: parse_timeout(), pages: parse_pages() }
}

/// Registers the settings with PostgreSQL.
pub fn define() {
    GucRegistry::define_enum_guc(
        c"rag.engine_runtime",
        c"Sets the library that runs the models: auto, onnxruntime or openvino.",
        c"auto selects OpenVINO if its library is installed, the processor is faster in bf16 than in fp32, and the results agree.",
        &ENGINE_RUNTIME,
        GucContext::Sighup,
        GucFlags::default(),
    );
    integers::define();
    define_paths();
    log::define();
    GucRegistry::define_enum_guc(
        c"rag.overlong_input",
        c"Sets the reaction to a text over the model's limit: notice, error or ignore.",
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
        c"Sets the embedding model of calls that name none.",
        c"",
        &DEFAULT_MODEL,
        GucContext::Userset,
        GucFlags::default(),
    );
    GucRegistry::define_string_guc(
        c"rag.default_llm",
        c"Sets the language model, as server/model, of calls that name none.",
        c"local/extractive answers rag.ask with sentences of the passages, and needs no provider.",
        &DEFAULT_LLM,
        GucContext::Userset,
        GucFlags::default(),
    );
}

fn define_paths() {
    let path = |name, description, if_empty, setting| {
        GucRegistry::define_string_guc(
            name,
            description,
            if_empty,
            setting,
            GucContext::Sighup,
            GucFlags::SUPERUSER_ONLY,
        );
    };
    let installed = c"An empty value means the path where make install puts it.";
    path(c"rag.engine_path", c"Sets the path of the engine's program.", installed, &ENGINE_PATH);
    path(
        c"rag.models_path",
        c"Sets the folder of models, which has a folder for each model.",
        installed,
        &MODELS_PATH,
    );
    path(
        c"rag.onnxruntime_path",
        c"Sets the path of the ONNX Runtime library.",
        installed,
        &ONNXRUNTIME_PATH,
    );
    path(
        c"rag.openvino_path",
        c"Sets the folder of an ONNX Runtime library with OpenVINO's execution provider.",
        installed,
        &OPENVINO_PATH,
    );
    path(
        c"rag.socket_directory",
        c"Sets the folder of the engine's socket, relative to the data directory.",
        c"An empty value means pg_stat_tmp.",
        &SOCKET_DIRECTORY,
    );
}

/// `rag.engine_runtime` in the form of the engine's command line.
pub fn engine_runtime() -> &'static str {
    match ENGINE_RUNTIME.get() {
        EngineRuntime::Auto => "auto",
        EngineRuntime::OnnxRuntime => "onnxruntime",
        EngineRuntime::OpenVino => "openvino",
    }
}

/// `rag.log_prompts`.
pub fn log_prompts() -> bool {
    LOG_PROMPTS.get()
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
