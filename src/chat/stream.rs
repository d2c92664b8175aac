//! One turn of a conversation, its answer piece by piece. The answer is written down when its last piece has come.

use crate::ask::{self, Streamed};
use crate::chat::turn::{Ready, Source, Turn, prepare};
use crate::pg::error::{Error, Outcome};
use crate::provider::Pieces;
use ragstone_core::ask::UNKNOWN;
use ragstone_core::ask::prompt::NO_ANSWER;

/// The pieces of an answer.
pub struct ChatPieces {
    ready: Ready,
    state: State,
}

enum State {
    /// All of it is there, and written down.
    Whole(Option<String>),
    /// From a collection. Its beginning is held back for as long as it may become the mark of no answer.
    Collection { streamed: Box<Streamed>, held: Option<String> },
    /// By a language model alone.
    Model { pieces: Box<Pieces>, model: String },
    /// Nothing more comes.
    Ended,
}

/// Says something, and gives the answer as it comes.
pub fn chat_stream(turn: &Turn) -> Outcome<ChatPieces> {
    let ready = prepare(turn)?;
    let state = match &ready.source {
        Source::Collection(question) => match ask::stream(question)? {
            Ok(streamed) => State::Collection { streamed: Box::new(streamed), held: Some(String::new()) },
            Err(answered) => State::Whole(Some(ready.answered(answered)?.answer)),
        },
        Source::Model(remote, prompt) => State::Model {
            pieces: Box::new(remote.stream(prompt.clone(), turn.options())?),
            model: format!("{}/{}", remote.target.name, remote.model),
        },
    };
    Ok(ChatPieces { ready, state })
}

impl Iterator for ChatPieces {
    type Item = Outcome<String>;

    fn next(&mut self) -> Option<Self::Item> {
        let piece = self.advance();
        if !matches!(piece, Ok(Some(_))) {
            self.state = State::Ended;
        }
        piece.transpose()
    }
}

impl ChatPieces {
    fn advance(&mut self) -> Outcome<Option<String>> {
        match &mut self.state {
            State::Ended => Ok(None),
            State::Whole(answer) => Ok(answer.take()),
            State::Model { pieces, model } => match pieces.next().transpose()? {
                Some(piece) => Ok(Some(piece)),
                None => {
                    let completion = pieces.completion();
                    let completion =
                        completion.ok_or_else(|| Error::internal("an answer that has not ended"))?;
                    self.ready.said(&completion.content, model)?;
                    Ok(None)
                }
            },
            State::Collection { streamed, held } => {
                if let Some(piece) = next_of(streamed, held)? {
                    return Ok(Some(piece));
                }
                let answered = streamed.answered()?;
                let unknown = !answered.answered;
                self.ready.answered(answered)?;
                self.state = State::Whole(None);
                Ok(unknown.then(|| UNKNOWN.to_owned()))
            }
        }
    }
}

fn next_of(streamed: &mut Streamed, held: &mut Option<String>) -> Outcome<Option<String>> {
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
