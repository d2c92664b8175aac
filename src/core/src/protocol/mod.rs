//! The messages between a backend and the engine.
//!
//! The client numbers its requests; a response carries the number of its request, and responses may come in any order. The
//! first request on a connection is [`Request::Hello`].

mod documents;
mod frames;
mod jobs;
mod progress;
mod requests;
mod responses;
mod splitter;
mod stats;

pub use documents::{
    DocumentInfo, DocumentPart, FileBytes, ParseLimits, ParseRefusal, ParseTask, ParsedDocument,
};
pub use frames::{Frame, FrameError, MAX_FRAME, PREFIX, decode, encode, frame_length};
pub use jobs::{JobRun, Pieces};
pub use progress::Progress;
pub use requests::{Caller, Kind, Lane, Request};
pub use responses::{Chunk, LogState, Model, Response, Vectors};
pub use splitter::{ChunkOptions, Splitter, UnknownSplitter};
pub use stats::{ModelStats, Quantiles, Stats};

/// Version of all that goes over the socket: the messages of this module and the types of `provider`, `failure` and `log` that
/// they carry. It is raised with each change of one of these. The socket's file name carries it, so two versions never meet by
/// accident.
pub const PROTOCOL: u16 = 9;

/// Name of the engine's socket inside the socket directory.
pub fn socket_name() -> String {
    format!("ragstone-{PROTOCOL}.sock")
}

/// Name of the lock file of an engine: it allows one engine of this protocol version per socket directory.
pub fn lock_name() -> String {
    format!("ragstone-{PROTOCOL}.lock")
}
