//! Providers of models outside this server: foreign servers of the wrapper `rag`, their keys, and calls of
//! their models.
//!
//! - Servers: [`options`], [`template`], [`url`] and [`create`]; [`local`] is the server that stands for this
//!   host.
//! - Look-up: [`find`], [`generator`] and [`embedding_model`] look up a model by name, [`key_file`] reads a
//!   key from a file, and [`request_size`] has the maximum size of embedding requests.
//! - Calls: [`prompt`] makes a prompt from SQL arguments, [`call`] sends it, and [`step`] logs it; [`stream`]
//!   and [`batch`] do both for streamed answers and for many prompts. [`rerank`] scores documents.
//! - Accounting: [`account`] has the role and the budgets of each call, and [`budget`] checks the definitions
//!   of budgets.

mod account;
mod batch;
mod budget;
mod call;
mod create;
mod embedding_model;
mod find;
mod generator;
mod key_file;
mod local;
mod options;
mod prompt;
mod request_size;
mod rerank;
mod step;
mod stream;
mod template;
mod url;

pub use batch::send_all;
pub use budget::check_budget;
pub use call::{CallOptions, completion, notice_shortcoming};
pub use create::{NewProvider, create, needs_key};
pub use embedding_model::{EmbeddingModel, installed};
pub use generator::{Generator, Remote};
pub use local::refuse_options as refuse_options_of_local;
pub use options::{Catalog, Options, validate};
pub use prompt::{GenerateOptions, check_temperature, positive, schema};
pub use request_size::RequestSize;
pub use rerank::rerank;
pub use stream::Deltas;
