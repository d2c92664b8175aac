//! Embeddings that arrived for a batch that then failed. They are used when its rows are tried again, so that no text is embedded
//! twice, and no provider is paid twice.

use std::collections::HashMap;

/// Maximum size of the embeddings that are held, in bytes. Beyond it those of all batches but the last are dropped.
const MAX_HELD_BYTES: usize = 32 << 20;

/// Approximate size of an entry without its embedding.
const ENTRY_BYTES: usize = 200;

/// Embeddings by the fingerprint of their model and the hash of their text.
#[derive(Default)]
pub struct HeldEmbeddings {
    embeddings: HashMap<(String, Vec<u8>), Vec<f32>>,
    bytes: usize,
}

impl HeldEmbeddings {
    /// The embedding of the text with a hash.
    pub fn get(&self, fingerprint: &str, hash: &[u8]) -> Option<&Vec<f32>> {
        if self.embeddings.is_empty() {
            return None;
        }
        self.embeddings.get(&(fingerprint.to_owned(), hash.to_vec()))
    }

    /// Holds embeddings, each with the hash of its text.
    pub fn hold(&mut self, fingerprint: &str, embedded: impl Iterator<Item = (Vec<u8>, Vec<f32>)>) {
        if self.bytes > MAX_HELD_BYTES {
            *self = Self::default();
        }
        for (hash, embedding) in embedded {
            self.bytes += size(&embedding);
            let before = self.embeddings.insert((fingerprint.to_owned(), hash), embedding);
            self.bytes -= before.as_deref().map_or(0, size);
        }
    }

    /// Forgets embeddings that were written.
    pub fn forget<'h>(&mut self, fingerprint: &str, hashes: impl Iterator<Item = &'h Vec<u8>>) {
        if self.embeddings.is_empty() {
            return;
        }
        for hash in hashes {
            let removed = self.embeddings.remove(&(fingerprint.to_owned(), hash.clone()));
            self.bytes -= removed.as_deref().map_or(0, size);
        }
        if self.embeddings.is_empty() {
            *self = Self::default();
        }
    }
}

fn size(embedding: &[f32]) -> usize {
    size_of_val(embedding) + ENTRY_BYTES
}
