//! The arguments of `rag.ask`.

use crate::search::{SearchRequest, parse_k_up_to, parse_min_similarity};
use ragstone_core::provider::Message;
use ragstone_pg::error::{Error, Result};

/// Maximum number of passages: they must fit in the context window, and readers must be able to check the
/// citations.
const MAX_PASSAGES: i32 = 100;

/// A question to a collection.
#[derive(Debug)]
pub struct Question {
    /// The search for passages; its query is the question.
    pub search: SearchRequest,
    /// Name of the model; None stands for `rag.default_llm`.
    pub model: Option<String>,
    /// Minimum cosine similarity of the question and the best passage.
    pub min_similarity: f64,
    /// Messages before the question.
    pub history: Vec<Message>,
    /// Text that is added to the model's instructions.
    pub instructions: Option<String>,
    /// Sampling temperature.
    pub temperature: Option<f64>,
    /// Maximum number of tokens in the answer.
    pub max_tokens: Option<u32>,
    /// Timeout of a model call, in milliseconds.
    pub timeout_ms: Option<i32>,
    /// Name of the SQL function, for `rag.calls`.
    pub function: &'static str,
}

/// The search for a question's passages.
pub fn search(collection: String, question: String, k: i32) -> Result<SearchRequest> {
    if question.trim().is_empty() {
        return Err(Error::bad_argument("question is empty"));
    }
    let k = parse_k_up_to(MAX_PASSAGES, k)?;
    Ok(SearchRequest { needs_similarity: true, ..SearchRequest::new(collection, question, k) })
}

impl Question {
    /// A question with the default options.
    pub fn new(search: SearchRequest, min_similarity: f64) -> Result<Self> {
        Ok(Self {
            search,
            model: None,
            min_similarity: parse_min_similarity(min_similarity)?,
            history: Vec::new(),
            instructions: None,
            temperature: None,
            max_tokens: None,
            timeout_ms: None,
            function: "ask",
        })
    }
}
