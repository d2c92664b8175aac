//! One turn of a conversation with a streamed answer, which is stored after its last delta.

use crate::ask;
use crate::ask::StreamedAnswer;
use crate::chat::step::TurnStep;
use crate::chat::turn::{AnswerSource, ChatReply, PreparedTurn, Turn, prepare};
use crate::provider::Deltas;
use ragstone_core::ask::prompt::NO_ANSWER;
use ragstone_pg::error::{Error, Result};

/// The deltas of an answer.
pub struct ChatDeltas {
    prepared: PreparedTurn,
    state: StreamState,
    step: Option<TurnStep>,
}

enum StreamState {
    /// The whole answer is known and stored.
    Whole(ChatReply),
    /// An answer from a collection. Its beginning is held back while it may still become the marker for no
    /// answer.
    Collection { streamed: Box<StreamedAnswer>, held: Option<String>, has_deltas: bool },
    /// An answer from a language model alone.
    Model { deltas: Box<Deltas>, model: String },
    /// The answer has ended.
    Ended,
}

enum Next {
    Delta(String),
    /// The last part of the answer, if any, and the whole reply.
    Last(Option<String>, ChatReply),
    Nothing,
}

/// Executes a turn and returns the deltas of the answer as they arrive. The turn is a step of the session's
/// current run; it is logged after the last delta.
///
/// # Errors
/// As [`chat`](crate::chat::turn::chat).
pub fn chat_stream(turn: &Turn) -> Result<ChatDeltas> {
    let mut step = TurnStep::begin(turn)?;
    match within(step.as_ref(), || begin(turn)) {
        Ok((prepared, state)) => Ok(ChatDeltas { prepared, state, step }),
        Err(error) => Err(failed(&mut step, error)),
    }
}

fn begin(turn: &Turn) -> Result<(PreparedTurn, StreamState)> {
    let prepared = prepare(turn)?;
    let state = match &prepared.source {
        AnswerSource::Collection(question) => match ask::stream(question)? {
            Ok(streamed) => StreamState::Collection {
                streamed: Box::new(streamed),
                held: Some(String::new()),
                has_deltas: false,
            },
            Err(answered) => StreamState::Whole(prepared.write_collection_answer(answered)?),
        },
        AnswerSource::Model(remote, prompt) => StreamState::Model {
            deltas: Box::new(remote.stream(prompt.clone(), turn.options())?),
            model: remote.name(),
        },
    };
    Ok((prepared, state))
}

impl Iterator for ChatDeltas {
    type Item = Result<String>;

    fn next(&mut self) -> Option<Self::Item> {
        let Self { prepared, state, step } = self;
        match within(step.as_ref(), || advance(prepared, state)) {
            Ok(Next::Delta(delta)) => Some(Ok(delta)),
            Ok(Next::Last(delta, reply)) => match end(step, &Ok(reply)) {
                Ok(()) => delta.map(Ok),
                Err(error) => Some(Err(error)),
            },
            Ok(Next::Nothing) => None,
            Err(error) => Some(Err(failed(step, error))),
        }
    }
}

/// The next delta. After the last delta or an error, it returns [`Next::Nothing`].
fn advance(prepared: &PreparedTurn, state: &mut StreamState) -> Result<Next> {
    let (delta, now) = match std::mem::replace(state, StreamState::Ended) {
        StreamState::Ended => return Ok(Next::Nothing),
        StreamState::Whole(reply) => return Ok(Next::Last(Some(reply.answer.clone()), reply)),
        StreamState::Model { mut deltas, model } => match deltas.next().transpose()? {
            Some(delta) => (delta, StreamState::Model { deltas, model }),
            None => {
                let completion = deltas.completion();
                let completion = completion.ok_or_else(|| Error::internal("an answer that has not ended"))?;
                return Ok(Next::Last(None, prepared.write_model_answer(completion, &model)?));
            }
        },
        StreamState::Collection { mut streamed, mut held, has_deltas } => {
            match next_of(&mut streamed, &mut held)? {
                Some(delta) => (delta, StreamState::Collection { streamed, held, has_deltas: true }),
                None => {
                    let reply = prepared.write_collection_answer(streamed.answered()?)?;
                    let rest = (!reply.answered).then(|| streamed.unanswered(has_deltas)).flatten();
                    return Ok(Next::Last(rest, reply));
                }
            }
        }
    };
    *state = now;
    Ok(Next::Delta(delta))
}

fn within<T>(step: Option<&TurnStep>, work: impl FnOnce() -> T) -> T {
    match step {
        Some(step) => step.within(work),
        None => work(),
    }
}

fn end(step: &mut Option<TurnStep>, done: &Result<ChatReply>) -> Result<()> {
    step.take().map_or(Ok(()), |step| step.end(done))
}

/// Logs an error. Returns this error, or the error of logging it.
fn failed(step: &mut Option<TurnStep>, error: Error) -> Error {
    end(step, &Err(error.clone())).err().unwrap_or(error)
}

fn next_of(streamed: &mut StreamedAnswer, held: &mut Option<String>) -> Result<Option<String>> {
    loop {
        let delta = streamed.pieces.next().transpose()?;
        let Some(mut beginning) = held.take() else { return Ok(delta) };
        let Some(delta) = delta else {
            // The answer ended while it could still be the marker.
            let is_marker =
                ragstone_core::ask::prompt::is_no_answer(&beginning) || beginning.trim().is_empty();
            return Ok((!is_marker).then_some(beginning));
        };
        beginning.push_str(&delta);
        let letters = beginning.trim_start_matches(|c: char| !c.is_alphanumeric());
        if letters.starts_with(NO_ANSWER) || NO_ANSWER.starts_with(letters) {
            *held = Some(beginning);
        } else {
            return Ok(Some(beginning));
        }
    }
}
