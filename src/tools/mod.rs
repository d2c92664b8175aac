//! Tools: SQL functions and searches of a collection that a language model may call.
//!
//! [`create`] stores a tool within its [`limits`], and [`find`] looks one up, with the [`function`] that it
//! calls and the [`schema`] of its arguments. [`call`] makes a call from a model's [`arguments`]. [`content`]
//! reads the result into an [`observation`].

mod create;
mod limits;
mod find;
mod function;
mod schema;
mod arguments;
mod call;
mod content;
mod observation;

pub use create::{NewTool, Subject, create, drop_tool};
pub use find::{ListedTool, find, list};
pub use limits::Limits;
pub use observation::Observation;

use crate::tools::function::Returns;
use ragstone_pg::arguments::Parameter;
use serde_json::{Value, json};

/// A tool that the current role may use.
#[derive(Debug, Clone)]
pub struct Tool {
    /// Name, by which models call it.
    pub name: String,
    /// Description for models.
    pub description: String,
    /// JSON schema of its arguments.
    pub schema: Value,
    /// True if a user must approve each call.
    pub requires_approval: bool,
    limits: Limits,
    parameters: Vec<Parameter>,
    target: Target,
}

/// The function or search of a tool.
#[derive(Debug, Clone)]
enum Target {
    Function {
        /// Qualified and quoted name for a statement.
        call: String,
        returns: Returns,
        /// True if the function is STRICT.
        strict: bool,
    },
    Search {
        collection: String,
    },
}

impl Tool {
    /// The same tool with a timeout of at most `ms` milliseconds.
    pub fn within(mut self, ms: u64) -> Self {
        let limit = i32::try_from(ms.max(1)).unwrap_or(i32::MAX);
        self.limits.timeout_ms = self.limits.timeout_ms.min(limit);
        self
    }

    /// The definition for a model, in the format of `tools` in OpenAI's API.
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
