//! One turn of a conversation, its answer piece by piece. The answer is written down when its last piece has come.

use crate::ask;
use crate::ask::StreamedAnswer;
use crate::chat::step::TurnStep;
use crate::chat::turn::{Ready, Said, Source, Turn, prepare};
use crate::provider::Pieces;
use ragstone_core::ask::UNANSWERED;
use ragstone_core::ask::prompt::NO_ANSWER;
use ragstone_pg::error::{Error, Result};

/// The pieces of an answer.
pub struct ChatPieces {
    ready: Ready,
    state: State,
    step: Option<TurnStep>,
}

enum State {
    /// All of it is there, and written down.
    Whole(Said),
    /// From a collection. Its beginning is held back for as long as it may become the mark of no answer.
    Collection { streamed: Box<StreamedAnswer>, held: Option<String> },
    /// By a language model alone.
    Model { pieces: Box<Pieces>, model: String },
    /// Nothing more comes.
    Ended,
}

enum Next {
    Piece(String),
    /// What is left, and what it was as a whole.
    Last(Option<String>, Said),
    Nothing,
}

/// Says something, and gives the answer as it comes. It is a step of the session's current run, logged after the last piece.
///
/// # Errors
/// As [`crate::chat::chat`].
pub fn chat_stream(turn: &Turn) -> Result<ChatPieces> {
    let mut step = TurnStep::begin(turn)?;
    match within(step.as_ref(), || begin(turn)) {
        Ok((ready, state)) => Ok(ChatPieces { ready, state, step }),
        Err(error) => Err(failed(&mut step, error)),
    }
}

fn begin(turn: &Turn) -> Result<(Ready, State)> {
    let ready = prepare(turn)?;
    let state = match &ready.source {
        Source::Collection(question) => match ask::stream(question)? {
            Ok(streamed) => State::Collection { streamed: Box::new(streamed), held: Some(String::new()) },
            Err(answered) => State::Whole(ready.answered(answered)?),
        },
        Source::Model(remote, prompt) => State::Model {
            pieces: Box::new(remote.stream(prompt.clone(), turn.options())?),
            model: format!("{}/{}", remote.target.name, remote.model),
        },
    };
    Ok((ready, state))
}

impl Iterator for ChatPieces {
    type Item = Result<String>;

    fn next(&mut self) -> Option<Self::Item> {
        let Self { ready, state, step } = self;
        match within(step.as_ref(), || advance(ready, state)) {
            Ok(Next::Piece(piece)) => Some(Ok(piece)),
            Ok(Next::Last(piece, said)) => match end(step, &Ok(said)) {
                Ok(()) => piece.map(Ok),
                Err(error) => Some(Err(error)),
            },
            Ok(Next::Nothing) => None,
            Err(error) => Some(Err(failed(step, error))),
        }
    }
}

/// The next piece. After the last, or a failure, nothing comes.
fn advance(ready: &Ready, state: &mut State) -> Result<Next> {
    let (piece, now) = match std::mem::replace(state, State::Ended) {
        State::Ended => return Ok(Next::Nothing),
        State::Whole(said) => return Ok(Next::Last(Some(said.answer.clone()), said)),
        State::Model { mut pieces, model } => match pieces.next().transpose()? {
            Some(piece) => (piece, State::Model { pieces, model }),
            None => {
                let completion = pieces.completion();
                let completion = completion.ok_or_else(|| Error::internal("an answer that has not ended"))?;
                return Ok(Next::Last(None, ready.said(&completion.content, &model)?));
            }
        },
        State::Collection { mut streamed, mut held } => match next_of(&mut streamed, &mut held)? {
            Some(piece) => (piece, State::Collection { streamed, held }),
            None => {
                let said = ready.answered(streamed.answered()?)?;
                return Ok(Next::Last((!said.answered).then(|| UNANSWERED.to_owned()), said));
            }
        },
    };
    *state = now;
    Ok(Next::Piece(piece))
}

fn within<T>(step: Option<&TurnStep>, work: impl FnOnce() -> T) -> T {
    match step {
        Some(step) => step.within(work),
        None => work(),
    }
}

fn end(step: &mut Option<TurnStep>, done: &Result<Said>) -> Result<()> {
    step.take().map_or(Ok(()), |step| step.end(done))
}

/// Logs a failure; gives it, or what kept it from being logged.
fn failed(step: &mut Option<TurnStep>, error: Error) -> Error {
    end(step, &Err(error.clone())).err().unwrap_or(error)
}

fn next_of(streamed: &mut StreamedAnswer, held: &mut Option<String>) -> Result<Option<String>> {
    loop {
        let piece = streamed.pieces.next().transpose()?;
        let Some(mut beginning) = held.take() else { return Ok(piece) };
        let Some(piece) = piece else {
            // It ended while it may have been the mark.
            let is_mark = ragstone_core::ask::prompt::is_no_answer(&beginning) || beginning.trim().is_empty();
            return Ok((!is_mark).then_some(beginning));
        };
        beginning.push_str(&piece);
        let letters = beginning.trim_start_matches(|c: char| !c.is_alphanumeric());
        if letters.starts_with(NO_ANSWER) || NO_ANSWER.starts_with(letters) {
            *held = Some(beginning);
        } else {
            return Ok(Some(beginning));
        }
    }
}
