//! Retrieval collections whose relevant documents are known.

use std::collections::{BTreeMap, HashMap};

/// A document of the collection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    /// Its key.
    pub id: String,
    /// Its title; may be empty.
    pub title: String,
    /// Its text.
    pub text: String,
}

/// A question with its judged documents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// Its key.
    pub id: String,
    /// The text of the question.
    pub text: String,
    /// Grade of each judged document; greater than 0 for a relevant document.
    pub grades: HashMap<String, u32>,
}

/// Documents and questions.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Collection {
    /// The documents.
    pub documents: Vec<Document>,
    /// The questions with at least one relevant document.
    pub questions: Vec<Question>,
}

/// For each question's key, the keys of the documents in the order in which a search returned them.
pub type Run = BTreeMap<String, Vec<String>>;
