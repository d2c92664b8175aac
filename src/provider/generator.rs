//! The models that answer questions and prompts: the extractive model, which is part of Ragstone, or a
//! provider's language model.

use crate::provider::find::find;
use crate::provider::key_file::KeyFile;
use ragstone_client::settings;
use ragstone_core::provider::Target;
use ragstone_pg::error::{Error, Result};

/// Name of the server that serves the models installed on this host.
pub const LOCAL_SERVER: &str = "local";

/// The model that answers with sentences of the passages and needs no provider.
pub const EXTRACTIVE_MODEL: &str = "local/extractive";

/// Context window of a model, in tokens, if its server has no option `context_window`.
const DEFAULT_CONTEXT_TOKENS: u32 = 8192;

/// A model that generates answers.
#[derive(Debug)]
pub enum Generator {
    /// Answers with the best sentences of the passages.
    Extractive,
    /// A provider's language model.
    Remote(Box<Remote>),
}

/// A provider's language model.
#[derive(Debug)]
pub struct Remote {
    /// The provider. A key that is stored in a file is not included.
    pub target: Target,
    /// The file of its key.
    pub key_file: KeyFile,
    /// The provider's name of the model.
    pub model: String,
    /// Maximum number of tokens of prompt and answer together.
    pub context_tokens: u32,
}

impl Generator {
    /// The model of this name: `server/model`, or `server` for the server's default model. None stands for
    /// `rag.default_llm`.
    ///
    /// # Errors
    /// 42704 if the server or model does not exist, 42501 if the current role may not use it.
    pub fn find(model: Option<&str>) -> Result<Self> {
        let name = model.map_or_else(settings::default_llm, str::to_owned);
        if name == EXTRACTIVE_MODEL {
            return Ok(Self::Extractive);
        }
        let (server, model) = name.split_once('/').unwrap_or((&name, ""));
        if server == LOCAL_SERVER || server.is_empty() {
            return Err(no_language_model(&name));
        }
        let found = find(server)?;
        let model = match (model, found.options.get("default_model")) {
            ("", Some(default)) => default.to_owned(),
            ("", None) => return Err(no_default(server)),
            (model, _) => model.to_owned(),
        };
        let context_tokens = found.options.number("context_window").unwrap_or(DEFAULT_CONTEXT_TOKENS);
        let (target, key_file) = (found.target, found.key_file);
        Ok(Self::Remote(Box::new(Remote { target, key_file, model, context_tokens })))
    }

    /// The provider's model.
    ///
    /// # Errors
    /// 42704 for the extractive model, which can answer from passages only.
    pub fn remote(self) -> Result<Remote> {
        match self {
            Self::Remote(remote) => Ok(*remote),
            Self::Extractive => {
                Err(Error::undefined(format!("model \"{EXTRACTIVE_MODEL}\" answers from passages only"))
                    .hint(
                        "Ask a collection with rag.ask, or name a provider's model: model => 'server/model'.",
                    ))
            }
        }
    }

    /// The model's name in SQL.
    pub fn name(&self) -> String {
        match self {
            Self::Extractive => EXTRACTIVE_MODEL.to_owned(),
            Self::Remote(remote) => remote.name(),
        }
    }
}

impl Remote {
    /// The model's name in SQL, `server/model`.
    pub fn name(&self) -> String {
        format!("{}/{}", self.target.name, self.model)
    }
}

fn no_language_model(name: &str) -> Error {
    Error::undefined(format!("language model \"{name}\" does not exist")).hint(format!(
        "Name a provider's model as 'server/model', or {EXTRACTIVE_MODEL} for answers from passages."
    ))
}

fn no_default(server: &str) -> Error {
    Error::bad_argument(format!("provider \"{server}\" has no default model"))
        .hint(format!("Name the model as '{server}/model', or set the server's option default_model."))
}
