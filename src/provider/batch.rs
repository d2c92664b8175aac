//! Many prompts in one statement, several of them in flight at once.

use crate::provider::call::{CallOptions, completion, notice_shortcoming};
use crate::provider::generator::Remote;
use ragstone_client::engine::replay;
use ragstone_core::provider::{Completion, Prompt};
use ragstone_pg::error::Result;
use std::collections::VecDeque;

/// Maximum number of calls that one statement keeps in flight. The provider may allow one role fewer.
const MAX_CALLS_IN_FLIGHT: usize = 64;

/// Sends all prompts and passes each answer to `answered`, in the order of the prompts.
pub fn send_all(
    remote: &Remote,
    prompts: impl Iterator<Item = Prompt>,
    options: CallOptions,
    mut answered: impl FnMut(Result<Completion>) -> Result<()>,
) -> Result<()> {
    let mut calls = prompts.map(|prompt| remote.prepare(prompt, options, false)).fuse();
    // In a job, calls are recorded now and made together after the transaction has ended, so none may be held back.
    let concurrency = remote.target.limits.concurrency_of_one_role();
    let limit = if replay::is_active() { usize::MAX } else { MAX_CALLS_IN_FLIGHT.min(concurrency) };
    let mut in_flight = VecDeque::new();
    loop {
        while in_flight.len() < limit
            && let Some(call) = calls.next()
        {
            in_flight.push_back(replay::ask(call?)?);
        }
        match in_flight.pop_front() {
            Some(call) => {
                let answer = call.wait().and_then(completion);
                remote.log_answer(options, &answer)?;
                if let Ok(completion) = &answer {
                    notice_shortcoming(completion);
                }
                answered(answer)?;
            }
            None => return Ok(()),
        }
    }
}
