//! The maximum sizes of embedding requests, which this process learns from refused requests.

use ragstone_core::provider::MAX_EMBEDDING_BYTES;
use std::cell::RefCell;
use std::collections::HashMap;

thread_local! {
    /// By server, model and the server's own limit of texts, so that a changed option is tried without a
    /// learnt limit.
    static LEARNT: RefCell<HashMap<(u32, String, usize), RequestSize>> = RefCell::new(HashMap::new());
}

/// The maximum size of an embedding request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequestSize {
    /// Number of texts.
    pub texts: usize,
    /// Total size of the texts, in bytes.
    pub bytes: usize,
}

impl RequestSize {
    /// The size to remember if a request was refused and both of its halves, of at most `texts` texts and
    /// `bytes` bytes, were accepted: a limit in bytes if the request was refused because of its size in
    /// bytes, otherwise a limit in texts.
    pub fn of_half(texts: usize, bytes: usize, is_over_limit: bool) -> Self {
        match is_over_limit {
            true => Self { texts: usize::MAX, bytes },
            false => Self { texts, bytes: usize::MAX },
        }
    }

    /// The smaller of both limits, separately for texts and bytes.
    #[must_use]
    pub fn min(self, other: Self) -> Self {
        Self { texts: self.texts.min(other.texts), bytes: self.bytes.min(other.bytes) }
    }
}

/// The largest request to send; `max_texts` is the server's own limit.
pub fn largest(server: u32, model: &str, max_texts: usize) -> RequestSize {
    let known = LEARNT.with_borrow(|learnt| learnt.get(&(server, model.to_owned(), max_texts)).copied());
    let own = RequestSize { texts: max_texts, bytes: MAX_EMBEDDING_BYTES };
    known.map_or(own, |known| known.min(own))
}

/// Remembers that requests of `size` are accepted although larger ones were refused.
pub fn learn(server: u32, model: &str, max_texts: usize, size: RequestSize) {
    let smaller = size.min(largest(server, model, max_texts));
    LEARNT.with_borrow_mut(|learnt| learnt.insert((server, model.to_owned(), max_texts), smaller));
}
