//! How large requests for embeddings may be, as this process has learnt it from what providers refused.

use ragstone_core::provider::MAX_EMBEDDING_BYTES;
use std::cell::RefCell;
use std::collections::HashMap;

thread_local! {
    /// By server, model and the server's own limit of texts, so that a changed option is tried anew.
    static LEARNT: RefCell<HashMap<(u32, String, usize), RequestSize>> = RefCell::new(HashMap::new());
}

/// The size of a request for embeddings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequestSize {
    /// Number of texts.
    pub texts: usize,
    /// Bytes of the texts together.
    pub bytes: usize,
}

impl RequestSize {
    /// The size that is taken where a request was refused and both of its halves, of at most so many texts and bytes, were not:
    /// bounded by bytes where the refusal was for those, by texts otherwise.
    pub fn of_half(texts: usize, bytes: usize, is_over_limit: bool) -> Self {
        match is_over_limit {
            true => Self { texts: usize::MAX, bytes },
            false => Self { texts, bytes: usize::MAX },
        }
    }

    /// The smaller of both in texts and in bytes.
    #[must_use]
    pub fn min(self, other: Self) -> Self {
        Self { texts: self.texts.min(other.texts), bytes: self.bytes.min(other.bytes) }
    }
}

/// The largest size to send, where the server's own limit is `max_texts`.
pub fn largest(server: u32, model: &str, max_texts: usize) -> RequestSize {
    let known = LEARNT.with_borrow(|learnt| learnt.get(&(server, model.to_owned(), max_texts)).copied());
    let own = RequestSize { texts: max_texts, bytes: MAX_EMBEDDING_BYTES };
    known.map_or(own, |known| known.min(own))
}

/// Notes that requests of `size` are taken where larger ones were refused.
pub fn learn(server: u32, model: &str, max_texts: usize, size: RequestSize) {
    let smaller = size.min(largest(server, model, max_texts));
    LEARNT.with_borrow_mut(|learnt| learnt.insert((server, model.to_owned(), max_texts), smaller));
}
