//! What a backend and the engine say to each other.
//!
//! The client numbers its requests; an answer carries the number of its request, and answers may come in any order. The
//! first request on a connection is [`Request::Hello`].

mod frame;
mod stats;

pub use frame::{Frame, FrameError, MAX_FRAME, PREFIX, decode, encode, frame_length};
pub use stats::{ModelStats, Quantiles, Stats};

use serde::{Deserialize, Serialize};

use crate::failure::Failure;
use crate::log::Packet;
use crate::provider::{Account, Call, Completion, Prompt, Target};

/// Version of this module's messages. The socket's file name carries it, so two versions never meet by accident.
pub const PROTOCOL: u16 = 4;

/// Name of the engine's socket inside the socket directory.
pub fn socket_name() -> String {
    format!("ragstone-{PROTOCOL}.sock")
}

/// Name of the file whose lock makes an engine the only one of its protocol in a socket directory.
pub fn lock_name() -> String {
    format!("ragstone-{PROTOCOL}.lock")
}

/// Which of a model's two prefixes is put before a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Kind {
    /// A question.
    Query,
    /// A passage to be found.
    Document,
}

/// Which of a model's two queues a text waits in. The query lane is always served first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Lane {
    /// Somebody waits for this one text.
    Query,
    /// Part of a larger work.
    Bulk,
}

/// How a document is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Splitter {
    /// Paragraphs, then sentences, then words.
    Text,
    /// Markdown's blocks first; chunks know their heading path.
    Markdown,
}

/// Sizes of the pieces that a document is cut into.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChunkOptions {
    /// How to cut.
    pub splitter: Splitter,
    /// Most tokens in a chunk, without the model's own special tokens.
    pub size: u32,
    /// Tokens that a chunk repeats of the one before it; less than `size`.
    pub overlap: u32,
}

/// From a client to the engine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Request {
    /// The first request; answered by [`Response::Hello`], or [`Response::Failed`] and the end of the connection.
    Hello {
        /// The client's [`PROTOCOL`].
        protocol: u16,
        /// The client's package version, for messages.
        version: String,
    },
    /// Answered by [`Response::Vectors`].
    Embed {
        /// Name of an installed model.
        model: String,
        /// Which prefix.
        kind: Kind,
        /// Which queue.
        lane: Lane,
        /// The texts, UTF-8, none of them empty.
        texts: Vec<String>,
    },
    /// Answered by [`Response::Chunks`].
    Chunk {
        /// Name of the installed model whose tokenizer counts.
        model: String,
        /// How to cut.
        options: ChunkOptions,
        /// The documents.
        documents: Vec<String>,
    },
    /// Answered by [`Response::Completed`], with a [`Response::Piece`] for each part of it before where it is streamed.
    Complete {
        /// The provider.
        target: Box<Target>,
        /// What is asked.
        prompt: Box<Prompt>,
        /// For whom.
        account: Account,
        /// Whether pieces are sent as they come.
        stream: bool,
    },
    /// Answered by [`Response::Vectors`].
    EmbedBy {
        /// The provider.
        target: Box<Target>,
        /// The provider's name of the model.
        model: String,
        /// Length of the embeddings, where the provider can choose and is to.
        dimensions: Option<u32>,
        /// Whether these are questions.
        kind: Kind,
        /// The texts, UTF-8, none of them empty.
        texts: Vec<String>,
        /// For whom.
        account: Account,
    },
    /// Answered by [`Response::Scores`].
    RerankBy {
        /// The provider.
        target: Box<Target>,
        /// The provider's name of the model.
        model: String,
        /// The question.
        query: String,
        /// What is compared with it.
        documents: Vec<String>,
        /// For whom.
        account: Account,
    },
    /// Tokens of each text without special tokens; answered by [`Response::Counts`].
    Count {
        /// Name of the installed model whose tokenizer counts.
        model: String,
        /// The texts.
        texts: Vec<String>,
    },
    /// The calls of a database that have ended; answered by [`Response::Calls`] as soon as there are some.
    TakeCalls {
        /// OID of the database.
        database: u32,
        /// Calls with numbers up to this one are written down and can be forgotten; 0 for none.
        written: u64,
    },
    /// How many calls of a database have not ended or are not written down; answered by [`Response::Counts`] of one number.
    CallsLeft {
        /// OID of the database.
        database: u32,
    },
    /// Answered by [`Response::Models`].
    Models,
    /// What one model is, loading its tokenizer but not its weights; answered by [`Response::Models`] with one row, or [`Response::Failed`].
    Describe {
        /// Name of an installed model.
        model: String,
    },
    /// Answered by [`Response::Stats`].
    Stats,
    /// Progress of a long work, kept until the connection ends or `total` is zero; not answered.
    Report(Progress),
    /// Answered by [`Response::Reports`].
    Reports,
    /// Drop the request with this number; not answered, and neither is the dropped request.
    Cancel {
        /// Number of the request to drop.
        request: u64,
    },
    /// A piece of a job's answer, kept for whoever asks for it; not answered.
    PostPiece {
        /// Whose piece.
        run: JobRun,
        /// Its place among the pieces, from 1.
        seq: u32,
        /// The piece.
        piece: String,
    },
    /// No more pieces follow, and the job has ended; not answered.
    EndPieces(JobRun),
    /// Answered by [`Response::Pieces`] when there is a piece after `after`, at the end, or when the time is over.
    NextPieces {
        /// Whose pieces.
        run: JobRun,
        /// Pieces up to this one are not wanted any more.
        after: u32,
        /// Longest wait, milliseconds.
        wait_ms: u32,
    },
    /// Whether an answer of a language model is JSON that meets a schema; answered by [`Response::Checked`].
    Check {
        /// JSON Schema.
        schema: String,
        /// The answer.
        answer: String,
    },
    /// Entries of a log, kept until its database's worker has written them down; not answered. Where too many are kept the
    /// engine reads nothing more from this connection for a while.
    PostLog {
        /// OID of the database.
        database: u32,
        /// The entries.
        packet: Packet,
    },
    /// What was posted to the log of a database; answered by [`Response::Log`] as soon as there is something.
    TakeLog {
        /// OID of the database.
        database: u32,
        /// Packets up to this number are written down and can be forgotten; 0 for none.
        written: u64,
    },
    /// What is on its way into the log of a database; answered by [`Response::LogState`].
    LogState {
        /// OID of the database.
        database: u32,
    },
}

/// One attempt at a job. Two of them never have the same pieces.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct JobRun {
    /// OID of the database.
    pub database: u32,
    /// OID of the table of jobs: another one after the extension was dropped and created again.
    pub table: u32,
    /// Number of the job.
    pub job: u64,
    /// Which attempt, from 1.
    pub attempt: u32,
}

/// What is known of a job's pieces.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Pieces {
    /// The pieces after the one that was named, in order and without a gap.
    pub pieces: Vec<String>,
    /// All pieces that were ever posted.
    pub posted: u32,
    /// Whether there are no more to come.
    pub ended: bool,
    /// Whether some are not here any more, or never were: only the job's result is whole.
    pub lost: bool,
}

/// How far a long work has come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// OID of the database.
    pub database: u32,
    /// Process that does the work.
    pub pid: i32,
    /// What is worked on: a collection's name.
    pub subject: String,
    /// Rows done.
    pub done: u64,
    /// Rows in all; zero ends the report.
    pub total: u64,
    /// Milliseconds since the work began.
    pub elapsed_ms: u64,
}

/// From the engine to a client.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Response {
    /// The engine serves this client.
    Hello {
        /// The engine's [`PROTOCOL`].
        protocol: u16,
        /// The engine's package version.
        version: String,
        /// The engine's process id.
        pid: u32,
    },
    /// Embeddings in the order of the texts.
    Vectors(Vectors),
    /// For each document its chunks.
    Chunks(Vec<Vec<Chunk>>),
    /// A part of an answer, in order. More of the same request follow, and at last its answer.
    Piece(String),
    /// What a language model answered.
    Completed(Box<Completion>),
    /// How well each document answers the question, in the order of the documents.
    Scores(Vec<f64>),
    /// Tokens, in the order of the texts.
    Counts(Vec<u32>),
    /// Calls that have ended, the oldest first, with how many were lost before them since there was no room.
    Calls {
        /// The calls.
        calls: Vec<Call>,
        /// Lost since the last answer.
        lost: u64,
    },
    /// The installed models by name.
    Models(Vec<Model>),
    /// Counters since the engine's start.
    Stats(Stats),
    /// Works in progress, of all databases.
    Reports(Vec<Progress>),
    /// The request came to nothing.
    Failed(Failure),
    /// Pieces of a job's answer.
    Pieces(Pieces),
    /// The JSON in an answer, if that meets the schema.
    Checked(Option<String>),
    /// What was posted to a log, the oldest first.
    Log {
        /// Number of the last packet.
        upto: u64,
        /// The packets.
        packets: Vec<Packet>,
        /// Entries lost since the last answer, for want of room.
        lost: u64,
    },
    /// What is on its way into a log.
    LogState(LogState),
}

/// What is on its way into the log of a database, and what was since the engine's start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct LogState {
    /// Entries that are not written down.
    pub waiting: u64,
    /// Bytes of these.
    pub waiting_bytes: u64,
    /// Entries that were posted.
    pub posted: u64,
    /// Entries that were lost for want of room.
    pub lost: u64,
}

/// Embeddings of the texts of one request.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Vectors {
    /// Length of each embedding.
    pub dimensions: u32,
    /// `[texts, dimensions]`, row by row.
    pub values: Vec<f32>,
    /// Tokens of each text before it was cut to the model's limit, special tokens and prefix included.
    pub tokens: Vec<u32>,
    /// The model's limit in tokens, special tokens included.
    pub max_tokens: u32,
    /// [`Model::fingerprint`] of the model that computed them.
    pub fingerprint: String,
}

/// A piece of a document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chunk {
    /// The document's text from `start` to `end`.
    pub content: String,
    /// Tokens of `content`, without special tokens.
    pub tokens: u32,
    /// Characters of the document before the first one of the chunk.
    pub start: u32,
    /// Characters of the document up to and with the last one of the chunk.
    pub end: u32,
    /// Headings that the chunk stands under, outermost first; empty for plain text.
    pub headings: Vec<String>,
}

/// An installed model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Model {
    /// Name of its folder.
    pub name: String,
    /// Length of its embeddings.
    pub dimensions: u32,
    /// Its limit in tokens, special tokens included.
    pub max_tokens: u32,
    /// Special tokens that it adds to each text.
    pub special_tokens: u32,
    /// `mean` or `cls`.
    pub pooling: String,
    /// Whether its embeddings have length 1.
    pub normalized: bool,
    /// Put before a question.
    pub query_prefix: String,
    /// Put before a passage.
    pub document_prefix: String,
    /// SPDX identifier.
    pub licence: String,
    /// Same fingerprint, same embeddings.
    pub fingerprint: String,
    /// Whether its weights are in memory.
    pub loaded: bool,
    /// What runs it (`onnxruntime`, `openvino`), or nothing before it is loaded.
    pub runtime: Option<String>,
    /// Why it cannot be used.
    pub error: Option<String>,
}

impl Request {
    /// Whether it can be asked again where nobody knows whether it was answered.
    pub fn is_repeatable(&self) -> bool {
        !matches!(self, Self::Complete { .. })
    }
}
