//! A provider's language model answers from the passages.

use crate::ask::{Made, Question};
use crate::pg::error::{Error, Outcome};
use crate::provider::{CallOptions, Remote, count_tokens};
use crate::search::Hit;
use pgrx::PgSqlErrorCode;
use ragstone_core::ask::citations;
use ragstone_core::ask::prompt::{Source, beginning, fitting, is_no_answer, messages};
use ragstone_core::provider::Prompt;

/// Tokens that are kept free for an answer whose length is not bounded, if that is not more than a quarter of the window.
const ANSWER_TOKENS: u32 = 1024;

/// Share of the window that is kept free, one in so many: the tokens are counted by another model's tokenizer.
const RESERVE: u32 = 10;

/// Least tokens for passages.
const LEAST_ROOM: u32 = 64;

/// Tokens of what stands around a passage.
const FRAME: u32 = 48;

/// Has the model answer, and checks what it cites.
pub fn answer(remote: &Remote, question: &Question, hits: &[Hit]) -> Outcome<Made> {
    let shown = fit(remote, question, hits)?;
    let prompt = Prompt {
        messages: messages(&question.search.query, &shown, question.instructions.as_deref()),
        temperature: question.temperature,
        max_tokens: question.max_tokens,
        ..Prompt::default()
    };
    let options = CallOptions { function: "ask", timeout_ms: question.timeout_ms };
    let completion = remote.complete(prompt, options)?;
    let is_answer = !completion.content.trim().is_empty() && !is_no_answer(&completion.content);
    let contents: Vec<&str> = hits.iter().take(shown.len()).map(|hit| hit.content.as_str()).collect();
    Ok(Made {
        answer: is_answer.then(|| citations::check(&completion.content, &contents)),
        finish_reason: Some(completion.finish_reason),
    })
}

/// As many passages as the model's window has room for, as it is shown them: the first ones, or the beginning of the first.
fn fit(remote: &Remote, question: &Question, hits: &[Hit]) -> Outcome<Vec<String>> {
    let mut shown: Vec<String> = (1..).zip(hits).map(|(number, hit)| source(hit).render(number)).collect();
    let around = messages(&question.search.query, &[], question.instructions.as_deref());
    let mut texts: Vec<String> = around.into_iter().map(|message| message.content).collect();
    let frame = texts.len();
    texts.extend(shown.iter().cloned());
    let counts = count_tokens(texts, None)?;
    let (around, passages) = counts.split_at(frame.min(counts.len()));
    let room = room(remote, question, around.iter().sum())?;
    let fits = fitting(passages, room);
    shown.truncate(fits.max(1));
    if let (0, Some(hit), Some(tokens)) = (fits, hits.first(), passages.first()) {
        let content = beginning(&hit.content, *tokens, room.saturating_sub(FRAME));
        shown = vec![Source { content, ..source(hit) }.render(1)];
    }
    Ok(shown)
}

/// Tokens that are left for passages beside `around` tokens of instructions and question.
fn room(remote: &Remote, question: &Question, around: u32) -> Outcome<u32> {
    let window = remote.context_tokens;
    let answer = question.max_tokens.unwrap_or_else(|| ANSWER_TOKENS.min(window / 4));
    let room = (window - window / RESERVE).saturating_sub(answer).saturating_sub(around);
    if room >= LEAST_ROOM {
        return Ok(room);
    }
    Err(Error::new(
        PgSqlErrorCode::ERRCODE_PROGRAM_LIMIT_EXCEEDED,
        format!("no room for passages in a context window of {window} tokens"),
    )
    .detail(format!("the question and its instructions take {around} tokens, the answer {answer}"))
    .hint("Lower max_tokens, shorten the question, or set the server's option context_window."))
}

fn source(hit: &Hit) -> Source<'_> {
    Source { title: hit.title.as_deref(), heading: hit.heading.as_deref(), content: &hit.content }
}
