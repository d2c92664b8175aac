//! Embeddings that arrived for a batch that failed later. They are reused when its rows are tried again, so
//! that no text is embedded twice, and no provider is paid twice.

use std::collections::{HashMap, VecDeque};

/// Maximum size of the embeddings that are held, in bytes; more than the batches in progress in a worker
/// usually have together. If it is exceeded, the embeddings held longest are dropped, but none of the last
/// batch.
const MAX_HELD_BYTES: usize = 128 << 20;

/// Approximate size, in bytes, of an entry without its embedding.
const ENTRY_BYTES: usize = 200;

/// Fingerprint of a model, and hash of a text.
type TextKey = (String, Vec<u8>);

/// Embeddings by the fingerprint of their model and the hash of their text.
#[derive(Default)]
pub struct HeldEmbeddings {
    embeddings: HashMap<TextKey, HeldEmbedding>,
    /// The texts of each failed batch, by the number of the batch. Some of the texts may have been written
    /// meanwhile.
    batches: VecDeque<(u64, Vec<TextKey>)>,
    last_batch: u64,
    bytes: usize,
}

struct HeldEmbedding {
    embedding: Vec<f32>,
    /// The last failed batch that had the text.
    batch: u64,
}

impl HeldEmbeddings {
    /// The embedding of the text with this hash.
    pub fn get(&self, fingerprint: &str, hash: &[u8]) -> Option<&Vec<f32>> {
        if self.embeddings.is_empty() {
            return None;
        }
        self.embeddings.get(&(fingerprint.to_owned(), hash.to_vec())).map(|held| &held.embedding)
    }

    /// Holds embeddings of a batch, each with the hash of its text.
    pub fn hold(&mut self, fingerprint: &str, embedded: impl Iterator<Item = (Vec<u8>, Vec<f32>)>) {
        self.last_batch += 1;
        let mut keys = Vec::new();
        for (hash, embedding) in embedded {
            let key = (fingerprint.to_owned(), hash);
            self.remove(&key);
            self.bytes += size(&embedding);
            self.embeddings.insert(key.clone(), HeldEmbedding { embedding, batch: self.last_batch });
            keys.push(key);
        }
        if !keys.is_empty() {
            self.batches.push_back((self.last_batch, keys));
        }
        let embeddings = &self.embeddings;
        let is_held_by =
            |batch: u64, key: &TextKey| embeddings.get(key).is_some_and(|held| held.batch == batch);
        self.batches.retain(|(batch, keys)| keys.iter().any(|key| is_held_by(*batch, key)));
        while self.bytes > MAX_HELD_BYTES && self.batches.len() > 1 {
            self.drop_oldest();
        }
    }

    /// Drops embeddings that were written.
    pub fn forget<'h>(&mut self, fingerprint: &str, hashes: impl Iterator<Item = &'h Vec<u8>>) {
        if self.embeddings.is_empty() {
            return;
        }
        for hash in hashes {
            self.remove(&(fingerprint.to_owned(), hash.clone()));
        }
        if self.embeddings.is_empty() {
            *self = Self { last_batch: self.last_batch, ..Self::default() };
        }
    }

    fn drop_oldest(&mut self) {
        let Some((batch, keys)) = self.batches.pop_front() else { return };
        for key in keys {
            if self.embeddings.get(&key).is_some_and(|held| held.batch == batch) {
                self.remove(&key);
            }
        }
    }

    fn remove(&mut self, key: &TextKey) {
        if let Some(held) = self.embeddings.remove(key) {
            self.bytes -= size(&held.embedding);
        }
    }
}

fn size(embedding: &[f32]) -> usize {
    size_of_val(embedding) + ENTRY_BYTES
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(begin: u64, texts: u64) -> impl Iterator<Item = (Vec<u8>, Vec<f32>)> {
        (begin..begin + texts).map(|text| (text.to_le_bytes().to_vec(), vec![1.0; 4096]))
    }

    fn holds(held: &HeldEmbeddings, text: u64) -> bool {
        held.get("m", &text.to_le_bytes()).is_some()
    }

    #[test]
    fn the_oldest_batches_are_dropped_and_never_the_last() {
        let mut held = HeldEmbeddings::default();
        let texts = (MAX_HELD_BYTES / size(&[1.0; 4096])) as u64;
        held.hold("m", batch(0, texts / 2));
        held.hold("m", batch(texts, texts / 4));
        // A text that is held again belongs to the later batch.
        held.hold("m", batch(0, 1));
        held.hold("m", batch(2 * texts, texts / 2));
        assert!(holds(&held, 0) && !holds(&held, 1));
        held.hold("m", batch(0, 1));
        assert_eq!(held.batches.len(), 3, "a batch of which nothing is left");
        assert!(holds(&held, texts) && holds(&held, 2 * texts));
        held.hold("m", batch(3 * texts, 2 * texts));
        assert!(!holds(&held, texts) && holds(&held, 3 * texts) && holds(&held, 5 * texts - 1));
        let written: Vec<Vec<u8>> = batch(3 * texts, 2 * texts).map(|(hash, _)| hash).collect();
        held.forget("m", written.iter());
        assert!(held.embeddings.is_empty() && held.batches.is_empty() && held.bytes == 0);
    }
}
