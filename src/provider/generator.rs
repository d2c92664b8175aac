//! What a call's `model` names: the answerer that comes with Ragstone, or a provider's language model.

use crate::provider::find::find;
use ragstone_client::settings;
use ragstone_core::provider::Target;
use ragstone_pg::error::{Error, Result};

/// Name of the server that serves what is installed on this host.
pub const LOCAL: &str = "local";

/// The answerer that needs no provider.
pub const EXTRACTIVE: &str = "local/extractive";

/// Tokens that a model is taken to read where its server does not say.
const CONTEXT_WINDOW: u32 = 8192;

/// What answers.
#[derive(Debug)]
pub enum Generator {
    /// The best sentences of what was retrieved.
    Extractive,
    /// A provider's language model.
    Remote(Box<Remote>),
}

/// A provider's language model.
#[derive(Debug)]
pub struct Remote {
    /// The provider.
    pub target: Target,
    /// Its name of the model.
    pub model: String,
    /// Most tokens of prompt and answer together.
    pub context_tokens: u32,
}

impl Generator {
    /// By its name in SQL, `server/model` or `server` for the server's default; none is `rag.default_llm`.
    ///
    /// # Errors
    /// 42704 where there is no such server or model, 42501 where the current role may not use it.
    pub fn find(model: Option<&str>) -> Result<Self> {
        let name = model.map_or_else(settings::default_llm, str::to_owned);
        if name == EXTRACTIVE {
            return Ok(Self::Extractive);
        }
        let (server, model) = name.split_once('/').unwrap_or((&name, ""));
        if server == LOCAL || server.is_empty() {
            return Err(no_language_model(&name));
        }
        let found = find(server)?;
        let model = match (model, found.options.get("default_model")) {
            ("", Some(default)) => default.to_owned(),
            ("", None) => return Err(no_default(server)),
            (model, _) => model.to_owned(),
        };
        let context_tokens = found.options.number("context_window").unwrap_or(CONTEXT_WINDOW);
        Ok(Self::Remote(Box::new(Remote { target: found.target, model, context_tokens })))
    }

    /// The provider's model that a call needs which is more than an answer out of passages.
    pub fn remote(self) -> Result<Remote> {
        match self {
            Self::Remote(remote) => Ok(*remote),
            Self::Extractive => Err(Error::undefined(format!(
                "model \"{EXTRACTIVE}\" answers from passages only"
            ))
            .hint("Ask a collection with rag.ask, or name a provider's model: model => 'server/model'.")),
        }
    }

    /// As SQL shows it.
    pub fn name(&self) -> String {
        match self {
            Self::Extractive => EXTRACTIVE.to_owned(),
            Self::Remote(remote) => format!("{}/{}", remote.target.name, remote.model),
        }
    }
}

fn no_language_model(name: &str) -> Error {
    Error::undefined(format!("language model \"{name}\" does not exist")).hint(format!(
        "Name a provider's model as 'server/model', or {EXTRACTIVE} for answers from passages."
    ))
}

fn no_default(server: &str) -> Error {
    Error::bad_argument(format!("provider \"{server}\" has no default model"))
        .hint(format!("Name the model as '{server}/model', or set the server's option default_model."))
}
