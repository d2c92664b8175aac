//! `rag.ask`: an answer from a collection, with citations.

use crate::api::generate::or_null;
use crate::ask;
use crate::ask::{CitedAnswer, Question, ask_as_step, search_for};
use crate::provider::{check_temperature, positive};
use crate::search::Mode;
use pgrx::iter::TableIterator;
use pgrx::{default, extension_sql_file, name, pg_extern};
use ragstone_client::engine::client;
use ragstone_core::ask::relevance::MIN_SIMILARITY;
use ragstone_pg::attempt::in_subtransaction;
use ragstone_pg::bytes::Jsonb;
use ragstone_pg::error::{Result, or_raise};
use ragstone_pg::text::{Utf8, required, text_or};
use ragstone_pg::version;
use std::time::Duration;

/// The columns of an answer.
type AnswerRow = (Option<Utf8>, Option<Jsonb>, Option<Utf8>, Option<bool>, Option<f64>, Option<Utf8>);

/// The arguments of both functions of this file.
struct AskArguments {
    collection: Option<Utf8>,
    question: Option<Utf8>,
    model: Option<Utf8>,
    k: Option<i32>,
    mode: Option<Utf8>,
    filter: Option<Jsonb>,
    min_similarity: Option<f64>,
    instructions: Option<Utf8>,
    temperature: Option<f64>,
    max_tokens: Option<i32>,
    timeout_ms: Option<i32>,
}

impl AskArguments {
    fn question(self) -> Result<Question> {
        let collection = required(self.collection, "collection")?;
        let mut search = search_for(collection, required(self.question, "question")?, self.k.unwrap_or(5))?;
        search.mode = Mode::parse(&text_or(self.mode, "hybrid"))?;
        search.filter = self.filter;
        let max_tokens = self.max_tokens.map(positive("max_tokens")).transpose()?;
        let timeout_ms = self.timeout_ms.map(positive("timeout_ms")).transpose()?;
        check_temperature(self.temperature)?;
        Ok(Question {
            model: self.model.map(|model| model.0),
            instructions: self.instructions.map(|instructions| instructions.0),
            temperature: self.temperature,
            max_tokens,
            timeout_ms: timeout_ms.and_then(|timeout| i32::try_from(timeout).ok()),
            ..Question::new(search, self.min_similarity.unwrap_or(MIN_SIMILARITY))?
        })
    }

    /// Answers; `timeout_ms` limits each wait for a model.
    fn answer(self) -> Result<AnswerRow> {
        let question = self.question()?;
        ask_as_step("ask", &question, || bounded(&question)).map(row)
    }

    /// The same in a subtransaction, so that the caller can continue after a failure.
    fn try_answer(self) -> Result<AnswerRow> {
        let question = self.question()?;
        ask_as_step("try_ask", &question, || in_subtransaction(|| bounded(&question))).map(row)
    }
}

// Not parallel safe: it switches roles, and a leader does not tell its parallel workers about that.
#[pg_extern(volatile, parallel_unsafe, cost = 1000000)]
#[allow(
    clippy::too_many_arguments,
    clippy::type_complexity,
    reason = "arguments and columns of the SQL function"
)]
fn ask(
    collection: Option<Utf8>,
    question: Option<Utf8>,
    model: default!(Option<Utf8>, "NULL"),
    k: default!(Option<i32>, 5),
    mode: default!(Option<Utf8>, "'hybrid'"),
    filter: default!(Option<Jsonb>, "NULL"),
    min_similarity: default!(Option<f64>, "NULL"),
    instructions: default!(Option<Utf8>, "NULL"),
    temperature: default!(Option<f64>, "NULL"),
    max_tokens: default!(Option<i32>, "NULL"),
    timeout_ms: default!(Option<i32>, "NULL"),
) -> TableIterator<
    'static,
    (
        name!(answer, Option<Utf8>),
        name!(citations, Option<Jsonb>),
        name!(model, Option<Utf8>),
        name!(answered, Option<bool>),
        name!(similarity, Option<f64>),
        name!(finish_reason, Option<Utf8>),
    ),
> {
    version::check();
    let arguments = AskArguments {
        collection,
        question,
        model,
        k,
        mode,
        filter,
        min_similarity,
        instructions,
        temperature,
        max_tokens,
        timeout_ms,
    };
    TableIterator::once(or_raise(arguments.answer()))
}

#[pg_extern(volatile, parallel_unsafe, cost = 1000000)]
#[allow(
    clippy::too_many_arguments,
    clippy::type_complexity,
    reason = "arguments and columns of the SQL function"
)]
fn try_ask(
    collection: Option<Utf8>,
    question: Option<Utf8>,
    model: default!(Option<Utf8>, "NULL"),
    k: default!(Option<i32>, 5),
    mode: default!(Option<Utf8>, "'hybrid'"),
    filter: default!(Option<Jsonb>, "NULL"),
    min_similarity: default!(Option<f64>, "NULL"),
    instructions: default!(Option<Utf8>, "NULL"),
    temperature: default!(Option<f64>, "NULL"),
    max_tokens: default!(Option<i32>, "NULL"),
    timeout_ms: default!(Option<i32>, "NULL"),
) -> TableIterator<
    'static,
    (
        name!(answer, Option<Utf8>),
        name!(citations, Option<Jsonb>),
        name!(model, Option<Utf8>),
        name!(answered, Option<bool>),
        name!(similarity, Option<f64>),
        name!(finish_reason, Option<Utf8>),
    ),
> {
    version::check();
    let arguments = AskArguments {
        collection,
        question,
        model,
        k,
        mode,
        filter,
        min_similarity,
        instructions,
        temperature,
        max_tokens,
        timeout_ms,
    };
    let answer = or_null(arguments.try_answer());
    TableIterator::once(answer.unwrap_or((None, None, None, None, None, None)))
}

fn bounded(question: &Question) -> Result<CitedAnswer> {
    match question.timeout_ms {
        Some(timeout) => {
            client::with_max_wait(Duration::from_millis(timeout.unsigned_abs().into()), || ask::ask(question))
        }
        None => ask::ask(question),
    }
}

fn row(answered: CitedAnswer) -> AnswerRow {
    (
        Some(Utf8(answered.answer)),
        Some(answered.citations),
        Some(Utf8(answered.model)),
        Some(answered.answered),
        answered.similarity,
        answered.finish_reason.map(Utf8),
    )
}

extension_sql_file!("../../sql/ask.sql", name = "ask_comments", requires = [ask, try_ask]);
