//! Answers with a provider's language model.

use crate::ask::draft::Draft;
use crate::ask::request::Question;
use crate::embedding::tokens::count_tokens_generously;
use crate::provider::{CallOptions, Remote, notice_shortcoming};
use crate::search::Hit;
use ragstone_core::ask::citations;
use ragstone_core::ask::prompt::{PromptPassage, beginning, fitting, is_no_answer, messages};
use ragstone_core::provider::{Completion, Message, Prompt};
use ragstone_pg::error::{Error, Result};

/// Tokens reserved for an answer without a maximum length, but at most a quarter of the context window.
const DEFAULT_ANSWER_TOKENS: u32 = 1024;

/// 1 / `WINDOW_RESERVE` of the context window is reserved, because tokens are counted with another model's
/// tokenizer.
const WINDOW_RESERVE: u32 = 10;

/// Minimum number of tokens for passages.
const MIN_PASSAGE_TOKENS: u32 = 64;

/// Number of tokens in the prompt that surround each passage.
const PASSAGE_OVERHEAD_TOKENS: u32 = 48;

/// A prompt, and the number of passages in it.
pub struct PreparedPrompt {
    /// The prompt.
    pub prompt: Prompt,
    /// Number of passages.
    pub shown: usize,
}

/// Calls the model, and checks its citations.
pub fn answer(remote: &Remote, question: &Question, hits: &[Hit]) -> Result<Draft> {
    let options = CallOptions { function: question.function, timeout_ms: question.timeout_ms };
    let mut hits = hits;
    loop {
        let prepared = prepare(remote, question, hits)?;
        match remote.complete_streaming_as_step(prepared.prompt, options) {
            Ok(completion) => {
                notice_shortcoming(&completion);
                return Ok(check(&completion, hits, prepared.shown));
            }
            // Tokens were counted with another model's tokenizer, so fewer passages may fit.
            Err(error) if is_too_long(&error) && prepared.shown > 1 => hits = &hits[..prepared.shown / 2],
            Err(error) => return Err(error),
        }
    }
}

fn is_too_long(error: &Error) -> bool {
    error.is_over_limit()
}

/// Builds a prompt of the question and as many passages as fit.
pub fn prepare(remote: &Remote, question: &Question, hits: &[Hit]) -> Result<PreparedPrompt> {
    let shown = fit(remote, question, hits)?;
    let prompt = Prompt {
        messages: conversation(question, &shown),
        temperature: question.temperature,
        max_tokens: question.max_tokens,
        ..Prompt::default()
    };
    Ok(PreparedPrompt { prompt, shown: shown.len() })
}

/// The model's answer, with checked citations.
pub fn check(completion: &Completion, hits: &[Hit], shown: usize) -> Draft {
    let said = completion.content.trim();
    let is_answer = !said.is_empty() && !is_no_answer(said);
    let contents: Vec<&str> = hits.iter().take(shown).map(|hit| hit.chunk.stored.content.as_str()).collect();
    Draft {
        answer: is_answer.then(|| citations::check(said, &contents)),
        finish_reason: Some(completion.finish_reason.clone()),
        shortcoming: completion.shortcoming(),
    }
}

/// Instructions, history, and the question with its passages.
fn conversation(question: &Question, passages: &[String]) -> Vec<Message> {
    let mut conversation = messages(&question.search.query, passages, question.instructions.as_deref());
    conversation.splice(1..1, question.history.iter().cloned());
    conversation
}

/// The passages that fit in the context window, rendered for the prompt: the first ones, or the beginning of the first.
fn fit(remote: &Remote, question: &Question, hits: &[Hit]) -> Result<Vec<String>> {
    let mut shown: Vec<String> = (1..).zip(hits).map(|(number, hit)| source(hit).render(number)).collect();
    let mut texts: Vec<String> =
        conversation(question, &[]).into_iter().map(|message| message.content).collect();
    let frame = texts.len();
    texts.extend(shown.iter().cloned());
    let counts = count_tokens_generously(texts)?;
    let (around, passages) = counts.split_at(frame.min(counts.len()));
    let room = room(remote, question, around.iter().sum())?;
    let fits = fitting(passages, room);
    shown.truncate(fits.max(1));
    if let (0, Some(hit), Some(tokens)) = (fits, hits.first(), passages.first()) {
        let content =
            beginning(&hit.chunk.stored.content, *tokens, room.saturating_sub(PASSAGE_OVERHEAD_TOKENS));
        shown = vec![PromptPassage { content, ..source(hit) }.render(1)];
    }
    Ok(shown)
}

/// Number of tokens that remain for passages; `around` is the number of tokens of instructions and question.
fn room(remote: &Remote, question: &Question, around: u32) -> Result<u32> {
    let window = remote.context_tokens;
    let answer = question.max_tokens.unwrap_or_else(|| DEFAULT_ANSWER_TOKENS.min(window / 4));
    let room = (window - window / WINDOW_RESERVE).saturating_sub(answer).saturating_sub(around);
    if room >= MIN_PASSAGE_TOKENS {
        return Ok(room);
    }
    Err(Error::over_limit(format!("no room for passages in a context window of {window} tokens"))
        .detail(format!("The question and its instructions take {around} tokens, and the answer {answer}."))
        .hint("Lower max_tokens, shorten the question, or set the server's option context_window."))
}

fn source(hit: &Hit) -> PromptPassage<'_> {
    PromptPassage {
        title: hit.chunk.row.title.as_deref(),
        heading: hit.chunk.stored.heading.as_deref(),
        content: &hit.chunk.stored.content,
    }
}
