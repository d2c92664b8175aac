//! Tools: SQL functions, and searches of a collection, that a language model may ask for.

mod limits;
mod create;
mod find;
mod function;
mod schema;
mod arguments;
mod call;
mod content;

pub use create::{NewTool, Subject, create, drop_tool};
pub use find::{Listed, find, list};
pub use limits::Limits;

use crate::tools::function::Returns;
use ragstone_pg::arguments::Parameter;
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
    limits: Limits,
    parameters: Vec<Parameter>,
    target: Target,
}

/// What a call comes to.
#[derive(Debug, Clone)]
enum Target {
    Function {
        /// Its name as it stands in a statement.
        call: String,
        returns: Returns,
        /// Whether it gives NULL for any NULL.
        strict: bool,
    },
    Search {
        collection: String,
    },
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

impl Tool {
    /// The same tool with no more time than this, milliseconds.
    pub fn within(mut self, ms: u64) -> Self {
        let most = i32::try_from(ms.max(1)).unwrap_or(i32::MAX);
        self.limits.timeout_ms = self.limits.timeout_ms.min(most);
        self
    }

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
}
