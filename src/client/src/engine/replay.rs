//! Lets a job call models and providers while no transaction is open: the calls of its function are recorded, its
//! transaction is rolled back, the calls are made, and the function is called again with their answers.
//!
//! A language model may answer the same question differently each time, and a failure may be transient. Each such answer is
//! therefore used once per run of the function, by the first call that matches, so that a question that the function asks
//! twice is sent twice. The results of models that compute (embeddings, ranks) are deterministic, and are used for all
//! matching calls.

use crate::engine::call::Call;
use crate::engine::client::Pending;
use crate::engine::pieces;
use ragstone_core::protocol::Response;
use ragstone_pg::error::{Error, Result};
use std::cell::RefCell;
use std::collections::VecDeque;

/// Maximum number of concurrent calls to language models of one job. The engine enforces each provider's own limit.
const MAX_COMPLETIONS_AT_ONCE: usize = 64;

/// Maximum number of other concurrent calls: each of them carries many texts.
const MAX_REQUESTS_AT_ONCE: usize = 8;

/// The calls of the job that this process runs, and their answers.
#[derive(Default)]
struct ReplayState {
    /// True while the job's function is running.
    active: bool,
    /// True if the function waited for a deferred call, so that the transaction is to be rolled back.
    suspended: bool,
    answers: Vec<Answer>,
    deferred: Vec<Call>,
}

/// A call that was made, and its answer.
struct Answer {
    call: Call,
    answer: Result<Response>,
    /// True if a call of this run of the function has used it.
    given: bool,
}

impl Answer {
    /// True if all matching calls of a run use it.
    fn is_shared(&self) -> bool {
        self.answer.is_ok() && !self.call.is_completion()
    }
}

thread_local! {
    static STATE: RefCell<ReplayState> = RefCell::default();
}

/// A call of a job's function. Its answer may be available only when the function is called again.
pub enum ReplayableCall {
    /// Sent to the engine; outside a job.
    Pending(Pending),
    /// Answered after an earlier run of the function.
    Answered(Result<Response>),
    /// To be made after the transaction of this run.
    Deferred,
}

/// Makes a call now, or defers it within a job. A caller that needs several answers makes all calls before it waits for the
/// first one, so that they run concurrently.
pub fn ask(call: Call) -> Result<ReplayableCall> {
    if !is_active() {
        return call.into_pending().map(ReplayableCall::Pending);
    }
    STATE.with_borrow_mut(|state| {
        if state.suspended {
            // This call may depend on an answer that is still missing.
            return Err(suspended());
        }
        let mut answers = state.answers.iter_mut();
        if let Some(answer) =
            answers.find(|answer| (answer.is_shared() || !answer.given) && answer.call.is_same(&call))
        {
            answer.given = true;
            return Ok(ReplayableCall::Answered(answer.answer.clone()));
        }
        if call.is_completion() || !state.deferred.iter().any(|deferred| deferred.is_same(&call)) {
            state.deferred.push(call);
        }
        Ok(ReplayableCall::Deferred)
    })
}

impl ReplayableCall {
    /// Waits for the answer. Its pieces are streamed to the session that follows the job.
    ///
    /// # Errors
    /// The engine's error, or [`suspended`] if the job's function has to be called again.
    pub fn wait(self) -> Result<Response> {
        match self {
            Self::Pending(pending) => receive_answer(pending),
            Self::Answered(answer) => answer,
            Self::Deferred => {
                STATE.with_borrow_mut(|state| state.suspended = true);
                Err(suspended())
            }
        }
    }
}

/// Runs `work`, a job's function, and defers its calls. The function is called again when they have been answered.
pub fn with_replay<T>(work: impl FnOnce() -> T) -> T {
    STATE.with_borrow_mut(|state| {
        (state.active, state.suspended) = (true, false);
        state.answers.iter_mut().for_each(|answer| answer.given = false);
    });
    let _end = ActiveGuard;
    work()
}

/// Marks the function as not running when it returns or unwinds.
struct ActiveGuard;

impl Drop for ActiveGuard {
    fn drop(&mut self) {
        STATE.with_borrow_mut(|state| state.active = false);
    }
}

/// True if a call made now is deferred.
pub fn is_active() -> bool {
    STATE.with_borrow(|state| state.active)
}

/// Drops calls and answers before the function of another job or step runs.
pub fn forget() {
    STATE.with_borrow_mut(|state| {
        state.answers.clear();
        state.deferred.clear();
    });
}

/// True if the job's function has to be called again; its result is then ignored.
pub fn has_deferred_calls() -> bool {
    STATE.with_borrow(|state| !state.deferred.is_empty())
}

/// The error that rolls back the transaction of a job with deferred calls.
pub fn suspended() -> Error {
    Error::internal("a job waits for an answer")
}

/// Makes the deferred calls concurrently. Must not be called in a transaction. An error counts as an answer; only a cancel
/// or the server's shutdown unwinds from here.
pub fn run_deferred_calls() {
    let mut calls = STATE.with_borrow_mut(|state| std::mem::take(&mut state.deferred)).into_iter().peekable();
    let mut under_way = VecDeque::new();
    loop {
        while let Some(call) = calls.next_if(|call| under_way.len() < max_at_once(call)) {
            under_way.push_back((call.send(), call));
        }
        let Some((started, call)) = under_way.pop_front() else { return };
        let answer = started.and_then(receive_answer);
        STATE.with_borrow_mut(|state| state.answers.push(Answer { call, answer, given: false }));
    }
}

fn max_at_once(call: &Call) -> usize {
    if call.is_completion() { MAX_COMPLETIONS_AT_ONCE } else { MAX_REQUESTS_AT_ONCE }
}

fn receive_answer(mut pending: Pending) -> Result<Response> {
    loop {
        match pending.receive_next()? {
            Response::Piece(piece) => pieces::post_piece(&piece),
            answer => return Ok(answer),
        }
    }
}
