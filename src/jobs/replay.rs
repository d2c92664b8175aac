//! How a job asks providers with no transaction open: what its function asks for is remembered, its transaction is given up,
//! the provider is asked, and the function is called again, which finds the answer.

use crate::pg::error::{Error, Outcome};
use crate::provider::Call;
use ragstone_core::provider::Completion;
use std::cell::RefCell;
use std::collections::VecDeque;

/// What is known of the calls of the job that this process works on.
#[derive(Default)]
struct Memory {
    answers: Vec<(Call, Outcome<Completion>)>,
    wanted: Vec<Call>,
}

thread_local! {
    static MEMORY: RefCell<Memory> = RefCell::default();
}

/// The answers to these calls, in their order, once all of them are there. Before that an error that ends the transaction.
///
/// # Errors
/// The job's function is to be called again when the providers have been asked.
pub fn answers(calls: Vec<Call>) -> Outcome<Vec<Outcome<Completion>>> {
    MEMORY.with_borrow_mut(|memory| {
        let known: Vec<_> = calls.iter().map(|call| memory.find(call)).collect();
        let missing = calls.into_iter().zip(&known).filter(|(_, known)| known.is_none());
        for (call, _) in missing {
            if !memory.wanted.iter().any(|wanted| wanted.is_same(&call)) {
                memory.wanted.push(call);
            }
        }
        if memory.wanted.is_empty() { Ok(known.into_iter().flatten().collect()) } else { Err(waiting()) }
    })
}

/// What follows is another work, whose questions are its own.
pub fn forget() {
    MEMORY.with_borrow_mut(|memory| memory.answers.clear());
}

/// Whether the job's function is to be called again, whatever it gave.
pub fn is_waiting() -> bool {
    MEMORY.with_borrow(|memory| !memory.wanted.is_empty())
}

/// The error that ends the transaction of a job which waits for a provider.
pub fn waiting() -> Error {
    Error::internal("a job waits for a provider")
}

/// Asks what the job's function has asked for, up to `at_once` calls together. Needs no transaction. `said` gets the pieces of
/// answers that are streamed. What fails is an answer as well; only a cancel or the end of the server unwinds from here.
pub fn ask(at_once: usize, said: impl Fn(&str)) {
    let mut calls = MEMORY.with_borrow_mut(|memory| std::mem::take(&mut memory.wanted)).into_iter();
    let mut under_way = VecDeque::new();
    loop {
        while under_way.len() < at_once.max(1)
            && let Some(call) = calls.next()
        {
            under_way.push_back((call.start(), call));
        }
        let Some((started, call)) = under_way.pop_front() else { return };
        let answer = started.and_then(|pieces| pieces.finish(&said));
        MEMORY.with_borrow_mut(|memory| memory.answers.push((call, answer)));
    }
}

impl Memory {
    fn find(&self, call: &Call) -> Option<Outcome<Completion>> {
        let answer = self.answers.iter().find(|(asked, _)| asked.is_same(call));
        answer.map(|(_, answer)| answer.clone())
    }
}
