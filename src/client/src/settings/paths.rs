//! The paths at which `make install` puts the parts that are not SQL, unless a setting overrides them.

use crate::settings;
use ragstone_core::protocol::socket_name;
use ragstone_pg::server_directories::{library_directory, share_directory};
use std::fmt::Display;
use std::path::PathBuf;

/// The engine's program.
pub fn engine() -> PathBuf {
    settings::engine_path().map_or_else(|| library_folder().join("ragstone-engine"), PathBuf::from)
}

/// The folder that holds a folder per model.
pub fn models() -> PathBuf {
    settings::models_path().map_or_else(|| share_directory().join("ragstone/models"), PathBuf::from)
}

/// ONNX Runtime's library.
pub fn onnxruntime() -> PathBuf {
    settings::onnxruntime_path().map_or_else(|| library_folder().join("libonnxruntime.so"), PathBuf::from)
}

/// The folder of an ONNX Runtime library with OpenVINO's execution provider; it need not exist.
pub fn openvino() -> PathBuf {
    settings::openvino_path().map_or_else(|| library_folder().join("openvino"), PathBuf::from)
}

/// The folder of the engine's socket. It is relative to the data directory, the working directory of every server process,
/// because a socket's path is limited to 107 bytes. Base backups leave out `pg_stat_tmp`.
pub fn socket_directory() -> PathBuf {
    settings::socket_directory().map_or_else(|| PathBuf::from("pg_stat_tmp"), PathBuf::from)
}

/// The engine's socket.
pub fn socket() -> PathBuf {
    socket_directory().join(socket_name())
}

/// The file whose lock a database's worker holds in a place.
pub fn worker_lock(database: u32, place: impl Display) -> PathBuf {
    socket().with_extension(format!("worker-{database}-{place}"))
}

/// The file whose lock a job's worker holds.
pub fn job_lock(database: u32, job: i64, role: u32) -> PathBuf {
    socket().with_extension(format!("job-{database}-{job}-{role}"))
}

/// The file that shows that a transaction has submitted jobs in a database.
pub fn submission(database: u32) -> PathBuf {
    socket().with_extension(format!("submitted-{database}"))
}

/// The file that shows that PostgreSQL had no slot for a background worker of a database, which is to do `work`.
pub fn missing_slot(database: u32, work: impl Display) -> PathBuf {
    socket().with_extension(format!("slotless-{database}-{work}"))
}

/// The file that shows that a database waits for a worker in a place.
pub fn worker_request(database: u32, place: impl Display) -> PathBuf {
    socket().with_extension(format!("wanted-{database}-{place}"))
}

/// The file whose lock the supervisor holds.
pub fn supervisor_lock() -> PathBuf {
    socket().with_extension("supervisor")
}

fn library_folder() -> PathBuf {
    library_directory().join("ragstone")
}
