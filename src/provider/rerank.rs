//! Calls of a provider's reranking model, which scores documents by how well they answer a question.

use crate::provider::account::account;
use crate::provider::find::find;
use crate::provider::generator::LOCAL_SERVER;
use ragstone_client::engine::call::Call;
use ragstone_client::engine::replay;
use ragstone_client::processes::place::Place;
use ragstone_client::processes::slots;
use ragstone_core::protocol::{Request, Response};
use ragstone_pg::error::{Error, Result};

/// The score of each document, in the order of the documents.
///
/// # Errors
/// 42704 and 42501 for the provider, and its own errors as the engine reports them.
pub fn rerank(model: &str, query: String, documents: Vec<String>) -> Result<Vec<f64>> {
    let (server, name) = model.split_once('/').unwrap_or((LOCAL_SERVER, model));
    if server == LOCAL_SERVER || name.is_empty() {
        return Err(Error::undefined(format!("reranking model \"{model}\" does not exist"))
            .hint("Name a provider's model as 'server/model'; kinds tei and cohere have some."));
    }
    let found = find(server)?;
    let account = account(server, "rerank")?;
    let (expected, limits) = (documents.len(), found.target.limits);
    slots::ensure(Place::Coordinator);
    let request = Request::RerankBy {
        target: Box::new(found.key_file.complete(&found.target)?),
        model: name.to_owned(),
        query,
        documents,
        account,
    };
    match replay::ask(Call::with_limits(&limits, request))?.wait()? {
        Response::Scores(scores) if scores.len() == expected => Ok(scores),
        other => Err(Error::internal(format!("unexpected answer to a rerank request: {other:?}"))),
    }
}
