//! The errors of an installation.

use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::failure;

/// Why a model cannot be installed.
#[derive(Debug, Error)]
pub enum PullError {
    /// The server cannot be reached, or the connection was lost.
    #[error("cannot download {url}: {reason}")]
    Download {
        /// Address of the file.
        url: String,
        /// What happened.
        reason: String,
    },
    /// The server has no such file.
    #[error("{url}: no such file on the server (status 404)")]
    Missing {
        /// Address of the file.
        url: String,
    },
    /// The file has another checksum than expected.
    #[error("sha256 of {url}: expected {expected}, actual {actual}")]
    Checksum {
        /// Address of the file.
        url: String,
        /// Expected checksum.
        expected: String,
        /// Checksum of the file.
        actual: String,
    },
    /// The server's files do not describe a model that the engine can run.
    #[error("{url}: {reason}")]
    Content {
        /// Address of the file.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The models' folder cannot be written.
    #[error("cannot write {}: {reason}", path.display())]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// The system's message.
        reason: String,
    },
    /// The model cannot be run.
    #[error(transparent)]
    Model(#[from] failure::Error),
}

/// The error of a file or folder below the models' folder that cannot be read or written.
pub(super) fn write_error(path: &Path, error: &std::io::Error) -> PullError {
    PullError::Write { path: path.into(), reason: error.to_string() }
}
