//! Collections in the layout of BEIR (Thakur et al., NeurIPS 2021): `corpus.jsonl`, `queries.jsonl`, `qrels.tsv`.

use crate::Result;
use crate::harness::NotRun;
use crate::judged::{Collection, Document, Question};
use anyhow::Context;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

#[derive(Deserialize)]
struct Line {
    #[serde(rename = "_id")]
    id: String,
    #[serde(default)]
    title: String,
    #[serde(default)]
    text: String,
}

/// Folder of the retrieval collections: `RAGSTONE_DATA`, or the folder `shared/data` beside the checkout.
pub fn folder() -> PathBuf {
    let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data");
    std::env::var_os("RAGSTONE_DATA").map_or_else(beside, PathBuf::from)
}

/// The collection of this name; [`NotRun`] if its folder does not exist.
pub fn load(name: &str) -> Result<Collection> {
    load_from(&folder().join(name))
}

fn load_from(folder: &Path) -> Result<Collection> {
    if !folder.is_dir() {
        return Err(NotRun(format!("there is no folder {}", folder.display())).into());
    }
    let documents = lines::<Line>(&folder.join("corpus.jsonl"))?;
    let mut grades = judgements(&folder.join("qrels.tsv"))?;
    let questions = lines::<Line>(&folder.join("queries.jsonl"))?;
    Ok(Collection {
        documents: documents
            .into_iter()
            .map(|Line { id, title, text }| Document { id, title, text })
            .collect(),
        questions: questions
            .into_iter()
            .filter_map(|Line { id, text, .. }| {
                let grades = grades.remove(&id)?;
                Some(Question { id, text, grades })
            })
            .collect(),
    })
}

fn lines<T: DeserializeOwned>(path: &Path) -> Result<Vec<T>> {
    let text = fs::read_to_string(path).with_context(|| path.display().to_string())?;
    text.lines().map(|line| Ok(serde_json::from_str(line)?)).collect()
}

/// Questions without a relevant document are left out, as in BEIR's evaluation.
fn judgements(path: &Path) -> Result<HashMap<String, HashMap<String, u32>>> {
    let text = fs::read_to_string(path).with_context(|| path.display().to_string())?;
    let mut questions: HashMap<String, HashMap<String, u32>> = HashMap::new();
    for line in text.lines().skip(1) {
        let mut fields = line.split('\t');
        let (Some(question), Some(document), Some(grade)) = (fields.next(), fields.next(), fields.next())
        else {
            continue;
        };
        let grade = grade.trim().parse().with_context(|| format!("no grade in {line:?}"))?;
        questions.entry(question.to_owned()).or_default().insert(document.to_owned(), grade);
    }
    questions.retain(|_, grades| grades.values().any(|&grade| grade > 0));
    Ok(questions)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_that_is_not_there_is_a_reason_not_to_run() {
        let error = load_from(Path::new("/nonexistent/scifact")).unwrap_err();
        assert_eq!(error.to_string(), "not run: there is no folder /nonexistent/scifact");
        assert!(error.is::<NotRun>());
    }

    #[test]
    fn judgements_keep_grades_and_drop_questions_without_a_relevant_document() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("qrels.tsv");
        fs::write(&path, "query-id\tcorpus-id\tscore\n1\ta\t2\n1\tb\t0\n2\tc\t0\n").unwrap();
        let judgements = judgements(&path).unwrap();
        assert_eq!(judgements.len(), 1);
        assert_eq!(judgements["1"]["a"], 2);
    }
}
