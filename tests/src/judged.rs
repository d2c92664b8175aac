//! Retrieval collections whose relevant documents are known.

use std::collections::{BTreeMap, HashMap};

/// A document to be found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    /// Its key.
    pub id: String,
    /// Its title, or empty.
    pub title: String,
    /// Its text.
    pub text: String,
}

/// A question with its judged documents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// Its key.
    pub id: String,
    /// What is asked.
    pub text: String,
    /// Grade of each judged document, greater than zero where it is relevant.
    pub grades: HashMap<String, u32>,
}

/// Documents and questions.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Collection {
    /// The documents.
    pub documents: Vec<Document>,
    /// The questions that have a relevant document.
    pub questions: Vec<Question>,
}

/// For each question's key the documents' keys in the order in which a search returned them.
pub type Run = BTreeMap<String, Vec<String>>;
