//! The requests of a backend.

use serde::{Deserialize, Serialize};

use super::documents::ParseTask;
use super::jobs::JobRun;
use super::progress::Progress;
use super::splitter::ChunkOptions;
use crate::log::Packet;
use crate::provider::{Account, Prompt, Target};

/// The kind of a text, which selects one of the model's two prefixes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Kind {
    /// A query.
    Query,
    /// A passage that searches find.
    Document,
}

/// The database and role that a request works for; the engine gives each pair a fair share.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Caller {
    /// OID of the database.
    pub database: u32,
    /// OID of the role: the caller's, or for a worker that of the collection's owner.
    pub role: u32,
}

/// The two lanes of a model's queue. The query lane goes first while the other lane gets its share.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Lane {
    /// The caller waits for this text alone.
    Query,
    /// The text is part of larger work.
    Bulk,
}

/// A request of a client to the engine.
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
        /// The kind of text, which selects the prefix.
        kind: Kind,
        /// The lane.
        lane: Lane,
        /// The owner of the texts.
        caller: Caller,
        /// The texts, UTF-8, none of them empty.
        texts: Vec<String>,
    },
    /// Answered by [`super::Response::Chunks`].
    Chunk {
        /// Name of the installed model whose tokenizer counts.
        model: String,
        /// The owner of the documents.
        caller: Caller,
        /// How documents are split.
        options: ChunkOptions,
        /// The documents.
        documents: Vec<String>,
    },
    /// Answered by [`super::Response::Completed`]. If the answer is streamed, a [`super::Response::Piece`] for each part of
    /// it comes first.
    Complete {
        /// The provider.
        target: Box<Target>,
        /// The prompt.
        prompt: Box<Prompt>,
        /// The role that pays for the call, with its budgets.
        account: Account,
        /// True to send the answer in pieces as they arrive.
        stream: bool,
    },
    /// Answered by [`super::Response::Vectors`].
    EmbedBy {
        /// The provider.
        target: Box<Target>,
        /// The provider's name of the model.
        model: String,
        /// Length of the embeddings, if the provider lets the caller choose it.
        dimensions: Option<u32>,
        /// The kind of text: query or document.
        kind: Kind,
        /// The texts, UTF-8, none of them empty.
        texts: Vec<String>,
        /// The role that pays for the call, with its budgets.
        account: Account,
    },
    /// Answered by [`super::Response::Scores`].
    RerankBy {
        /// The provider.
        target: Box<Target>,
        /// The provider's name of the model.
        model: String,
        /// The query.
        query: String,
        /// The documents to score.
        documents: Vec<String>,
        /// The role that pays for the call, with its budgets.
        account: Account,
    },
    /// Counts the tokens of each text, without special tokens; answered by [`super::Response::Counts`].
    Count {
        /// Name of the installed model whose tokenizer counts.
        model: String,
        /// The owner of the texts.
        caller: Caller,
        /// The texts.
        texts: Vec<String>,
    },
    /// Answered by [`super::Response::Parsed`].
    Parse {
        /// The owner of the document.
        caller: Caller,
        /// The document.
        task: Box<ParseTask>,
    },
    /// Takes the ended calls of a database; answered by [`super::Response::Calls`] as soon as there are any.
    TakeCalls {
        /// OID of the database.
        database: u32,
        /// Calls with numbers up to this one are written to the table and can be dropped; 0 for none.
        written: u64,
    },
    /// Asks for the number of a database's calls that are in progress or not written; answered by
    /// [`super::Response::Counts`] with one number.
    CallsLeft {
        /// OID of the database.
        database: u32,
    },
    /// Answered by [`super::Response::Models`].
    Models,
    /// Describes one model, for which its tokenizer is loaded, but not its weights; answered by [`super::Response::Models`]
    /// with one row, or [`super::Response::Failed`].
    Describe {
        /// Name of an installed model.
        model: String,
    },
    /// Answered by [`super::Response::Stats`].
    Stats,
    /// Reports the progress of long work. The report is kept until the connection ends or `total` is zero; not answered.
    Report(Progress),
    /// Answered by [`super::Response::Reports`].
    Reports,
    /// Drops the request with this number; neither this request nor the dropped one is answered.
    Cancel {
        /// Number of the request to drop.
        request: u64,
    },
    /// Posts a piece of a job's answer, which is kept for the backends that read it; not answered.
    PostPiece {
        /// The attempt that the piece belongs to.
        run: JobRun,
        /// Number of the piece, from 1.
        seq: u32,
        /// The piece.
        piece: String,
    },
    /// Reports that the job has ended and no more pieces follow; not answered.
    EndPieces(JobRun),
    /// Waits for pieces; answered by [`super::Response::Pieces`] when there is a piece after `after`, at the end of the
    /// job, or after `wait_ms`.
    NextPieces {
        /// The attempt whose pieces are read.
        run: JobRun,
        /// The response contains only pieces after this number.
        after: u32,
        /// Maximum wait, milliseconds.
        wait_ms: u32,
    },
    /// Checks whether an answer of a language model is JSON that meets a schema; answered by [`super::Response::Checked`].
    Check {
        /// Who asks.
        caller: Caller,
        /// JSON Schema.
        schema: String,
        /// The answer.
        answer: String,
    },
    /// Posts entries of the agent log, which are kept until the worker of their database has written them; not answered. If
    /// too many are waiting, the engine pauses reading from this connection.
    PostLog {
        /// OID of the database.
        database: u32,
        /// The entries.
        packet: Packet,
    },
    /// Takes the posted log entries of a database; answered by [`super::Response::Log`] as soon as there are any.
    TakeLog {
        /// OID of the database.
        database: u32,
        /// Packets with numbers up to this one are written to the tables and can be dropped; 0 for none.
        written: u64,
    },
    /// Asks for the state of a database's unwritten log; answered by [`super::Response::LogState`].
    LogState {
        /// OID of the database.
        database: u32,
    },
}

impl Request {
    /// True if the request may be sent again when it is unknown whether the first one was carried out.
    pub fn is_repeatable(&self) -> bool {
        !matches!(self, Self::Complete { .. })
    }
}
