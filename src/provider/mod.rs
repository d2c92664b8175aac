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

pub use call::{CallOptions, Pieces, completion, send_all};
pub use create::{NewProvider, create, needs_key};
pub use embedding_model::{EmbeddingModel, installed};
pub use generator::{Generator, Remote};
pub use local::refuse_options as refuse_options_of_local;
pub use options::{Catalog, Options, validate};
pub use prompt::{Knobs, check_temperature, positive, schema};
pub use rerank::rerank;
