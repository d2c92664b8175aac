//! `rag.ask`: an answer from a collection, with citations.

use crate::ask;
use crate::ask::{CitedAnswer, Question, ask_as_step, search_for};
use crate::provider::{check_temperature, positive};
use crate::search::{Mode, parse_filter};
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
pub struct AskArguments {
    /// Name of the collection.
    pub collection: Option<Utf8>,
    /// The question.
    pub question: Option<Utf8>,
    /// Name of the model.
    pub model: Option<Utf8>,
    /// Maximum number of passages.
    pub k: Option<i32>,
    /// Which rankings count.
    pub mode: Option<Utf8>,
    /// Value that the metadata must contain.
    pub filter: Option<Jsonb>,
    /// Minimum similarity of the best passage.
    pub min_similarity: Option<f64>,
    /// Text that is added to the model's instructions.
    pub instructions: Option<Utf8>,
    /// Temperature of sampling.
    pub temperature: Option<f64>,
    /// Maximum number of tokens in the answer.
    pub max_tokens: Option<i32>,
    /// Maximum time of a call of the model, in milliseconds.
    pub timeout_ms: Option<i32>,
}

impl AskArguments {
    /// The question, with defaults for what is null.
    ///
    /// # Errors
    /// 22004 and 22023.
    pub fn question(self) -> Result<Question> {
        let collection = required(self.collection, "collection")?;
        let mut search = search_for(collection, required(self.question, "question")?, self.k.unwrap_or(5))?;
        search.mode = Mode::parse(&text_or(self.mode, "hybrid"))?;
        search.filter = parse_filter(self.filter)?;
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

    /// The answer; `timeout_ms` limits each wait for a model.
    fn answer(self) -> Result<AnswerRow> {
        let question = self.question()?;
        ask_as_step("ask", &question, || bounded(&question)).map(row)
    }

    /// As [`answer`](Self::answer), in a subtransaction, so that the caller can continue after an error.
    fn try_answer(self) -> Result<AnswerRow> {
        let question = self.question()?;
        ask_as_step("try_ask", &question, || in_subtransaction(|| bounded(&question))).map(row)
    }
}

// Not parallel safe: the function switches roles, which a parallel leader does not pass on to its workers.
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

/// None after an error, unless the error ends the statement.
fn or_null<T>(result: Result<T>) -> Option<T> {
    match result {
        Err(error) if error.ends_statement() => error.raise(),
        result => result.ok(),
    }
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
