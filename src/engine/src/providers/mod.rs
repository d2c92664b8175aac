//! Calls to providers over HTTP, of all sessions: one client, one line for each provider, a file for each protocol.

mod complete;

mod embed;

mod rerank;

pub mod call;

mod line;

mod client;

mod key;

mod url;

mod refusal;

mod schema;

mod wire;

use std::sync::Arc;

use ragstone_core::{
    protocol::{Kind, Response},
    provider::{Account, Prompt, Target},
};

use crate::{
    failure::Error,
    server::{engine::Engine, outbox::Outbox},
};

/// A prompt on its way.
pub struct Asked {
    /// The provider.
    pub target: Box<Target>,
    /// What is asked.
    pub prompt: Box<Prompt>,
    /// For whom.
    pub account: Account,
    /// Whether pieces are sent as they come.
    pub stream: bool,
}

/// Texts to embed.
pub struct Texts {
    /// The provider's name of the model.
    pub model: String,
    /// Length of the embeddings, where it is chosen.
    pub dimensions: Option<u32>,
    /// Whether these are questions.
    pub kind: Kind,
    /// The texts.
    pub texts: Vec<String>,
}

/// A question and documents to compare with it.
pub struct Pairs {
    /// The provider's name of the model.
    pub model: String,
    /// The question.
    pub query: String,
    /// The documents.
    pub documents: Vec<String>,
}

/// Starts a call to a language model.
pub fn complete(engine: &Arc<Engine>, outbox: &Arc<Outbox>, id: u64, asked: Asked) {
    let (engine, pieces) = (engine.clone(), outbox.clone());
    start(outbox, id, async move { complete::complete(&engine, &pieces, id, asked).await });
}

/// Starts a call to an embedding model.
pub fn embed(
    engine: &Arc<Engine>,
    outbox: &Arc<Outbox>,
    id: u64,
    target: Box<Target>,
    texts: Texts,
    account: Account,
) {
    let engine = engine.clone();
    start(outbox, id, async move { embed::embed(&engine, target, texts, account).await });
}

/// Starts a call to a reranking model.
pub fn rerank(
    engine: &Arc<Engine>,
    outbox: &Arc<Outbox>,
    id: u64,
    target: Box<Target>,
    pairs: Pairs,
    account: Account,
) {
    let engine = engine.clone();
    start(outbox, id, async move { rerank::rerank(&engine, target, pairs, account).await });
}

/// Compares an answer of a language model with a schema.
pub fn check(outbox: &Arc<Outbox>, id: u64, schema: String, answer: String) {
    start(outbox, id, async move {
        let schema = schema::Schema::read(schema).await?;
        let reply = wire::Reply { content: answer, ..wire::Reply::default() };
        let met = schema.check(reply).await?.map(|reply| reply.content);
        Ok(Response::Checked(met.ok()))
    });
}

/// Works until there is an answer or nobody waits for it. The work is dropped then, which closes its connection.
fn start(
    outbox: &Arc<Outbox>,
    id: u64,
    work: impl Future<Output = Result<Response, Error>> + Send + 'static,
) {
    let gone = outbox.open(id);
    let answering = Answering { outbox: outbox.clone(), id };
    tokio::spawn(async move {
        if let Some(answer) = gone.run_until_cancelled(work).await {
            answering.outbox.answer(id, answer);
        }
    });
}

/// Answers in any case, after a panic say. What was answered or cancelled is not open any more.
struct Answering {
    outbox: Arc<Outbox>,
    id: u64,
}

impl Drop for Answering {
    fn drop(&mut self) {
        self.outbox.answer(self.id, Err(Error::Internal("a call was lost".into())));
    }
}
