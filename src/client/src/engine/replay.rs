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
const QUESTIONS_AT_ONCE: usize = 64;

/// Most other requests: each of them holds many texts.
const REQUESTS_AT_ONCE: usize = 8;

/// What is known of the calls of the job that this process works on.
#[derive(Default)]
struct Memory {
    /// Whether a function is under way that is called again.
    active: bool,
    /// Whether it was told that its transaction ends.
    given_up: bool,
    answers: Vec<(Call, Result<Response>)>,
    wanted: Vec<Call>,
}

thread_local! {
    static MEMORY: RefCell<Memory> = RefCell::default();
}

/// An answer that is on its way, or known, or will be when the function is called again.
pub enum Asked {
    /// The engine was asked.
    UnderWay(Pending),
    /// It was asked before.
    Known(Result<Response>),
    /// It will be asked.
    Wanted,
}

/// Asks now, or has it asked when the job's transaction has ended. Whoever needs several answers asks for all of them before he
/// waits for the first, so that they are asked for together.
pub fn ask(call: Call) -> Result<Asked> {
    if !is_active() {
        return call.begin().map(Asked::UnderWay);
    }
    MEMORY.with_borrow_mut(|memory| {
        if memory.given_up {
            // What is asked for by now comes of an answer that was not there.
            return Err(waiting());
        }
        if let Some((_, answer)) = memory.answers.iter().find(|(asked, _)| asked.is_same(&call)) {
            return Ok(Asked::Known(answer.clone()));
        }
        if !memory.wanted.iter().any(|wanted| wanted.is_same(&call)) {
            memory.wanted.push(call);
        }
        Ok(Asked::Wanted)
    })
}

impl Asked {
    /// Waits for the answer. Whoever reads along gets its pieces.
    ///
    /// # Errors
    /// That of the engine, or the job's function is to be called again.
    pub fn wait(self) -> Result<Response> {
        match self {
            Self::UnderWay(pending) => finish(pending),
            Self::Known(answer) => answer,
            Self::Wanted => {
                MEMORY.with_borrow_mut(|memory| memory.given_up = true);
                Err(waiting())
            }
        }
    }
}

/// Does `work`, a call of a job's function, which is called again when what it asks for has been answered.
pub fn during<T>(work: impl FnOnce() -> T) -> T {
    MEMORY.with_borrow_mut(|memory| (memory.active, memory.given_up) = (true, false));
    let _end = End;
    work()
}

/// Also where the work unwinds.
struct End;

impl Drop for End {
    fn drop(&mut self) {
        MEMORY.with_borrow_mut(|memory| memory.active = false);
    }
}

/// Whether what is asked for now is asked after the transaction.
pub fn is_active() -> bool {
    MEMORY.with_borrow(|memory| memory.active)
}

/// What follows is another work, whose questions are its own.
pub fn forget() {
    MEMORY.with_borrow_mut(|memory| {
        memory.answers.clear();
        memory.wanted.clear();
    });
}

/// Whether the job's function is to be called again, whatever it gave.
pub fn is_waiting() -> bool {
    MEMORY.with_borrow(|memory| !memory.wanted.is_empty())
}

/// The error that ends the transaction of a job which waits for an answer.
pub fn waiting() -> Error {
    Error::internal("a job waits for an answer")
}

/// Asks what the job's function has asked for, several at once. Needs no transaction. What fails is an answer as well; only a
/// cancel or the end of the server unwinds from here.
pub fn ask_wanted() {
    let mut calls =
        MEMORY.with_borrow_mut(|memory| std::mem::take(&mut memory.wanted)).into_iter().peekable();
    let mut under_way = VecDeque::new();
    loop {
        while let Some(call) = calls.next_if(|call| under_way.len() < most_at_once(call)) {
            under_way.push_back((call.start(), call));
        }
        let Some((started, call)) = under_way.pop_front() else { return };
        let answer = started.and_then(finish);
        MEMORY.with_borrow_mut(|memory| memory.answers.push((call, answer)));
    }
}

fn most_at_once(call: &Call) -> usize {
    if call.is_completion() { QUESTIONS_AT_ONCE } else { REQUESTS_AT_ONCE }
}

fn finish(mut pending: Pending) -> Result<Response> {
    loop {
        match pending.next()? {
            Response::Piece(piece) => pieces::piece(&piece),
            answer => return Ok(answer),
        }
    }
}
