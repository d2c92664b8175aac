//! The responses of the engine.

use serde::{Deserialize, Serialize};

use super::jobs::Pieces;
use super::progress::Progress;
use super::stats::Stats;
use crate::failure::Failure;
use crate::log::Packet;
use crate::provider::{Call, Completion};

/// From the engine to a client.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Response {
    /// The engine serves this client.
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
    /// For each document its chunks.
    Chunks(Vec<Vec<Chunk>>),
    /// A part of an answer, in order. More of the same request follow, and at last its answer.
    Piece(String),
    /// The model has worked since the last response, and has not come to the end of this request: a sign of progress for a client
    /// that waits with a time limit. More of the same request follow, and at last its answer.
    Working,
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

impl Response {
    /// Whether no other response to the same request follows.
    pub fn is_last(&self) -> bool {
        !matches!(self, Self::Piece(_) | Self::Working)
    }
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
