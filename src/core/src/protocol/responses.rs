//! The responses of the engine.

use serde::{Deserialize, Serialize};

use super::documents::ParsedDocument;
use super::jobs::Pieces;
use super::progress::Progress;
use super::stats::Stats;
use crate::failure::Failure;
use crate::log::Packet;
use crate::provider::{Call, Completion};

/// A response of the engine to a client.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Response {
    /// The engine accepts this client.
    Hello {
        /// The engine's [`super::PROTOCOL`].
        protocol: u16,
        /// The engine's package version.
        version: String,
        /// The engine's process id.
        pid: u32,
    },
    /// Embeddings in the order of the texts.
    Vectors(Vectors),
    /// The chunks of each document.
    Chunks(Vec<Vec<Chunk>>),
    /// A part of an answer, in order. More responses to the same request follow; the answer is the last one.
    Piece(String),
    /// The model has worked since the last response, but this request is not complete: a sign of progress for a client that
    /// waits with a time limit. More responses to the same request follow; the answer is the last one.
    Working,
    /// The answer of a language model.
    Completed(Box<Completion>),
    /// A score for each document, in the order of the documents: how well it answers the query.
    Scores(Vec<f64>),
    /// Numbers of tokens, in the order of the texts.
    Counts(Vec<u32>),
    /// The parts of a document.
    Parsed(Box<ParsedDocument>),
    /// Calls that have ended, the oldest first, and the number of calls that were dropped before them because there was no room.
    Calls {
        /// The calls.
        calls: Vec<Call>,
        /// Number of calls lost since the last answer.
        lost: u64,
    },
    /// The installed models, sorted by name.
    Models(Vec<Model>),
    /// Counters since the engine's start.
    Stats(Stats),
    /// Long work in progress, in all databases.
    Reports(Vec<Progress>),
    /// The request failed.
    Failed(Failure),
    /// Pieces of a job's answer.
    Pieces(Pieces),
    /// The JSON in an answer, if it meets the schema.
    Checked(Option<String>),
    /// The posted log entries, the oldest first.
    Log {
        /// Number of the last packet.
        upto: u64,
        /// The packets.
        packets: Vec<Packet>,
        /// Number of entries lost since the last answer because there was no room.
        lost: u64,
    },
    /// The state of a database's unwritten log.
    LogState(LogState),
}

impl Response {
    /// True if no other response to the same request follows.
    pub fn is_last(&self) -> bool {
        !matches!(self, Self::Piece(_) | Self::Working)
    }
}

/// The state of a database's log: entries that are not written yet, and totals since the engine's start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct LogState {
    /// Number of entries that are not written.
    pub waiting: u64,
    /// Size of these entries, bytes.
    pub waiting_bytes: u64,
    /// Number of entries posted.
    pub posted: u64,
    /// Number of entries lost because there was no room.
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
    /// How many of the texts the model does not know: at least half of their tokens stand for characters that are none of its
    /// vocabulary.
    pub unknown: u32,
    /// The model's limit in tokens, special tokens included.
    pub max_tokens: u32,
    /// [`Model::fingerprint`] of the model that computed them.
    pub fingerprint: String,
}

/// A chunk of a document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chunk {
    /// The document's text from `start` to `end`.
    pub content: String,
    /// Tokens of `content`, without special tokens.
    pub tokens: u32,
    /// Offset of the first character of the chunk in the document, characters.
    pub start: u32,
    /// Offset of the end of the chunk in the document, characters.
    pub end: u32,
    /// Headings above the chunk, outermost first; empty for plain text.
    pub headings: Vec<String>,
}

/// An installed model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Model {
    /// Name of its folder.
    pub name: String,
    /// Length of its embeddings.
    pub dimensions: u32,
    /// Maximum number of tokens of a text, special tokens included.
    pub max_tokens: u32,
    /// Number of special tokens that it adds to each text.
    pub special_tokens: u32,
    /// `mean` or `cls`.
    pub pooling: String,
    /// True if its embeddings have length 1.
    pub normalized: bool,
    /// Prefix of a query.
    pub query_prefix: String,
    /// Prefix of a passage.
    pub document_prefix: String,
    /// SPDX identifier.
    pub licence: String,
    /// Models with equal fingerprints compute equal embeddings.
    pub fingerprint: String,
    /// True if its weights are in memory.
    pub loaded: bool,
    /// The library that runs it (`onnxruntime`, `openvino`); `None` before it is loaded.
    pub runtime: Option<String>,
    /// The reason why it cannot be used.
    pub error: Option<String>,
}
