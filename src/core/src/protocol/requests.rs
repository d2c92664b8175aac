//! The requests of a backend.

use serde::{Deserialize, Serialize};

use super::jobs::JobRun;
use super::progress::Progress;
use super::splitter::ChunkOptions;
use crate::log::Packet;
use crate::provider::{Account, Prompt, Target};

/// Which of a model's two prefixes is put before a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Kind {
    /// A question.
    Query,
    /// A passage to be found.
    Document,
}

/// Whose work a request is, for the engine to give each a fair share.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Caller {
    /// OID of the database.
    pub database: u32,
    /// OID of the role: who calls, or the owner of the collection that a worker works for.
    pub role: u32,
}

/// Which of a model's two lanes a text waits in. The query lane goes first, as long as others have their share.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Lane {
    /// A caller waits for this one text.
    Query,
    /// The text is part of larger work.
    Bulk,
}

/// From a client to the engine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Request {
    /// The first request; answered by [`super::Response::Hello`], or [`super::Response::Failed`] and the end of the connection.
    Hello {
        /// The client's [`super::PROTOCOL`].
        protocol: u16,
        /// The client's package version, for messages.
        version: String,
    },
    /// Answered by [`super::Response::Vectors`].
    Embed {
        /// Name of an installed model.
        model: String,
        /// Which prefix.
        kind: Kind,
        /// Which lane.
        lane: Lane,
        /// Whose texts these are.
        caller: Caller,
        /// The texts, UTF-8, none of them empty.
        texts: Vec<String>,
    },
    /// Answered by [`super::Response::Chunks`].
    Chunk {
        /// Name of the installed model whose tokenizer counts.
        model: String,
        /// Whose documents these are.
        caller: Caller,
        /// How to cut.
        options: ChunkOptions,
        /// The documents.
        documents: Vec<String>,
    },
    /// Answered by [`super::Response::Completed`], with a [`super::Response::Piece`] for each part of it before where it is streamed.
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
    /// Answered by [`super::Response::Vectors`].
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
    /// Answered by [`super::Response::Scores`].
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
    /// Tokens of each text without special tokens; answered by [`super::Response::Counts`].
    Count {
        /// Name of the installed model whose tokenizer counts.
        model: String,
        /// Whose texts these are.
        caller: Caller,
        /// The texts.
        texts: Vec<String>,
    },
    /// The calls of a database that have ended; answered by [`super::Response::Calls`] as soon as there are some.
    TakeCalls {
        /// OID of the database.
        database: u32,
        /// Calls with numbers up to this one are written down and can be forgotten; 0 for none.
        written: u64,
    },
    /// How many calls of a database have not ended or are not written down; answered by [`super::Response::Counts`] of one number.
    CallsLeft {
        /// OID of the database.
        database: u32,
    },
    /// Answered by [`super::Response::Models`].
    Models,
    /// What one model is, loading its tokenizer but not its weights; answered by [`super::Response::Models`] with one row, or [`super::Response::Failed`].
    Describe {
        /// Name of an installed model.
        model: String,
    },
    /// Answered by [`super::Response::Stats`].
    Stats,
    /// Progress of a long work, kept until the connection ends or `total` is zero; not answered.
    Report(Progress),
    /// Answered by [`super::Response::Reports`].
    Reports,
    /// Drop the request with this number; not answered, and neither is the dropped request.
    Cancel {
        /// Number of the request to drop.
        request: u64,
    },
    /// A piece of a job's answer, kept for the backends that read it; not answered.
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
    /// Answered by [`super::Response::Pieces`] when there is a piece after `after`, at the end, or when the time is over.
    NextPieces {
        /// Whose pieces.
        run: JobRun,
        /// Pieces up to this one are not wanted any more.
        after: u32,
        /// Longest wait, milliseconds.
        wait_ms: u32,
    },
    /// Whether an answer of a language model is JSON that meets a schema; answered by [`super::Response::Checked`].
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
    /// What was posted to the log of a database; answered by [`super::Response::Log`] as soon as there is something.
    TakeLog {
        /// OID of the database.
        database: u32,
        /// Packets up to this number are written down and can be forgotten; 0 for none.
        written: u64,
    },
    /// What is on its way into the log of a database; answered by [`super::Response::LogState`].
    LogState {
        /// OID of the database.
        database: u32,
    },
}

impl Request {
    /// Whether the request may be sent again when it is not known whether the first one was carried out.
    pub fn is_repeatable(&self) -> bool {
        !matches!(self, Self::Complete { .. })
    }
}
