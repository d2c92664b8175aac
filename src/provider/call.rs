//! Calls to a provider's language model, through the engine.

use crate::jobs;
use crate::pg::error::{Error, Outcome};
use crate::provider::account::account;
use crate::provider::generator::Remote;
use crate::worker::client::{self, Pending};
use crate::worker::slots;
use ragstone_core::protocol::{Request, Response};
use ragstone_core::provider::{Completion, Prompt};
use std::collections::VecDeque;
use std::time::Duration;

/// The engine ends a call in time by itself, and says more about it.
const MARGIN: Duration = Duration::from_secs(2);

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
}

/// A call with all that it needs: what is left needs no transaction.
#[derive(Debug, Clone)]
pub struct Call {
    request: Request,
    patience: Duration,
}

impl Call {
    /// Whether both ask the same of the same. For whom, and what his budgets have left, may have changed in between.
    pub fn is_same(&self, other: &Self) -> bool {
        match (&self.request, &other.request) {
            (
                Request::Complete { target: a, prompt: p, .. },
                Request::Complete { target: b, prompt: q, .. },
            ) => a == b && p == q,
            _ => false,
        }
    }

    /// Puts it on its way.
    pub fn start(&self) -> Outcome<Pieces> {
        let pending = Some(client::send_for(self.request.clone(), self.patience)?);
        Ok(Pieces { pending, completion: None })
    }
}

impl Remote {
    /// Asks, and waits for the whole answer.
    ///
    /// # Errors
    /// What the engine says of the provider; 57P03 where the engine ended meanwhile.
    pub fn complete(&self, prompt: Prompt, options: CallOptions) -> Outcome<Completion> {
        self.answer(self.prepare(prompt, options, false)?)
    }

    /// The same for an answer that somebody may read along: the worker of a job hands on its pieces as they come.
    pub fn complete_aloud(&self, prompt: Prompt, options: CallOptions) -> Outcome<Completion> {
        self.answer(self.prepare(prompt, options, jobs::is_read_along())?)
    }

    /// Asks, and gives the answer piece by piece.
    pub fn stream(&self, prompt: Prompt, options: CallOptions) -> Outcome<Pieces> {
        self.prepare(prompt, options, true)?.start()
    }

    fn answer(&self, call: Call) -> Outcome<Completion> {
        if jobs::is_read_along() {
            return jobs::answers(vec![call])?
                .pop()
                .unwrap_or_else(|| Err(Error::internal("no answer to a call")));
        }
        call.start()?.finish(|_| {})
    }

    /// A call that is to be started where no transaction is open.
    pub fn prepare(&self, prompt: Prompt, options: CallOptions, stream: bool) -> Outcome<Call> {
        let mut target = self.target.clone();
        match options.timeout_ms.map(u64::try_from) {
            None => {}
            Some(Ok(timeout)) if timeout > 0 => target.limits.timeout_ms = timeout,
            Some(_) => return Err(Error::bad_argument("timeout_ms must be more than 0")),
        }
        let patience = Duration::from_millis(target.limits.timeout_ms) + MARGIN;
        let account = account(&target.name, options.function)?;
        let prompt = Box::new(Prompt { model: self.model.clone(), ..prompt });
        // Whoever writes down what was called.
        slots::ensure();
        Ok(Call {
            request: Request::Complete { target: Box::new(target), prompt, account, stream },
            patience,
        })
    }
}

/// Asks one question after the other, several of them at once, and hands on each answer in the order of the questions.
pub fn send_all(
    remote: &Remote,
    prompts: impl Iterator<Item = Prompt>,
    options: CallOptions,
    mut answered: impl FnMut(Outcome<Completion>) -> Outcome<()>,
) -> Outcome<()> {
    let mut calls = prompts.map(|prompt| remote.prepare(prompt, options, false)).fuse();
    if jobs::is_read_along() {
        return jobs::answers(calls.collect::<Outcome<_>>()?)?.into_iter().try_for_each(answered);
    }
    let most = MOST_UNDER_WAY.min(remote.target.limits.concurrency as usize);
    let mut under_way = VecDeque::new();
    loop {
        while under_way.len() < most
            && let Some(call) = calls.next()
        {
            under_way.push_back(call?.start()?);
        }
        match under_way.pop_front() {
            Some(pieces) => answered(pieces.finish(|_| {}))?,
            None => return Ok(()),
        }
    }
}

impl Pieces {
    /// The answer as a whole, once all pieces have come.
    pub fn completion(&self) -> Option<&Completion> {
        self.completion.as_ref()
    }

    /// Waits for the whole answer; `said` gets its pieces as they come.
    pub fn finish(mut self, mut said: impl FnMut(&str)) -> Outcome<Completion> {
        for piece in self.by_ref() {
            said(&piece?);
        }
        self.completion.ok_or_else(|| Error::internal("an answer has ended without its completion"))
    }
}

impl Iterator for Pieces {
    type Item = Outcome<String>;

    fn next(&mut self) -> Option<Self::Item> {
        match self.pending.as_mut()?.next() {
            Ok(Response::Piece(piece)) => Some(Ok(sayable(piece))),
            Ok(last) => {
                self.pending = None;
                match completion(last) {
                    Ok(completion) => {
                        self.completion = Some(completion);
                        None
                    }
                    Err(error) => Some(Err(error)),
                }
            }
            Err(error) => {
                self.pending = None;
                Some(Err(error))
            }
        }
    }
}

fn completion(answer: Response) -> Outcome<Completion> {
    match answer {
        Response::Completed(mut completion) => {
            completion.content = sayable(std::mem::take(&mut completion.content));
            Ok(*completion)
        }
        other => Err(Error::internal(format!("unexpected answer to a completion request: {other:?}"))),
    }
}

/// The text as SQL can have it: JSON may hold the character of code 0, a `text` may not.
fn sayable(text: String) -> String {
    if text.contains('\0') { text.replace('\0', "\u{fffd}") } else { text }
}
