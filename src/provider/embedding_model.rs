//! A provider's embedding model.

use crate::provider::account::account;
use crate::provider::find::find;
use crate::provider::generator::LOCAL_SERVER;
use crate::provider::key_file::KeyFile;
use crate::provider::request_size;
use crate::provider::request_size::RequestSize;
use ragstone_client::engine::call::Call;
use ragstone_client::processes::place::Place;
use ragstone_client::processes::slots;
use ragstone_core::protocol::{Kind, Model, Request};
use ragstone_core::provider::{Account, Target};
use ragstone_pg::error::{Error, Result};

/// Maximum number of tokens of a chunk if the server has no option `embedding_max_tokens`. Providers accept
/// more, but larger chunks make search results worse.
const DEFAULT_MAX_TOKENS: u32 = 512;

/// A provider's embedding model.
#[derive(Debug, Clone)]
pub struct EmbeddingModel {
    target: Target,
    key_file: KeyFile,
    model: String,
    /// Number of dimensions, if the server's options set it.
    dimensions: Option<u32>,
    max_tokens: u32,
    account: Account,
}

/// The name of an installed model, without the prefix `local/`; None if the model is a provider's.
pub fn installed(name: &str) -> Option<&str> {
    match name.split_once('/') {
        None => Some(name),
        Some((server, model)) => (server == LOCAL_SERVER).then_some(model),
    }
}

impl EmbeddingModel {
    /// Maximum size of one request to the provider, as this process knows it.
    pub fn max_request(&self) -> RequestSize {
        request_size::largest(self.target.server, &self.model, self.target.limits.max_texts as usize)
    }

    /// Remembers that the provider refuses larger requests than this.
    pub fn learn_max_request(&self, size: RequestSize) {
        request_size::learn(self.target.server, &self.model, self.target.limits.max_texts as usize, size);
    }

    /// The model `server/model`, with the rights and the key of the current role.
    pub fn find(name: &str) -> Result<Self> {
        let (server, model) = name.split_once('/').unwrap_or((name, ""));
        let found = find(server)?;
        let model = match (model, found.options.get("default_embedding_model")) {
            ("", Some(default)) => default.to_owned(),
            ("", None) => return Err(no_default(server)),
            (model, _) => model.to_owned(),
        };
        Ok(Self {
            model,
            dimensions: found.options.number("embedding_dimensions"),
            max_tokens: found.options.number("embedding_max_tokens").unwrap_or(DEFAULT_MAX_TOKENS),
            account: account(server, "embed")?,
            target: found.target,
            key_file: found.key_file,
        })
    }

    /// The model's name in SQL.
    pub fn name(&self) -> String {
        format!("{}/{}", self.target.name, self.model)
    }

    /// The call that embeds texts.
    ///
    /// # Errors
    /// 42501 if the key is in a file that cannot be read.
    pub fn call(&self, kind: Kind, texts: Vec<String>) -> Result<Call> {
        // The database's coordinator writes `rag.calls`.
        slots::ensure(Place::Coordinator);
        let mut target = Box::new(self.key_file.complete(&self.target)?);
        target.limits.max_texts = self.max_request().texts as u32;
        let request = Request::EmbedBy {
            target,
            model: self.model.clone(),
            dimensions: self.dimensions,
            kind,
            texts,
            account: self.account.clone(),
        };
        Ok(Call::with_limits(&self.target.limits, request))
    }

    /// A description of the model like that of an installed one.
    pub fn describe(&self, dimensions: u32) -> Model {
        Model {
            name: self.name(),
            dimensions,
            max_tokens: self.max_tokens,
            special_tokens: 0,
            pooling: String::new(),
            normalized: false,
            query_prefix: String::new(),
            document_prefix: String::new(),
            licence: String::new(),
            fingerprint: self.target.fingerprint(&self.model, self.dimensions),
            loaded: false,
            runtime: None,
            error: None,
        }
    }
}

fn no_default(server: &str) -> Error {
    Error::bad_argument(format!("provider \"{server}\" has no default embedding model")).hint(format!(
        "Name the model as '{server}/model', or set the server's option default_embedding_model."
    ))
}
