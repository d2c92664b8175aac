//! Embeddings that arrived for a batch that then failed. They are used when its rows are tried again, so that no text is embedded
//! twice, and no provider is paid twice.

use std::collections::HashMap;

/// Maximum number of embeddings that are held. Beyond it those held before are dropped.
const MAX_HELD: usize = 65_536;

/// Embeddings by the fingerprint of their model and the hash of their text.
#[derive(Default)]
pub struct HeldEmbeddings(HashMap<(String, Vec<u8>), Vec<f32>>);

impl HeldEmbeddings {
    /// Whether none is held.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The embedding of the text with a hash.
    pub fn get(&self, fingerprint: &str, hash: &[u8]) -> Option<&Vec<f32>> {
        self.0.get(&(fingerprint.to_owned(), hash.to_vec()))
    }

    /// Holds embeddings, each with the hash of its text.
    pub fn hold(&mut self, fingerprint: &str, embedded: impl Iterator<Item = (Vec<u8>, Vec<f32>)>) {
        if self.0.len() > MAX_HELD {
            self.0.clear();
        }
        self.0.extend(embedded.map(|(hash, embedding)| ((fingerprint.to_owned(), hash), embedding)));
    }

    /// Forgets embeddings that were written.
    pub fn forget<'h>(&mut self, fingerprint: &str, hashes: impl Iterator<Item = &'h Vec<u8>>) {
        if !self.is_empty() {
            for hash in hashes {
                self.0.remove(&(fingerprint.to_owned(), hash.clone()));
            }
        }
    }
}
