//! Embeds texts through the engine, in requests that are small enough that a crash of the engine loses little work.

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

/// Maximum number of texts in one request.
const MAX_REQUEST_TEXTS: usize = 128;

/// Maximum size of the texts in one request, unless a single text is larger.
const MAX_REQUEST_BYTES: usize = 1 << 20;

/// Maximum number of requests that one call has in flight. Several let the engine sort many texts by length.
const MAX_REQUESTS_IN_FLIGHT: usize = 8;

thread_local! {
    /// Start of the statement in which the notice about overlong input was last raised.
    static LAST_NOTICED_STATEMENT: Cell<pg_sys::TimestampTz> = const { Cell::new(0) };
}

/// The tokenizer that measures texts for models of providers, whose own tokenizers are not installed.
pub const TOKENIZER: &str = "all-MiniLM-L6-v2";

/// A model with the prefix for documents or for queries.
#[derive(Debug, Clone)]
pub struct Embedder {
    location: ModelLocation,
    kind: Kind,
    caller: Caller,
}

/// A description of a model that was asked for.
pub enum Description {
    /// It is known without a question.
    Known(Box<Model>),
    /// The engine was asked.
    Asked(Pending),
}

/// Texts that were sent together.
struct AskedSlice {
    asked: ReplayableCall,
    /// The texts, if they may be asked for again in smaller slices.
    kept: Vec<String>,
}

/// Where a model is.
#[derive(Debug, Clone)]
enum ModelLocation {
    /// Installed on this host.
    Installed(String),
    /// At a provider.
    Provider(Box<EmbeddingModel>),
}

impl Embedder {
    /// From the arguments of an SQL function: no model stands for `rag.default_model`, kind is `document` or `query`.
    pub fn new(model: Option<String>, kind: &str) -> Result<Self> {
        Self::find(&model_or_default(model)?, parse_kind(kind)?)
    }

    /// A model by its name. A provider's model is looked up with the rights of the current role, in a transaction. The work counts
    /// for this role, whichever is current when texts are sent.
    pub fn find(model: &str, kind: Kind) -> Result<Self> {
        let location = match installed(model) {
            Some(name) => ModelLocation::Installed(name.to_owned()),
            None => ModelLocation::Provider(Box::new(EmbeddingModel::find(model)?)),
        };
        Ok(Self { location, kind, caller: caller() })
    }

    /// Describes the model. The number of dimensions of a provider's model is found by embedding a text, unless the
    /// caller knows it.
    pub fn describe(&self, dimensions: Option<u32>) -> Result<Model> {
        match &self.location {
            ModelLocation::Installed(name) => describe(name),
            ModelLocation::Provider(model) => {
                let dimensions = dimensions.map_or_else(|| self.dimensions(), Ok)?;
                Ok(model.describe(dimensions))
            }
        }
    }

    /// Asks for the description of the model, which has so many dimensions.
    pub fn ask_description(&self, dimensions: u32) -> Result<Description> {
        Ok(match &self.location {
            ModelLocation::Installed(name) => {
                Description::Asked(client::send(Request::Describe { model: name.clone() })?)
            }
            ModelLocation::Provider(model) => Description::Known(Box::new(model.describe(dimensions))),
        })
    }

    /// Whether the model is a provider's, so that the time for a request hardly depends on the number of its texts.
    pub fn is_remote(&self) -> bool {
        matches!(self.location, ModelLocation::Provider(_))
    }

    /// Maximum size of one request of bulk work. What a provider takes in one request of its own comes back together, so that the
    /// failure of one request loses nothing that another has brought.
    pub fn max_request(&self) -> RequestSize {
        let own = RequestSize { texts: MAX_REQUEST_TEXTS, bytes: usize::MAX };
        match &self.location {
            ModelLocation::Installed(_) => own,
            ModelLocation::Provider(model) => model.max_request().min(own),
        }
    }

    /// Notes that larger requests than this are refused.
    pub fn learn_max_request(&self, size: RequestSize) {
        if let ModelLocation::Provider(model) = &self.location {
            model.learn_max_request(size);
        }
    }

    /// For whom it works.
    pub fn caller(&self) -> Caller {
        self.caller
    }

    fn dimensions(&self) -> Result<u32> {
        let answer = self.ask(Lane::Query, vec!["dimensions".to_owned()])?.wait()?;
        Ok(plain_vectors(answer)?.dimensions)
    }

    /// Embeds one text, before all bulk work.
    pub fn embed_one(&self, text: String) -> Result<Vec<f32>> {
        check_input(&text)?;
        let answer = self.ask(Lane::Query, vec![text])?.wait()?;
        Ok(vectors(answer)?.values)
    }

    /// Embeds texts, and returns their embeddings in the same order; a null has a null.
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
        // What a job asks for must not depend on what its process has learnt meanwhile: it asks for the same again, and is told the
        // answers that have come.
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
        // Only a provider refuses several texts that it takes one by one.
        let kept = if self.is_remote() { texts.clone() } else { Vec::new() };
        Ok(AskedSlice { asked: self.ask(Lane::Bulk, texts)?, kept })
    }

    /// Waits for the embeddings of a slice. If a provider refuses it, its halves are asked for.
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

/// The model that a call names, or `rag.default_model`.
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
/// `rag.overlong_input` says.
pub fn vectors(answer: Response) -> Result<Vectors> {
    let vectors = plain_vectors(answer)?;
    check_lengths(&vectors)?;
    Ok(vectors)
}

/// The embeddings in a response to an Embed request, without a check for truncated texts.
pub fn plain_vectors(answer: Response) -> Result<Vectors> {
    match answer {
        Response::Vectors(vectors) => Ok(vectors),
        other => Err(Error::internal(format!("unexpected answer to an embed request: {other:?}"))),
    }
}

fn parse_kind(kind: &str) -> Result<Kind> {
    match kind {
        "query" => Ok(Kind::Query),
        "document" => Ok(Kind::Document),
        _ => Err(Error::bad_argument(format!("unknown kind \"{kind}\"")).hint("Use 'query' or 'document'.")),
    }
}

fn check_input(text: &str) -> Result<()> {
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
            let statement = session::statement_start();
            if LAST_NOTICED_STATEMENT.replace(statement) != statement {
                overlong
                    .into_information()
                    .detail("Only its beginning is embedded.")
                    .hint("Cut it with rag.chunk, or set rag.overlong_input to 'ignore' or 'error'.")
                    .notice(PgLogLevel::NOTICE);
            }
            Ok(())
        }
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
