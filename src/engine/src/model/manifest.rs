//! `manifest.json`, which describes a model.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// Name of the manifest in a model's folder.
pub const MANIFEST: &str = "manifest.json";
/// Name of the graph in a model's folder.
pub const GRAPH: &str = "model.onnx";
/// Name of the tokenizer in a model's folder.
pub const TOKENIZER: &str = "tokenizer.json";

/// The description of a model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// Name, for readers; requests use the folder's name.
    pub name: String,
    /// Length of an embedding.
    pub dimensions: u32,
    /// Maximum number of tokens of a text, special tokens included.
    pub max_tokens: u32,
    /// How token states become one embedding.
    pub pooling: Pooling,
    /// Whether embeddings are scaled to length 1.
    pub normalize: bool,
    /// Put before a query.
    #[serde(default)]
    pub query_prefix: String,
    /// Put before a passage.
    #[serde(default)]
    pub document_prefix: String,
    /// SPDX identifier.
    #[serde(default)]
    pub licence: String,
    /// File name to sha256 in hex.
    pub files: BTreeMap<String, String>,
    /// Sentences with the first values of their embeddings.
    #[serde(default)]
    pub golden: Vec<GoldenVector>,
}

/// How token states become one embedding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Pooling {
    /// Mean over the tokens that are not padding.
    Mean,
    /// State of the first token.
    Cls,
}

impl Pooling {
    /// The name in the manifest.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Mean => "mean",
            Self::Cls => "cls",
        }
    }
}

/// A sentence whose embedding is known. No prefix is put before it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GoldenVector {
    /// The sentence.
    pub text: String,
    /// The first values of its embedding.
    pub values: Vec<f32>,
}

impl Manifest {
    /// The manifest in `json`.
    ///
    /// # Errors
    /// A message for the user that says what is wrong.
    pub fn parse(json: &[u8]) -> Result<Self, String> {
        let manifest: Self = serde_json::from_slice(json).map_err(|error| error.to_string())?;
        if manifest.dimensions == 0 || manifest.max_tokens < 3 {
            return Err(format!(
                "expected dimensions of at least 1 and max_tokens of at least 3, actual {} and {}",
                manifest.dimensions, manifest.max_tokens
            ));
        }
        for file in [GRAPH, TOKENIZER] {
            if !manifest.files.contains_key(file) {
                return Err(format!("files: no sha256 of {file}"));
            }
        }
        match manifest.files.keys().find(|name| name.contains('/') || name.starts_with('.')) {
            Some(name) => Err(format!("files: \"{name}\" is not a plain file name")),
            None => Ok(manifest),
        }
    }

    /// Sixteen hex digits that change whenever the model may compute another embedding.
    pub fn fingerprint(&self) -> String {
        let mut hash = Sha256::new();
        for (file, sum) in &self.files {
            hash.update(format!("{file} {}\n", sum.to_lowercase()));
        }
        hash.update(format!(
            "{} {} {}\n{}\n{}\n",
            self.pooling.as_str(),
            self.normalize,
            self.max_tokens,
            self.query_prefix,
            self.document_prefix
        ));
        hex(&hash.finalize())[..16].to_owned()
    }
}

/// Bytes in lower-case hex.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(pooling: &str, files: &str) -> String {
        format!(
            r#"{{"name":"m","dimensions":4,"max_tokens":16,"pooling":"{pooling}","normalize":true,"files":{files}}}"#
        )
    }

    const FILES: &str = r#"{"model.onnx":"aa","tokenizer.json":"bb"}"#;

    #[test]
    fn optional_fields_may_be_left_out() {
        let manifest = Manifest::parse(json("mean", FILES).as_bytes()).unwrap();
        assert_eq!((manifest.query_prefix.as_str(), manifest.golden.len()), ("", 0));
    }

    #[test]
    fn a_manifest_without_a_checksum_of_the_graph_is_refused() {
        let error = Manifest::parse(json("mean", r#"{"tokenizer.json":"bb"}"#).as_bytes()).unwrap_err();
        assert_eq!(error, "files: no sha256 of model.onnx");
    }

    #[test]
    fn a_file_outside_the_folder_is_refused() {
        let files = r#"{"model.onnx":"aa","tokenizer.json":"bb","../x":"cc"}"#;
        assert!(Manifest::parse(json("mean", files).as_bytes()).unwrap_err().contains("../x"));
    }

    #[test]
    fn the_fingerprint_changes_with_the_pooling() {
        let mean = Manifest::parse(json("mean", FILES).as_bytes()).unwrap();
        let cls = Manifest::parse(json("cls", FILES).as_bytes()).unwrap();
        assert_ne!(mean.fingerprint(), cls.fingerprint());
        assert_eq!(mean.fingerprint().len(), 16);
    }
}
