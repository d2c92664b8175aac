//! Tools: SQL functions, and searches of a collection, that a language model may ask for.

use crate::pg::error::{Error, Outcome};
use serde_json::{Value, json};

/// A tool that the current role may use.
#[derive(Debug, Clone)]
pub struct Tool {
    /// As models call it.
    pub name: String,
    /// What it does, for models.
    pub description: String,
    /// JSON schema of its arguments.
    pub schema: Value,
    /// Whether a person has to agree to each call.
    pub requires_approval: bool,
    /// Whether it may write.
    pub writes: bool,
    /// Role that made it.
    pub owner: String,
}

/// What a model is told of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observation {
    /// JSON, "done", or what went wrong.
    pub content: String,
    /// Whether something went wrong.
    pub is_error: bool,
    /// Of what went wrong.
    pub sqlstate: Option<String>,
    /// Rows in the content.
    pub rows: u64,
    /// Whether the content is not all that there was.
    pub truncated: bool,
}

/// The tools of these names, in this order, as the current role may use them.
///
/// # Errors
/// 42704 where there is none of a name, 42883 where its function has gone, 42501 where the current role may not use it.
pub fn find(_names: &[String]) -> Outcome<Vec<Tool>> {
    Err(Error::internal("not there yet"))
}

impl Tool {
    /// As the `tools` of OpenAI's interface have it.
    pub fn definition(&self) -> Value {
        json!({
            "type": "function",
            "function": {
                "name": self.name,
                "description": self.description,
                "parameters": self.schema,
            },
        })
    }

    /// Calls the tool with arguments as a model wrote them: a JSON object. What is wrong with them, and what the tool raises,
    /// is an observation.
    ///
    /// # Errors
    /// What ends the whole statement: a cancel, or an error of Ragstone itself.
    pub fn call(&self, _arguments: &str) -> Outcome<Observation> {
        Err(Error::internal("not there yet"))
    }
}
