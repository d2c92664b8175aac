//! Calls to a provider's language model, through the engine.

use crate::provider::account::account;
use crate::provider::generator::Remote;
use crate::provider::step::ModelStep;
use ragstone_client::engine::call::Call;
use ragstone_client::engine::client::Pending;
use ragstone_client::engine::pieces;
use ragstone_client::engine::replay;
use ragstone_client::processes::slots;
use ragstone_core::protocol::{Request, Response};
use ragstone_core::provider::{Completion, Prompt};
use ragstone_pg::error::{Error, Result};
use ragstone_pg::text::{replace_unencodable, replace_unencodable_in_json};
use std::collections::VecDeque;

/// Most calls that one statement keeps under way. The provider's own concurrency holds as well.
const MOST_UNDER_WAY: usize = 64;

/// What concerns the call and not the prompt.
#[derive(Debug, Clone, Copy)]
pub struct CallOptions {
    /// Name of the SQL function, for the record.
    pub function: &'static str,
    /// Longest time, milliseconds; the server's own if none.
    pub timeout_ms: Option<i32>,
}

/// The pieces of an answer as they come.
pub struct Pieces {
    pending: Option<Pending>,
    completion: Option<Completion>,
    step: Option<ModelStep>,
}

impl Remote {
    /// Asks, and waits for the whole answer.
    ///
    /// # Errors
    /// What the engine says of the provider; 57P03 where the engine ended meanwhile.
    pub fn complete(&self, prompt: Prompt, options: CallOptions) -> Result<Completion> {
        completion(replay::ask(self.prepare(prompt, options, false)?)?.wait()?)
    }

    /// The same for an answer that somebody may read along: the worker of a job hands on its pieces as they come.
    pub fn complete_aloud(&self, prompt: Prompt, options: CallOptions) -> Result<Completion> {
        completion(replay::ask(self.prepare(prompt, options, pieces::is_streaming())?)?.wait()?)
    }

    /// Asks, and gives the answer piece by piece.
    pub fn stream(&self, prompt: Prompt, options: CallOptions) -> Result<Pieces> {
        let step = self.begin_step(&prompt, options)?;
        let pending = Some(self.prepare(prompt, options, true)?.into_pending()?);
        Ok(Pieces { pending, completion: None, step })
    }

    /// A call that is to be started where no transaction is open.
    pub fn prepare(&self, prompt: Prompt, options: CallOptions, stream: bool) -> Result<Call> {
        let mut target = self.target.clone();
        match options.timeout_ms.map(u64::try_from) {
            None => {}
            Some(Ok(timeout)) if timeout > 0 => target.limits.timeout_ms = timeout,
            Some(_) => return Err(Error::bad_argument("timeout_ms must be more than 0")),
        }
        let account = account(&target.name, options.function)?;
        let prompt = Box::new(Prompt { model: self.model.clone(), ..prompt });
        // Whoever writes down what was called.
        slots::ensure();
        let limits = target.limits;
        Ok(Call::with_limits(
            &limits,
            Request::Complete { target: Box::new(target), prompt, account, stream },
        ))
    }
}

/// Asks one question after the other, several of them at once, and hands on each answer in the order of the questions.
pub fn send_all(
    remote: &Remote,
    prompts: impl Iterator<Item = Prompt>,
    options: CallOptions,
    mut answered: impl FnMut(Result<Completion>) -> Result<()>,
) -> Result<()> {
    let mut calls = prompts.map(|prompt| remote.prepare(prompt, options, false)).fuse();
    // What is asked for between two transactions is asked for all at once.
    let concurrency = remote.target.limits.concurrency as usize;
    let most = if replay::is_active() { usize::MAX } else { MOST_UNDER_WAY.min(concurrency) };
    let mut under_way = VecDeque::new();
    loop {
        while under_way.len() < most
            && let Some(call) = calls.next()
        {
            under_way.push_back(replay::ask(call?)?);
        }
        match under_way.pop_front() {
            Some(asked) => {
                let answer = asked.wait().and_then(completion);
                remote.log_answer(options, &answer)?;
                answered(answer)?;
            }
            None => return Ok(()),
        }
    }
}

impl Pieces {
    /// The answer as a whole, once all pieces have come.
    pub fn completion(&self) -> Option<&Completion> {
        self.completion.as_ref()
    }

    fn advance(&mut self) -> Result<Option<String>> {
        let Some(pending) = &mut self.pending else { return Ok(None) };
        let last = match pending.receive_next() {
            Ok(Response::Piece(piece)) => return Ok(Some(replace_unencodable(piece).into_owned())),
            last => last,
        };
        self.pending = None;
        let answer = last.and_then(completion);
        if let Some(step) = self.step.take() {
            step.end(&answer)?;
        }
        self.completion = Some(answer?);
        Ok(None)
    }
}

impl Iterator for Pieces {
    type Item = Result<String>;

    fn next(&mut self) -> Option<Self::Item> {
        self.advance().transpose()
    }
}

/// What a language model answered. Needs a transaction where the encoding of the database is not UTF-8.
pub fn completion(answer: Response) -> Result<Completion> {
    match answer {
        Response::Completed(mut completion) => {
            completion.content = replace_unencodable(completion.content).into_owned();
            completion.finish_reason = replace_unencodable(completion.finish_reason).into_owned();
            completion.tool_calls = completion.tool_calls.map(|calls| replace_unencodable_in_json(&calls));
            Ok(*completion)
        }
        other => Err(Error::internal(format!("unexpected answer to a completion request: {other:?}"))),
    }
}
