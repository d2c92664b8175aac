//! Calls to a provider's language model, through the engine.

use crate::provider::account::account;
use crate::provider::generator::Remote;
use pgrx::PgLogLevel;
use ragstone_client::engine::call::Call;
use ragstone_client::engine::pieces;
use ragstone_client::engine::replay;
use ragstone_client::processes::place::Place;
use ragstone_client::processes::slots;
use ragstone_core::protocol::{Request, Response};
use ragstone_core::provider::{Completion, Prompt};
use ragstone_pg::error::{Error, Result};
use ragstone_pg::text::{replace_unencodable, replace_unencodable_in_json};

/// The options of a call that are not part of the prompt.
#[derive(Debug, Clone, Copy)]
pub struct CallOptions {
    /// Name of the SQL function, for `rag.calls`.
    pub function: &'static str,
    /// Timeout, in milliseconds; None stands for the server's option `timeout_ms`.
    pub timeout_ms: Option<i32>,
}

impl Remote {
    /// Sends a prompt and waits for the whole answer.
    ///
    /// # Errors
    /// Errors of the provider, as the engine reports them; 57P03 if the engine ended in the meantime.
    pub fn complete(&self, prompt: Prompt, options: CallOptions) -> Result<Completion> {
        completion(replay::ask(self.prepare(prompt, options, false)?)?.wait()?)
    }

    /// As [`Self::complete`]. In the worker of a job the answer is streamed, so that the submitter can read
    /// its pieces as they arrive.
    pub fn complete_streaming(&self, prompt: Prompt, options: CallOptions) -> Result<Completion> {
        completion(replay::ask(self.prepare(prompt, options, pieces::is_streaming())?)?.wait()?)
    }

    /// Prepares a call that can be started while no transaction is open.
    pub fn prepare(&self, prompt: Prompt, options: CallOptions, stream: bool) -> Result<Call> {
        let mut target = self.key_file.complete(&self.target)?;
        match options.timeout_ms.map(u64::try_from) {
            None => {}
            Some(Ok(timeout)) if timeout > 0 => target.limits.timeout_ms = timeout,
            Some(_) => return Err(Error::bad_argument("timeout_ms must be more than 0")),
        }
        let account = account(&target.name, options.function)?;
        let prompt = Box::new(Prompt { model: self.model.clone(), ..prompt });
        // The database's coordinator writes `rag.calls`.
        slots::ensure(Place::Coordinator);
        let limits = target.limits;
        Ok(Call::with_limits(
            &limits,
            Request::Complete { target: Box::new(target), prompt, account, stream },
        ))
    }
}

/// Tells the user what an answer lacks that is no whole answer.
pub fn notice_shortcoming(completion: &Completion) {
    if let Some(shortcoming) = completion.shortcoming() {
        let hint = match completion.finish_reason.as_str() {
            "length" => "Raise max_tokens, or ask for a shorter answer.",
            "content_filter" => "Change the prompt, or use another model.",
            _ => "Raise max_tokens if the model thinks before it answers, or use another model.",
        };
        Error::information(format!("the answer of the model {shortcoming}"))
            .detail(format!("finish_reason {}", completion.finish_reason))
            .hint(hint)
            .notice(PgLogLevel::NOTICE);
    }
}

/// The completion in a response of the engine. Needs a transaction if the encoding of the database is not UTF-8.
pub fn completion(answer: Response) -> Result<Completion> {
    match answer {
        Response::Completed(mut completion) => {
            completion.content = replace_unencodable(completion.content).into_owned();
            completion.finish_reason = replace_unencodable(completion.finish_reason).into_owned();
            completion.tool_calls = completion.tool_calls.map(|calls| replace_unencodable_in_json(&calls));
            for name in &completion.left_out {
                Error::information(format!("the model does not accept \"{name}\" in this form"))
                    .detail("the request was sent without it, or with the form that the model accepts, and so will be later ones")
                    .notice(PgLogLevel::NOTICE);
            }
            Ok(*completion)
        }
        other => Err(Error::internal(format!("unexpected answer to a completion request: {other:?}"))),
    }
}
