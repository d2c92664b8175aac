//! Embeds texts through the engine. Requests are small, so that little work is lost if the engine crashes.

pub mod tokens;

pub use crate::provider::RequestSize;
use crate::provider::{EmbeddingModel, installed};
use pgrx::{PgLogLevel, pg_sys};
use ragstone_client::engine::call::{Call, caller};
use ragstone_client::engine::client;
use ragstone_client::engine::client::Pending;
use ragstone_client::engine::replay;
use ragstone_client::engine::replay::ReplayableCall;
use ragstone_client::settings;
use ragstone_client::settings::OverlongInput;
use ragstone_core::protocol::{Caller, Kind, Lane, Model, Request, Response, Vectors};
use ragstone_pg::blame::is_rejected;
use ragstone_pg::error::{Error, Result};
use ragstone_pg::session;
use std::cell::Cell;
use std::collections::VecDeque;
use std::thread::LocalKey;

/// Maximum number of texts in one request.
const MAX_REQUEST_TEXTS: usize = 128;

/// Maximum size of the texts in one request, unless a single text is larger.
const MAX_REQUEST_BYTES: usize = 1 << 20;

/// Maximum number of requests that one call has in flight. Several requests let the engine sort many texts by
/// length.
const MAX_REQUESTS_IN_FLIGHT: usize = 8;

thread_local! {
    /// Start of the statement in which the notice about overlong input was last raised.
    static LAST_OVERLONG: Cell<pg_sys::TimestampTz> = const { Cell::new(0) };

    /// The same for the notice about unknown texts.
    static LAST_UNKNOWN: Cell<pg_sys::TimestampTz> = const { Cell::new(0) };
}

/// The tokenizer that measures texts for providers' models, whose own tokenizers are not installed.
pub const TOKENIZER: &str = "all-MiniLM-L6-v2";

/// A model with the prefix for documents or for queries.
#[derive(Debug, Clone)]
pub struct Embedder {
    location: ModelLocation,
    kind: Kind,
    caller: Caller,
}

/// The description of a model, or the request for it.
pub enum Description {
    /// The description is known without a request.
    Known(Box<Model>),
    /// A request that was sent to the engine.
    Asked(Pending),
}

/// Texts that were sent in one request.
struct AskedSlice {
    asked: ReplayableCall,
    /// The texts, if they may be sent again in smaller slices.
    kept: Vec<String>,
}

/// Location of a model.
#[derive(Debug, Clone)]
enum ModelLocation {
    /// Installed on this host.
    Installed(String),
    /// At a provider.
    Provider(Box<EmbeddingModel>),
}

impl Embedder {
    /// Parses the arguments of an SQL function: `model` None stands for `rag.default_model`, `kind` is
    /// `document` or `query`.
    pub fn new(model: Option<String>, kind: &str) -> Result<Self> {
        Self::find(&model_or_default(model)?, parse_kind(kind)?)
    }

    /// A model by its name. A provider's model is looked up with the rights of the current role, in a
    /// transaction. The engine's work is charged to this role, whichever role is current when texts are sent.
    pub fn find(model: &str, kind: Kind) -> Result<Self> {
        let location = match installed(model) {
            Some(name) => ModelLocation::Installed(name.to_owned()),
            None => ModelLocation::Provider(Box::new(EmbeddingModel::find(model)?)),
        };
        Ok(Self { location, kind, caller: caller() })
    }

    /// Describes the model. The number of dimensions of a provider's model is determined by embedding a text,
    /// unless the caller knows it.
    pub fn describe(&self, dimensions: Option<u32>) -> Result<Model> {
        match &self.location {
            ModelLocation::Installed(name) => describe(name),
            ModelLocation::Provider(model) => {
                let dimensions = dimensions.map_or_else(|| self.dimensions(), Ok)?;
                Ok(model.describe(dimensions))
            }
        }
    }

    /// Requests the description of the model, whose number of dimensions is known.
    pub fn ask_description(&self, dimensions: u32) -> Result<Description> {
        Ok(match &self.location {
            ModelLocation::Installed(name) => {
                Description::Asked(client::send(Request::Describe { model: name.clone() })?)
            }
            ModelLocation::Provider(model) => Description::Known(Box::new(model.describe(dimensions))),
        })
    }

    /// True if the model is a provider's. The duration of a request then hardly depends on the number of its
    /// texts.
    pub fn is_remote(&self) -> bool {
        matches!(self.location, ModelLocation::Provider(_))
    }

    /// Maximum size of one bulk request. For a provider's model it is at most one request to the provider, so
    /// that a failure of one of these requests loses no result of another.
    pub fn max_request(&self) -> RequestSize {
        let own = RequestSize { texts: MAX_REQUEST_TEXTS, bytes: usize::MAX };
        match &self.location {
            ModelLocation::Installed(_) => own,
            ModelLocation::Provider(model) => model.max_request().min(own),
        }
    }

    /// Remembers that larger requests than this are refused.
    pub fn learn_max_request(&self, size: RequestSize) {
        if let ModelLocation::Provider(model) = &self.location {
            model.learn_max_request(size);
        }
    }

    /// The caller to which the engine charges the work.
    pub fn caller(&self) -> Caller {
        self.caller
    }

    fn dimensions(&self) -> Result<u32> {
        let answer = self.ask(Lane::Query, vec!["dimensions".to_owned()])?.wait()?;
        Ok(plain_vectors(answer)?.dimensions)
    }

    /// Embeds one text, before any bulk work.
    pub fn embed_one(&self, text: String) -> Result<Vec<f32>> {
        check_input(&text)?;
        let answer = self.ask(Lane::Query, vec![text])?.wait()?;
        Ok(vectors(answer)?.values)
    }

    /// Embeds texts, and returns their embeddings in the same order; NULL for NULL.
    pub fn embed_many(&self, texts: Vec<Option<String>>) -> Result<Vec<Option<Vec<f32>>>> {
        let nulls: Vec<bool> = texts.iter().map(Option::is_none).collect();
        let texts: Vec<String> = texts.into_iter().flatten().collect();
        texts.iter().try_for_each(|text| check_input(text))?;
        let mut embeddings = self.embed_slices(texts)?.into_iter();
        Ok(nulls.into_iter().map(|null| if null { None } else { embeddings.next() }).collect())
    }

    /// Starts to embed texts: at once, or in a job after its transaction has ended.
    pub fn ask(&self, lane: Lane, texts: Vec<String>) -> Result<ReplayableCall> {
        replay::ask(self.call(lane, texts)?)
    }

    /// Sends texts to the engine, for work that continues in the same transaction.
    pub fn send(&self, lane: Lane, texts: Vec<String>) -> Result<Pending> {
        self.call(lane, texts)?.into_pending()
    }

    fn call(&self, lane: Lane, texts: Vec<String>) -> Result<Call> {
        match &self.location {
            ModelLocation::Installed(model) => {
                let (model, kind, caller) = (model.clone(), self.kind, self.caller);
                Ok(Call::new(Request::Embed { model, kind, lane, caller, texts }))
            }
            ModelLocation::Provider(model) => model.call(self.kind, texts),
        }
    }

    fn embed_slices(&self, texts: Vec<String>) -> Result<Vec<Vec<f32>>> {
        let mut embeddings = Vec::with_capacity(texts.len());
        // The requests of a job must not depend on sizes that its process has learnt meanwhile: the job must
        // repeat the same requests in order to get the responses that have arrived.
        let (most, size) = match replay::is_active() {
            true => (usize::MAX, RequestSize { texts: MAX_REQUEST_TEXTS, bytes: usize::MAX }),
            false => (MAX_REQUESTS_IN_FLIGHT, self.max_request()),
        };
        let mut in_flight = VecDeque::new();
        for texts in slices(texts, size) {
            if in_flight.len() == most
                && let Some(oldest) = in_flight.pop_front()
            {
                self.collect(oldest, &mut embeddings)?;
            }
            in_flight.push_back(self.ask_slice(texts)?);
        }
        in_flight.into_iter().try_for_each(|slice| self.collect(slice, &mut embeddings))?;
        Ok(embeddings)
    }

    fn ask_slice(&self, texts: Vec<String>) -> Result<AskedSlice> {
        // Only a provider may refuse several texts that it accepts one by one.
        let kept = if self.is_remote() { texts.clone() } else { Vec::new() };
        Ok(AskedSlice { asked: self.ask(Lane::Bulk, texts)?, kept })
    }

    /// Waits for the embeddings of a slice. If a provider refuses it, its halves are sent.
    fn collect(&self, slice: AskedSlice, embeddings: &mut Vec<Vec<f32>>) -> Result<()> {
        match slice.asked.wait() {
            Ok(answer) => {
                let answer = vectors(answer)?;
                let dimensions = (answer.dimensions as usize).max(1);
                embeddings.extend(answer.values.chunks_exact(dimensions).map(<[f32]>::to_vec));
                Ok(())
            }
            Err(error) if is_rejected(&error) && slice.kept.len() > 1 => {
                self.embed_halves(slice.kept, error.is_over_limit(), embeddings)
            }
            Err(error) => Err(error),
        }
    }

    fn embed_halves(
        &self,
        mut first: Vec<String>,
        is_over_limit: bool,
        embeddings: &mut Vec<Vec<f32>>,
    ) -> Result<()> {
        let second = first.split_off(first.len().div_ceil(2));
        let bytes = |texts: &[String]| texts.iter().map(String::len).sum::<usize>();
        let size = RequestSize::of_half(first.len(), bytes(&first).max(bytes(&second)), is_over_limit);
        for half in [first, second] {
            self.collect(self.ask_slice(half)?, embeddings)?;
        }
        if !replay::is_active() {
            self.learn_max_request(size);
        }
        Ok(())
    }
}

/// The model that the caller names, or `rag.default_model`.
pub fn model_or_default(model: Option<String>) -> Result<String> {
    let model = model.unwrap_or_else(settings::default_model);
    if model.is_empty() {
        return Err(Error::bad_argument("no model is named")
            .hint("Name one of rag.models(), or set rag.default_model."));
    }
    Ok(model)
}

/// The installed model whose tokenizer measures texts for a model.
pub fn tokenizer(model: &str) -> &str {
    installed(model).unwrap_or(TOKENIZER)
}

fn describe(name: &str) -> Result<Model> {
    description(client::call(Request::Describe { model: name.to_owned() })?)
}

/// The model in a response to a Describe request.
pub fn description(answer: Response) -> Result<Model> {
    let models = match answer {
        Response::Models(models) => models,
        other => return Err(Error::internal(format!("unexpected answer to a describe request: {other:?}"))),
    };
    models.into_iter().next().ok_or_else(|| Error::internal("a model was described by nothing"))
}

/// The embeddings in a response to an Embed request. Raises a notice or an error about truncated texts, as
/// `rag.overlong_input` says, and a notice about texts that the model does not know.
pub fn vectors(answer: Response) -> Result<Vectors> {
    let vectors = plain_vectors(answer)?;
    check_lengths(&vectors)?;
    if vectors.unknown > 0 {
        once_a_statement(&LAST_UNKNOWN, notice_unknown);
    }
    Ok(vectors)
}

/// The embeddings in a response to an Embed request, without such checks.
pub fn plain_vectors(answer: Response) -> Result<Vectors> {
    match answer {
        Response::Vectors(vectors) => Ok(vectors),
        other => Err(Error::internal(format!("unexpected answer to an embed request: {other:?}"))),
    }
}

/// What a text is, from the argument of an SQL function.
pub fn parse_kind(kind: &str) -> Result<Kind> {
    match kind {
        "query" => Ok(Kind::Query),
        "document" => Ok(Kind::Document),
        _ => Err(Error::bad_argument(format!("unknown kind \"{kind}\"")).hint("Use 'query' or 'document'.")),
    }
}

/// Refuses a text without anything to embed.
pub fn check_input(text: &str) -> Result<()> {
    if text.trim().is_empty() {
        return Err(Error::bad_argument("input is empty")
            .hint("Leave empty texts out, or make them NULL with nullif."));
    }
    Ok(())
}

fn check_lengths(vectors: &Vectors) -> Result<()> {
    let Some(tokens) = vectors.tokens.iter().filter(|tokens| **tokens > vectors.max_tokens).max() else {
        return Ok(());
    };
    let overlong = Error::over_limit(format!(
        "input of {tokens} tokens is longer than the {} that the model reads",
        vectors.max_tokens
    ));
    match settings::overlong_input() {
        OverlongInput::Ignore => Ok(()),
        OverlongInput::Error => {
            Err(overlong.hint("Cut it with rag.chunk, or set rag.overlong_input to 'notice'."))
        }
        OverlongInput::Notice => {
            once_a_statement(&LAST_OVERLONG, || {
                overlong
                    .into_information()
                    .detail("Only its beginning is embedded.")
                    .hint("Cut it with rag.chunk, or set rag.overlong_input to 'ignore' or 'error'.")
                    .notice(PgLogLevel::NOTICE);
            });
            Ok(())
        }
    }
}

/// Texts that consist of one unknown token each have the same embedding, whatever they say.
fn notice_unknown() {
    Error::bad_argument("input consists mostly of characters that the model does not know")
        .into_information()
        .detail("Its embedding does not represent it well. The default model is for English.")
        .hint("Use a model for the text's language.")
        .notice(PgLogLevel::NOTICE);
}

fn once_a_statement(last: &'static LocalKey<Cell<pg_sys::TimestampTz>>, notice: impl FnOnce()) {
    let statement = session::statement_start();
    if last.replace(statement) != statement {
        notice();
    }
}

/// Divides texts into slices of this size at most.
fn slices(texts: Vec<String>, size: RequestSize) -> Vec<Vec<String>> {
    let max_bytes = size.bytes.min(MAX_REQUEST_BYTES);
    let mut slices: Vec<Vec<String>> = Vec::new();
    let mut bytes = 0;
    for text in texts {
        match slices.last_mut() {
            Some(slice) if slice.len() < size.texts && bytes + text.len() <= max_bytes => {
                bytes += text.len();
                slice.push(text);
            }
            _ => {
                bytes = text.len();
                slices.push(vec![text]);
            }
        }
    }
    slices
}
