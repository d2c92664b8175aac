//! The arguments of `rag.ask`.

use crate::search::{DEFAULT_FUSION, DEFAULT_TYPOS, Mode, SearchRequest, Syntax, parse_k_up_to};
use ragstone_core::provider::Message;
use ragstone_pg::error::{Error, Result};

/// Maximum number of passages: they have to fit in the context window, and readers have to follow the citations.
const MAX_PASSAGES: i32 = 100;

/// A question to a collection.
#[derive(Debug)]
pub struct Question {
    /// How passages are found; its query is the question.
    pub search: SearchRequest,
    /// Name of the model; none stands for `rag.default_llm`.
    pub model: Option<String>,
    /// Minimum cosine similarity of the question and the best passage.
    pub min_similarity: f64,
    /// Messages before the question.
    pub history: Vec<Message>,
    /// Text that is added to the model's instructions.
    pub instructions: Option<String>,
    /// Temperature of sampling.
    pub temperature: Option<f64>,
    /// Maximum number of tokens in the answer.
    pub max_tokens: Option<u32>,
    /// Maximum time of a call of the model, in milliseconds.
    pub timeout_ms: Option<i32>,
    /// Name of the SQL function, for `rag.calls`.
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
        fusion: DEFAULT_FUSION,
        per_source: false,
        scores: true,
        syntax: Syntax::Plain,
        typos: DEFAULT_TYPOS,
    })
}

impl Question {
    /// A question with the default options.
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
