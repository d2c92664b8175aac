//! Texts to vectors through the engine, in slices small enough that an engine's death loses little work.

pub mod tokens;

use crate::provider::{EmbeddingModel, installed};
use pgrx::{PgLogLevel, pg_sys};
use ragstone_client::engine::call::Call;
use ragstone_client::engine::client;
use ragstone_client::engine::client::Pending;
use ragstone_client::engine::replay;
use ragstone_client::engine::replay::ReplayableCall;
use ragstone_client::settings;
use ragstone_client::settings::OverlongInput;
use ragstone_core::protocol::{Kind, Lane, Model, Request, Response, Vectors};
use ragstone_pg::error::{Error, Result};
use ragstone_pg::session;
use std::cell::Cell;
use std::collections::VecDeque;

/// Most texts in one request.
const SLICE_TEXTS: usize = 128;

/// Most bytes of text in one request, unless a single text is longer.
const SLICE_BYTES: usize = 1 << 20;

/// Requests that one call keeps under way, so that the engine can sort many texts by length.
const SLICES_UNDER_WAY: usize = 8;

thread_local! {
    /// Start of the statement that was last told about overlong input.
    static NOTICED: Cell<pg_sys::TimestampTz> = const { Cell::new(0) };
}

/// The tokenizer that measures texts for models of providers, whose own are not here.
pub const TOKENIZER: &str = "all-MiniLM-L6-v2";

/// Which model with which of its prefixes.
#[derive(Debug, Clone)]
pub struct Embedder {
    place: Place,
    kind: Kind,
}

/// Where a model is.
#[derive(Debug, Clone)]
enum Place {
    /// On this host.
    Installed(String),
    /// At a provider.
    Provided(Box<EmbeddingModel>),
}

impl Embedder {
    /// From SQL's arguments: no model is `rag.default_model`, kind is `document` or `query`.
    pub fn new(model: Option<String>, kind: &str) -> Result<Self> {
        Self::find(&model_or_default(model)?, parse_kind(kind)?)
    }

    /// A model by its name. One of a provider is looked up with the rights of the current role, in a transaction.
    pub fn find(model: &str, kind: Kind) -> Result<Self> {
        let place = match installed(model) {
            Some(name) => Place::Installed(name.to_owned()),
            None => Place::Provided(Box::new(EmbeddingModel::find(model)?)),
        };
        Ok(Self { place, kind })
    }

    /// What the model is. The length of a provider's embeddings is not known before there is one, unless the caller knows.
    pub fn describe(&self, dimensions: Option<u32>) -> Result<Model> {
        match &self.place {
            Place::Installed(name) => describe(name),
            Place::Provided(model) => {
                let dimensions = dimensions.map_or_else(|| self.dimensions(), Ok)?;
                Ok(model.describe(dimensions))
            }
        }
    }

    fn dimensions(&self) -> Result<u32> {
        let answer = self.ask(Lane::Query, vec!["dimensions".to_owned()])?.wait()?;
        Ok(plain_vectors(answer)?.dimensions)
    }

    /// The embedding of one text, ahead of all bulk work.
    pub fn embed_one(&self, text: String) -> Result<Vec<f32>> {
        check_input(&text)?;
        let answer = self.ask(Lane::Query, vec![text])?.wait()?;
        Ok(vectors(answer)?.values)
    }

    /// The embeddings of the texts, in their order; a null gives a null.
    pub fn embed_many(&self, texts: Vec<Option<String>>) -> Result<Vec<Option<Vec<f32>>>> {
        let nulls: Vec<bool> = texts.iter().map(Option::is_none).collect();
        let texts: Vec<String> = texts.into_iter().flatten().collect();
        texts.iter().try_for_each(|text| check_input(text))?;
        let mut embeddings = self.embed_slices(texts)?.into_iter();
        Ok(nulls.into_iter().map(|null| if null { None } else { embeddings.next() }).collect())
    }

    /// Has texts embedded: at once, or in a job when its transaction has ended.
    pub fn ask(&self, lane: Lane, texts: Vec<String>) -> Result<ReplayableCall> {
        replay::ask(self.call(lane, texts))
    }

    /// Puts texts on their way to the engine. For work that goes on in the transaction in which it began.
    pub fn send(&self, lane: Lane, texts: Vec<String>) -> Result<Pending> {
        self.call(lane, texts).into_pending()
    }

    fn call(&self, lane: Lane, texts: Vec<String>) -> Call {
        match &self.place {
            Place::Installed(model) => {
                Call::new(Request::Embed { model: model.clone(), kind: self.kind, lane, texts })
            }
            Place::Provided(model) => model.call(self.kind, texts),
        }
    }

    fn embed_slices(&self, texts: Vec<String>) -> Result<Vec<Vec<f32>>> {
        let mut embeddings = Vec::with_capacity(texts.len());
        let most = if replay::is_active() { usize::MAX } else { SLICES_UNDER_WAY };
        let mut under_way = VecDeque::new();
        for slice in slices(texts) {
            if under_way.len() == most {
                collect(under_way.pop_front(), &mut embeddings)?;
            }
            under_way.push_back(self.ask(Lane::Bulk, slice)?);
        }
        while let Some(asked) = under_way.pop_front() {
            collect(Some(asked), &mut embeddings)?;
        }
        Ok(embeddings)
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
    let models = match client::call(Request::Describe { model: name.to_owned() })? {
        Response::Models(models) => models,
        other => return Err(Error::internal(format!("unexpected answer to a describe request: {other:?}"))),
    };
    models.into_iter().next().ok_or_else(|| Error::internal("a model was described by nothing"))
}

/// The embeddings in an answer to an Embed request. Tells the user about texts that were cut.
pub fn vectors(answer: Response) -> Result<Vectors> {
    let vectors = plain_vectors(answer)?;
    check_lengths(&vectors)?;
    Ok(vectors)
}

/// The embeddings in an answer to an Embed request, whatever was cut.
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
            if NOTICED.replace(statement) != statement {
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

fn collect(asked: Option<ReplayableCall>, embeddings: &mut Vec<Vec<f32>>) -> Result<()> {
    let Some(asked) = asked else {
        return Ok(());
    };
    let answer = vectors(asked.wait()?)?;
    let dimensions = (answer.dimensions as usize).max(1);
    embeddings.extend(answer.values.chunks_exact(dimensions).map(<[f32]>::to_vec));
    Ok(())
}

fn slices(texts: Vec<String>) -> Vec<Vec<String>> {
    let mut slices: Vec<Vec<String>> = Vec::new();
    let mut bytes = 0;
    for text in texts {
        match slices.last_mut() {
            Some(slice) if slice.len() < SLICE_TEXTS && bytes + text.len() <= SLICE_BYTES => {
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
