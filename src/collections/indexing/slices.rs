//! The texts of a batch that have to be embedded. They are sent in slices, one whenever there is room, so
//! that a row with thousands of chunks does not fill the engine's queue. A slice that is refused because of
//! its content is divided until the refused text is alone, or until the slices are small enough for the
//! provider; the process remembers that size.

use crate::collections::indexing::cut::Take;
use crate::embedding::{Embedder, RequestSize};
use ragstone_client::engine::client::Pending;
use ragstone_core::protocol::{Lane, Response};
use ragstone_pg::blame::is_rejected;
use ragstone_pg::error::{Error, Result};
use std::cell::Cell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Instant;

/// Fixed cost of a text, in bytes, which is added to its length: even an empty text has a cost.
const TEXT_COST: usize = 16;

/// Texts to embed, by their index in a batch.
#[derive(Default)]
pub struct Slices {
    waiting: VecDeque<(usize, usize)>,
    sent: VecDeque<Slice>,
}

/// A slice that was sent.
struct Slice {
    places: Vec<usize>,
    cost: usize,
    sent: Instant,
    lane: Lane,
    pending: Pending,
    /// The refused slice of which this slice is one half.
    half_of: Option<Rc<RefusedSlice>>,
}

/// A slice that was refused.
struct RefusedSlice {
    /// The maximum request size that is remembered if both halves are accepted.
    size: RequestSize,
    halves_taken: Cell<u32>,
}

/// The outcome of a slice.
pub enum SliceOutcome {
    /// The model has embedded it.
    Answered(Answered, Response),
    /// The model has refused the only text in it.
    Refused(usize, Error),
}

/// A slice that the model has embedded.
pub struct Answered {
    /// The indexes of its texts in the batch.
    pub places: Vec<usize>,
    /// Its cost, in bytes.
    pub cost: usize,
    /// When it was sent.
    pub sent: Instant,
    /// The lane in which it waited.
    pub lane: Lane,
}

impl Slices {
    /// Adds a text of `bytes` bytes.
    pub fn add(&mut self, place: usize, bytes: usize) {
        self.waiting.push_back((place, bytes + TEXT_COST));
    }

    /// True if texts wait to be sent.
    pub fn has_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// True if no text waits to be sent or embedded.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty() && self.sent.is_empty()
    }

    /// Number of slices in flight.
    pub fn unanswered(&self) -> usize {
        self.sent.len()
    }

    /// Cost of the slices in flight, in bytes.
    pub fn unanswered_cost(&self) -> usize {
        self.sent.iter().map(|slice| slice.cost).sum()
    }

    /// Sends one slice: the next text, and the texts after it up to a total cost of `max_cost`. `text`
    /// returns the text at an index.
    pub fn send(
        &mut self,
        embedder: &Embedder,
        lane: Lane,
        max_cost: usize,
        text: impl Fn(usize) -> String,
    ) -> Result<()> {
        let most = embedder.max_request();
        let (mut count, mut cost) = (0, 0);
        for (_, more) in self.waiting.iter().take(most.texts) {
            let bytes = cost + more - TEXT_COST * (count + 1);
            if count > 0 && (cost + more > max_cost || bytes > most.bytes) {
                break;
            }
            count += 1;
            cost += more;
        }
        if count == 0 {
            return Ok(());
        }
        let places: Vec<usize> = self.waiting.drain(..count).map(|(place, _)| place).collect();
        let texts = places.iter().map(|place| text(*place)).collect();
        self.send_one(embedder, lane, places, texts, None)
    }

    fn send_one(
        &mut self,
        embedder: &Embedder,
        lane: Lane,
        places: Vec<usize>,
        texts: Vec<String>,
        half_of: Option<Rc<RefusedSlice>>,
    ) -> Result<()> {
        let cost = texts.iter().map(|text| text.len() + TEXT_COST).sum();
        let pending = embedder.send(lane, texts)?;
        self.sent.push_back(Slice { places, cost, sent: Instant::now(), lane, pending, half_of });
        Ok(())
    }

    /// The outcome of the first slice for which `take` returns a response. `text` returns the text at an
    /// index.
    ///
    /// # Errors
    /// Errors that were not caused by the content of a slice.
    pub fn take(
        &mut self,
        embedder: &Embedder,
        take: Take,
        text: impl Fn(usize) -> String,
    ) -> Result<Option<SliceOutcome>> {
        let mut number = 0;
        while let Some(slice) = self.sent.get_mut(number) {
            let arrived = match take(&mut slice.pending) {
                Ok(None) => {
                    number += 1;
                    continue;
                }
                Ok(Some(answer)) => Ok(answer),
                Err(error) => Err(error),
            };
            if let Some(slice) = self.sent.remove(number)
                && let Some(outcome) = self.end(embedder, slice, arrived, &text)?
            {
                return Ok(Some(outcome));
            }
        }
        Ok(None)
    }

    fn end(
        &mut self,
        embedder: &Embedder,
        slice: Slice,
        arrived: Result<Response>,
        text: &impl Fn(usize) -> String,
    ) -> Result<Option<SliceOutcome>> {
        let Slice { places, cost, sent, lane, half_of, .. } = slice;
        match arrived {
            Ok(answer) => {
                if let Some(refused) = half_of
                    && refused.halves_taken.replace(1) == 1
                {
                    embedder.learn_max_request(refused.size);
                }
                Ok(Some(SliceOutcome::Answered(Answered { places, cost, sent, lane }, answer)))
            }
            Err(error) if is_rejected(&error) && places.len() > 1 => {
                let (first, second) = places.split_at(places.len().div_ceil(2));
                let texts = |half: &[usize]| half.iter().map(|place| text(*place)).collect::<Vec<_>>();
                let (first_texts, second_texts) = (texts(first), texts(second));
                let bytes = |texts: &[String]| texts.iter().map(String::len).sum::<usize>();
                let most = bytes(&first_texts).max(bytes(&second_texts));
                let size = RequestSize::of_half(first.len(), most, error.is_over_limit());
                let refused = Rc::new(RefusedSlice { size, halves_taken: Cell::new(0) });
                self.send_one(embedder, lane, first.to_vec(), first_texts, Some(refused.clone()))?;
                self.send_one(embedder, lane, second.to_vec(), second_texts, Some(refused))?;
                Ok(None)
            }
            Err(error) if is_rejected(&error) => {
                Ok(places.first().map(|place| SliceOutcome::Refused(*place, error)))
            }
            Err(error) => Err(error),
        }
    }

    /// The responses that have arrived for the slices of a batch that failed.
    pub fn into_arrived(self) -> impl Iterator<Item = (Vec<usize>, Response)> {
        self.sent.into_iter().filter_map(|mut slice| {
            // A progress message may precede the response.
            let answer = (0..2).find_map(|_| slice.pending.try_receive().ok().flatten());
            answer.map(|answer| (slice.places, answer))
        })
    }
}
