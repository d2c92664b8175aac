//! The libraries that run a graph, behind the trait [`Runtime`].

pub mod library;

pub mod embedder;

pub mod onnxruntime;

pub mod openvino;

mod session;

use crate::model::{pooling::TokenStates, text::EncodedText};

/// Runs one model's graph.
pub trait Runtime: Send {
    /// `onnxruntime` or `openvino`.
    fn name(&self) -> &'static str;

    /// The limits of one batch.
    fn batch_limits(&self) -> BatchLimits;

    /// Runs a batch and passes the output to `read`.
    ///
    /// # Errors
    /// The library's message.
    fn run(&mut self, batch: &TokenBatch, read: &mut dyn FnMut(TokenStates<'_>)) -> Result<(), String>;
}

/// The limits of one batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchLimits {
    /// Maximum number of tokens, padding included. A single text may have more.
    pub tokens: usize,
    /// Maximum number of texts.
    pub texts: usize,
}

/// Texts as the graph reads them: `[texts, width]`, padded with zeros after each text.
#[derive(Debug)]
pub struct TokenBatch {
    ids: Vec<i64>,
    mask: Vec<i64>,
    types: Vec<i64>,
    lengths: Vec<usize>,
    width: usize,
}

impl TokenBatch {
    /// Pads the texts to the longest.
    pub fn new(texts: &[&EncodedText]) -> Self {
        let width = texts.iter().map(|text| text.ids.len()).max().unwrap_or(0);
        let size = texts.len() * width;
        let (mut ids, mut mask, mut types) =
            (Vec::with_capacity(size), Vec::with_capacity(size), Vec::with_capacity(size));
        for (row, text) in texts.iter().enumerate() {
            ids.extend(text.ids.iter().map(|&id| i64::from(id)));
            types.extend(text.types.iter().map(|&id| i64::from(id)));
            mask.resize(ids.len(), 1);
            let end = (row + 1) * width;
            ids.resize(end, 0);
            types.resize(end, 0);
            mask.resize(end, 0);
        }
        Self { ids, mask, types, lengths: texts.iter().map(|text| text.ids.len()).collect(), width }
    }

    /// Tokens of each text, without padding.
    pub fn lengths(&self) -> &[usize] {
        &self.lengths
    }

    /// `[texts, width]`.
    pub fn shape(&self) -> [usize; 2] {
        [self.lengths.len(), self.width]
    }

    /// The input of the graph with this name, or `None` for an unknown name.
    pub fn input(&self, name: &str) -> Option<&[i64]> {
        match name {
            "input_ids" => Some(&self.ids),
            "attention_mask" => Some(&self.mask),
            "token_type_ids" => Some(&self.types),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shorter_texts_are_padded_and_masked() {
        let text = |ids: &[u32]| EncodedText {
            ids: ids.to_vec(),
            types: vec![0; ids.len()],
            tokens_before_cut: 0,
            is_unknown: false,
        };
        let (a, b) = (text(&[5]), text(&[6, 7]));
        let batch = TokenBatch::new(&[&a, &b]);
        assert_eq!(batch.shape(), [2, 2]);
        assert_eq!(batch.input("input_ids").unwrap(), [5, 0, 6, 7]);
        assert_eq!(batch.input("attention_mask").unwrap(), [1, 0, 1, 1]);
        assert_eq!(batch.input("token_type_ids").unwrap(), [0; 4]);
        assert!(batch.input("position_ids").is_none());
    }
}
