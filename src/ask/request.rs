//! What a caller of `rag.ask` asks for.

use crate::search::{Mode, SearchRequest, parse_k_up_to};
use ragstone_core::fusion::Fusion;
use ragstone_core::provider::Message;
use ragstone_pg::error::{Error, Result};

/// Most passages: what a model's window holds, and what a reader of citations can follow.
const MAX_PASSAGES: i32 = 100;

/// A question to a collection.
#[derive(Debug)]
pub struct Question {
    /// How passages are found; its query is the question.
    pub search: SearchRequest,
    /// Who answers; `rag.default_llm` if nobody is named.
    pub model: Option<String>,
    /// Least cosine of the question and the best passage.
    pub min_similarity: f64,
    /// What was said before the question.
    pub history: Vec<Message>,
    /// What is added to the model's instructions.
    pub instructions: Option<String>,
    /// Randomness.
    pub temperature: Option<f64>,
    /// Most tokens of the answer.
    pub max_tokens: Option<u32>,
    /// Longest time that the model may take, milliseconds.
    pub timeout_ms: Option<i32>,
    /// Name of the SQL function, for the record.
    pub function: &'static str,
}

/// The search for a question's passages.
pub fn search(collection: String, question: String, k: i32) -> Result<SearchRequest> {
    if question.trim().is_empty() {
        return Err(Error::bad_argument("question is empty"));
    }
    Ok(SearchRequest {
        collection,
        query: question,
        k: parse_k_up_to(MAX_PASSAGES, k)?,
        mode: Mode::Hybrid,
        filter: None,
        fusion: Fusion::MinMax { vector_weight: 0.5 },
        per_source: false,
    })
}

impl Question {
    /// A question as it is asked without options.
    pub fn new(search: SearchRequest, min_similarity: f64) -> Result<Self> {
        if !(-1.0..=1.0).contains(&min_similarity) {
            return Err(Error::bad_argument(format!(
                "min_similarity must be from -1 to 1, not {min_similarity}"
            )));
        }
        Ok(Self {
            search,
            model: None,
            min_similarity,
            history: Vec::new(),
            instructions: None,
            temperature: None,
            max_tokens: None,
            timeout_ms: None,
            function: "ask",
        })
    }
}
