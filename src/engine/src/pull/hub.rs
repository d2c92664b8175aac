//! Reads repositories in the layout of sentence-transformers from a hub with Hugging Face's addresses
//! (<https://huggingface.co/docs/hub/api>).

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use super::{download::Downloader, error::PullError, install::Staging};
use crate::model::{
    folder::is_model_name,
    manifest::{GRAPH, Manifest, Pooling, TOKENIZER},
};

/// The hub, unless `HF_ENDPOINT` names another.
pub const PUBLIC_HUB: &str = "https://huggingface.co";

/// `owner/name`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repository {
    owner: String,
    name: String,
}

/// A file in the listing of a repository.
#[derive(Debug, Deserialize)]
struct RepositoryFile {
    path: String,
    lfs: Option<LfsPointer>,
}

#[derive(Debug, Deserialize)]
struct LfsPointer {
    /// Sha256 in hex.
    oid: String,
}

/// The JSON files that describe how to use a model; a missing one is null.
#[derive(Debug, Default)]
struct ModelConfigs {
    model: Value,
    pooling: Value,
    sentence: Value,
    prompts: Value,
    modules: Value,
    card: Value,
}

impl Repository {
    /// Parses `owner/name`, or the name of a model of sentence-transformers.
    pub fn parse(source: &str) -> Result<Self, String> {
        let (owner, name) = source.split_once('/').unwrap_or(("sentence-transformers", source));
        if is_model_name(owner) && is_model_name(name) {
            return Ok(Self { owner: owner.into(), name: name.into() });
        }
        Err(format!("expected NAME, OWNER/NAME or a web address, actual \"{source}\""))
    }

    /// The name under which the model is installed.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Fetches the files into `staging` and describes the model, without golden vectors.
    pub fn fetch(
        &self,
        downloader: &Downloader,
        hub: &str,
        staging: &Staging,
    ) -> Result<Manifest, PullError> {
        let path = format!("{}/{}", self.owner, self.name);
        let api = format!("{hub}/api/models/{path}");
        let list_url = format!("{api}/tree/main?recursive=true");
        let content = |reason: String| PullError::Content { url: list_url.clone(), reason };
        let entries: Vec<RepositoryFile> = serde_json::from_slice(&downloader.read(&list_url)?)
            .map_err(|error| content(error.to_string()))?;
        let root = format!("{hub}/{path}/resolve/main");
        let json = |url: String| read_json(downloader, &url);
        let configs = ModelConfigs {
            model: json(format!("{root}/config.json"))?,
            pooling: json(format!("{root}/1_Pooling/config.json"))?,
            sentence: json(format!("{root}/sentence_bert_config.json"))?,
            prompts: json(format!("{root}/config_sentence_transformers.json"))?,
            modules: json(format!("{root}/modules.json"))?,
            card: json(api)?,
        };
        let mut manifest = configs.describe(&self.name).map_err(content)?;
        for (theirs, ours) in required_files(&entries).map_err(content)? {
            let sum = theirs.lfs.as_ref().map(|lfs| lfs.oid.as_str());
            let sum = downloader.fetch(&format!("{root}/{}", theirs.path), &staging.file(&ours), sum)?;
            manifest.files.insert(ours, sum);
        }
        Ok(manifest)
    }
}

/// The files to download, each with its name in the model's folder: the graph, its external weights, the tokenizer.
fn required_files(entries: &[RepositoryFile]) -> Result<Vec<(&RepositoryFile, String)>, String> {
    let find = |path: &str| entries.iter().find(|entry| entry.path == path);
    let (folder, graph) = match (find("onnx/model.onnx"), find("model.onnx")) {
        (Some(graph), _) => ("onnx/", graph),
        (None, Some(graph)) => ("", graph),
        (None, None) => {
            return Err("the repository has no onnx/model.onnx: expected a model exported to ONNX".into());
        }
    };
    let tokenizer = find("tokenizer.json").ok_or("the repository has no tokenizer.json")?;
    let mut files = vec![(graph, GRAPH.to_owned()), (tokenizer, TOKENIZER.to_owned())];
    let weights = find(&format!("{folder}model.onnx_data"));
    files.extend(weights.map(|weights| (weights, "model.onnx_data".to_owned())));
    Ok(files)
}

impl ModelConfigs {
    fn describe(&self, name: &str) -> Result<Manifest, String> {
        let number = |value: &Value| value.as_u64().and_then(|number| u32::try_from(number).ok());
        let dimensions = number(&self.pooling["word_embedding_dimension"])
            .or_else(|| number(&self.model["hidden_size"]))
            .ok_or("config.json: no hidden_size")?;
        let prompt = |keys: &[&str]| {
            let found = keys.iter().find_map(|key| self.prompts["prompts"][key].as_str());
            found.unwrap_or_default().to_owned()
        };
        Ok(Manifest {
            name: name.into(),
            dimensions,
            max_tokens: self.max_tokens().ok_or("config.json: no max_position_embeddings")?,
            pooling: self.pooling()?,
            normalize: self.normalizes(),
            query_prefix: prompt(&["query"]),
            document_prefix: prompt(&["document", "passage"]),
            licence: self.card["cardData"]["license"].as_str().unwrap_or_default().to_owned(),
            files: BTreeMap::new(),
            golden: Vec::new(),
        })
    }

    fn max_tokens(&self) -> Option<u32> {
        let stated = self.sentence["max_seq_length"].as_u64();
        let limit = stated.or_else(|| {
            let positions = self.model["max_position_embeddings"].as_u64()?;
            // RoBERTa models number positions from the padding token's index plus one, which is 2.
            let roberta = self.model["model_type"].as_str().is_some_and(|kind| kind.contains("roberta"));
            Some(if roberta { positions.saturating_sub(2) } else { positions })
        })?;
        u32::try_from(limit).ok()
    }

    fn pooling(&self) -> Result<Pooling, String> {
        let modes = match self.pooling.as_object() {
            // Without the file, sentence-transformers uses the mean.
            None => return Ok(Pooling::Mean),
            Some(modes) => modes,
        };
        let on = modes
            .iter()
            .filter(|(key, value)| key.starts_with("pooling_mode_") && **value == Value::Bool(true));
        let on: Vec<&str> = on.map(|(key, _)| key.as_str()).collect();
        match on.as_slice() {
            ["pooling_mode_mean_tokens"] => Ok(Pooling::Mean),
            ["pooling_mode_cls_token"] => Ok(Pooling::Cls),
            other => Err(format!(
                "1_Pooling/config.json: expected mean or cls pooling, actual {}",
                other.join(", ")
            )),
        }
    }

    /// Models without this file are compared by cosine, for which the norm makes no difference.
    fn normalizes(&self) -> bool {
        self.modules.as_array().is_none_or(|modules| {
            modules
                .iter()
                .any(|module| module["type"].as_str().is_some_and(|kind| kind.ends_with("Normalize")))
        })
    }
}

fn read_json(downloader: &Downloader, url: &str) -> Result<Value, PullError> {
    match downloader.read_optional(url)? {
        None => Ok(Value::Null),
        Some(bytes) => serde_json::from_slice(&bytes)
            .map_err(|error| PullError::Content { url: url.into(), reason: error.to_string() }),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_short_name_is_one_of_sentence_transformers() {
        assert_eq!(Repository::parse("m").unwrap().owner, "sentence-transformers");
        assert_eq!(Repository::parse("a/b").unwrap(), Repository { owner: "a".into(), name: "b".into() });
        for wrong in ["", "a/b/c", "../x", "a b"] {
            assert!(Repository::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_manifest_is_made_of_the_config_files() {
        let configs = ModelConfigs {
            model: json!({"hidden_size": 8, "max_position_embeddings": 514, "model_type": "xlm-roberta"}),
            pooling: json!({"word_embedding_dimension": 8, "pooling_mode_cls_token": true, "pooling_mode_mean_tokens": false}),
            prompts: json!({"prompts": {"query": "query: ", "passage": "passage: "}}),
            modules: json!([{"type": "sentence_transformers.models.Normalize"}]),
            card: json!({"cardData": {"license": "mit"}}),
            ..ModelConfigs::default()
        };
        let manifest = configs.describe("m").unwrap();
        assert_eq!((manifest.max_tokens, manifest.pooling, manifest.normalize), (512, Pooling::Cls, true));
        assert_eq!(
            (manifest.query_prefix.as_str(), manifest.document_prefix.as_str()),
            ("query: ", "passage: ")
        );
    }

    #[test]
    fn other_pooling_is_refused_by_name() {
        let pooling = json!({"pooling_mode_max_tokens": true});
        let configs = ModelConfigs { pooling, ..ModelConfigs::default() };
        assert!(configs.pooling().unwrap_err().contains("pooling_mode_max_tokens"));
    }
}
