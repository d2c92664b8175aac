//! Providers of models outside of this server: foreign servers of the wrapper `rag`, their keys, and calls to them.

mod account;
mod call;
mod create;
mod embedding_model;
mod find;
mod generator;
mod local;
mod options;
mod prompt;
mod rerank;
mod step;
mod template;
mod url;

pub use crate::provider::call::{CallOptions, Pieces, completion, send_all};
pub use crate::provider::create::{NewProvider, create, needs_key};
pub use crate::provider::embedding_model::{EmbeddingModel, installed};
pub use crate::provider::generator::{Generator, Remote};
pub use crate::provider::local::refuse_options as refuse_options_of_local;
pub use crate::provider::options::{Catalog, Options, validate};
pub use crate::provider::prompt::{Knobs, check_temperature, positive, schema};
pub use crate::provider::rerank::rerank;
pub use crate::embedding::tokens::{count_generously, count_tokens};
