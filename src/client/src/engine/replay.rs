//! How a job asks models and providers with no transaction open: what its function asks for is remembered, its transaction is
//! given up, the answers are waited for, and the function is called again, which finds them.

use crate::engine::call::Call;
use crate::engine::client::Pending;
use crate::engine::pieces;
use ragstone_core::protocol::Response;
use ragstone_pg::error::{Error, Result};
use std::cell::RefCell;
use std::collections::VecDeque;

/// Most questions that a job has put to providers' language models at a time. The engine holds each provider's own bound.
const MAX_COMPLETIONS_AT_ONCE: usize = 64;

/// Most other requests: each of them holds many texts.
const MAX_REQUESTS_AT_ONCE: usize = 8;

/// What is known of the calls of the job that this process works on.
#[derive(Default)]
struct ReplayState {
    /// Whether a function is under way that is called again.
    active: bool,
    /// Whether it was told that its transaction ends.
    suspended: bool,
    answers: Vec<(Call, Result<Response>)>,
    deferred: Vec<Call>,
}

thread_local! {
    static STATE: RefCell<ReplayState> = RefCell::default();
}

/// An answer that is on its way, or known, or will be when the function is called again.
pub enum ReplayableCall {
    /// The engine was asked.
    Pending(Pending),
    /// It was asked before.
    Answered(Result<Response>),
    /// It will be asked.
    Deferred,
}

/// Asks now, or has it asked when the job's transaction has ended. Whoever needs several answers asks for all of them before he
/// waits for the first, so that they are asked for together.
pub fn ask(call: Call) -> Result<ReplayableCall> {
    if !is_active() {
        return call.into_pending().map(ReplayableCall::Pending);
    }
    STATE.with_borrow_mut(|state| {
        if state.suspended {
            // What is asked for by now comes of an answer that was not there.
            return Err(suspended());
        }
        if let Some((_, answer)) = state.answers.iter().find(|(asked, _)| asked.is_same(&call)) {
            return Ok(ReplayableCall::Answered(answer.clone()));
        }
        if !state.deferred.iter().any(|deferred| deferred.is_same(&call)) {
            state.deferred.push(call);
        }
        Ok(ReplayableCall::Deferred)
    })
}

impl ReplayableCall {
    /// Waits for the answer. Whoever reads along gets its pieces.
    ///
    /// # Errors
    /// That of the engine, or the job's function is to be called again.
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

/// Does `work`, a call of a job's function, which is called again when what it asks for has been answered.
pub fn with_replay<T>(work: impl FnOnce() -> T) -> T {
    STATE.with_borrow_mut(|state| (state.active, state.suspended) = (true, false));
    let _end = ActiveGuard;
    work()
}

/// Also where the work unwinds.
struct ActiveGuard;

impl Drop for ActiveGuard {
    fn drop(&mut self) {
        STATE.with_borrow_mut(|state| state.active = false);
    }
}

/// Whether what is asked for now is asked after the transaction.
pub fn is_active() -> bool {
    STATE.with_borrow(|state| state.active)
}

/// What follows is another work, whose questions are its own.
pub fn forget() {
    STATE.with_borrow_mut(|state| {
        state.answers.clear();
        state.deferred.clear();
    });
}

/// Whether the job's function is to be called again, whatever it gave.
pub fn has_deferred_calls() -> bool {
    STATE.with_borrow(|state| !state.deferred.is_empty())
}

/// The error that ends the transaction of a job which waits for an answer.
pub fn suspended() -> Error {
    Error::internal("a job waits for an answer")
}

/// Asks what the job's function has asked for, several at once. Needs no transaction. What fails is an answer as well; only a
/// cancel or the end of the server unwinds from here.
pub fn run_deferred_calls() {
    let mut calls = STATE.with_borrow_mut(|state| std::mem::take(&mut state.deferred)).into_iter().peekable();
    let mut under_way = VecDeque::new();
    loop {
        while let Some(call) = calls.next_if(|call| under_way.len() < max_at_once(call)) {
            under_way.push_back((call.send(), call));
        }
        let Some((started, call)) = under_way.pop_front() else { return };
        let answer = started.and_then(receive_answer);
        STATE.with_borrow_mut(|state| state.answers.push((call, answer)));
    }
}

fn max_at_once(call: &Call) -> usize {
    if call.is_completion() { MAX_COMPLETIONS_AT_ONCE } else { MAX_REQUESTS_AT_ONCE }
}

fn receive_answer(mut pending: Pending) -> Result<Response> {
    loop {
        match pending.next()? {
            Response::Piece(piece) => pieces::post_piece(&piece),
            answer => return Ok(answer),
        }
    }
}
