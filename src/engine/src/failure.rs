//! The engine's errors, with the messages that SQL users read.

use std::path::PathBuf;

use ragstone_core::failure::{Failure, FailureKind};
use thiserror::Error;

use crate::parser::error::DocumentError;

/// Why a request failed.
#[derive(Debug, Clone, Error)]
pub enum Error {
    /// A name that no model folder can have.
    #[error("model name \"{0}\" is not valid: expected letters, digits, \".\", \"_\" and \"-\"")]
    ModelName(String),
    /// No model folder has this name.
    #[error("model \"{name}\" is not installed")]
    UnknownModel {
        /// The name asked for.
        name: String,
        /// The folder that holds the models.
        models: PathBuf,
    },
    /// A file of a model cannot be read.
    #[error("model \"{model}\": cannot read {}: {reason}", file.display())]
    ModelFile {
        /// The model.
        model: String,
        /// The file.
        file: PathBuf,
        /// The system's message.
        reason: String,
    },
    /// A file of a model is not the one that its manifest names.
    #[error("model \"{model}\": sha256 of {file}: expected {expected}, actual {actual}")]
    Checksum {
        /// The model.
        model: String,
        /// The file's name.
        file: String,
        /// The checksum in the manifest.
        expected: String,
        /// The checksum of the file.
        actual: String,
    },
    /// The manifest, tokenizer or graph is not valid.
    #[error("model \"{model}\": {file}: {reason}")]
    ModelContent {
        /// The model.
        model: String,
        /// The file's name.
        file: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The model does not compute the golden vectors of its manifest.
    #[error(
        "model \"{model}\" disagrees with its golden vectors under {runtime}: cosine expected at least {expected}, actual {actual:.6}"
    )]
    Golden {
        /// The model.
        model: String,
        /// The runtime.
        runtime: String,
        /// Minimum cosine.
        expected: f64,
        /// Actual cosine.
        actual: f64,
    },
    /// The library that runs models is missing, too old or does not start.
    #[error("cannot use the ONNX Runtime library {}: {reason}", path.display())]
    Library {
        /// The library.
        path: PathBuf,
        /// Why it cannot be used; for an unsuitable version, the actual and the expected one.
        reason: String,
    },
    /// OpenVINO is required by the setting and is not usable.
    #[error("cannot use the runtime openvino: {0}")]
    OpenVino(String),
    /// A run of a model failed.
    #[error("internal: running model \"{model}\": {reason}")]
    Run {
        /// The model.
        model: String,
        /// The library's message.
        reason: String,
    },
    /// A run needs more memory than the engine may have.
    #[error("a run of model \"{model}\" does not fit into the engine's memory")]
    RunMemory {
        /// The model.
        model: String,
        /// The library's message.
        reason: String,
    },
    /// The model's queue has no room.
    #[error(
        "queue of model \"{model}\" is full: {texts} texts asked for, {waiting} of {limit} places taken, {own} of them by the same role"
    )]
    QueueFull {
        /// The model.
        model: String,
        /// Texts of the request.
        texts: usize,
        /// Texts waiting.
        waiting: usize,
        /// Texts of the same role that wait.
        own: usize,
        /// The queue's limit.
        limit: usize,
    },
    /// Loading the model would break the engine's memory limit.
    #[error("model \"{model}\" needs about {needed} MB: {used} of {limit} MB are in use")]
    Memory {
        /// The model.
        model: String,
        /// Memory that loading it takes, MB.
        needed: u64,
        /// Memory in use, MB.
        used: u64,
        /// The limit, MB.
        limit: u64,
    },
    /// An answer or a request is too large for a frame.
    #[error("{what} of {actual} bytes is over the limit of {limit} bytes")]
    Frame {
        /// What is too large: request or answer.
        what: &'static str,
        /// Its size, bytes.
        actual: usize,
        /// The limit, bytes.
        limit: usize,
    },
    /// An argument is not valid.
    #[error("{0}")]
    Argument(String),
    /// Client and engine are of different versions.
    #[error("protocol version of the client: expected {expected}, actual {actual}")]
    Version {
        /// The engine's version.
        expected: u16,
        /// The client's version.
        actual: u16,
    },
    /// A client violates the protocol.
    #[error("{0}")]
    Protocol(String),
    /// A call to a provider failed.
    #[error("{message}")]
    Provider {
        /// Decides the SQLSTATE.
        kind: FailureKind,
        /// The provider and what happened; never what was sent to it.
        message: String,
        /// A fact, or empty.
        detail: String,
        /// What the user can do, or empty.
        hint: String,
    },
    /// A document is not parsed.
    #[error("{0}")]
    Document(DocumentError),
    /// A bug in the engine.
    #[error("internal: {0}")]
    Internal(String),
}

impl Error {
    /// Decides the SQLSTATE.
    pub fn kind(&self) -> FailureKind {
        match self {
            Self::ModelName(_) | Self::UnknownModel { .. } => FailureKind::UnknownModel,
            Self::ModelFile { .. }
            | Self::Checksum { .. }
            | Self::ModelContent { .. }
            | Self::Golden { .. } => FailureKind::CorruptModel,
            Self::Library { .. } | Self::OpenVino(_) => FailureKind::Unavailable,
            Self::QueueFull { .. } => FailureKind::QueueFull,
            Self::Memory { .. } => FailureKind::ModelMemory,
            Self::RunMemory { .. } | Self::Frame { .. } => FailureKind::OverLimit,
            Self::Argument(_) => FailureKind::BadArgument,
            Self::Version { .. } | Self::Protocol(_) => FailureKind::Protocol,
            Self::Run { .. } | Self::Internal(_) => FailureKind::Internal,
            Self::Provider { kind, .. } => *kind,
            Self::Document(error) => error.kind(),
        }
    }

    /// What the user can do, or empty.
    pub fn hint(&self) -> String {
        match self {
            Self::UnknownModel { .. } | Self::ModelName(_) => {
                "See rag.models() for the installed models, or install it with: ragstone-engine pull NAME".into()
            }
            Self::ModelFile { model, .. } | Self::Checksum { model, .. } | Self::ModelContent { model, .. } => {
                format!("Install the model again, for example with: ragstone-engine pull {model}")
            }
            Self::Golden { .. } => "Install the model again, or set rag.engine_runtime to onnxruntime.".into(),
            Self::Library { .. } => {
                "Install ONNX Runtime 1.23 or newer there, or set rag.onnxruntime_path to such a library.".into()
            }
            Self::OpenVino(_) => "Set rag.engine_runtime to auto or onnxruntime, or rag.openvino_path to the folder of its libraries.".into(),
            Self::QueueFull { .. } => {
                "Try again, send fewer texts in one call, or raise rag.engine_queue_limit.".into()
            }
            Self::RunMemory { .. } | Self::Memory { .. } => "Raise rag.engine_memory.".into(),
            Self::Frame { .. } => "Send fewer or shorter texts in one call.".into(),
            Self::Version { .. } => "Reconnect, so that the session loads the installed version of ragstone.".into(),
            Self::Provider { hint, .. } => hint.clone(),
            Self::Document(error) => error.hint().to_owned(),
            _ => String::new(),
        }
    }

    /// A fact that explains the message, or empty.
    pub fn detail(&self) -> String {
        match self {
            Self::UnknownModel { models, .. } => format!("The folder of models is {}.", models.display()),
            Self::RunMemory { reason, .. } => reason.clone(),
            Self::Provider { detail, .. } => detail.clone(),
            Self::Document(error) => error.detail(),
            _ => String::new(),
        }
    }
}

impl From<&Error> for Failure {
    fn from(error: &Error) -> Self {
        Self { kind: error.kind(), message: error.to_string(), detail: error.detail(), hint: error.hint() }
    }
}
