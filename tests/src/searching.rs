//! Judged documents as a table and a collection, and searches for all their questions.

use crate::Result;
use crate::copy::copy_rows;
use crate::judged::{Collection, Run};
use crate::metrics::{Scores, score};
use crate::session::Session;
use anyhow::Context;

/// The modes of `rag.search`.
pub const MODES: &[&str] = &["vector", "text", "hybrid"];

/// How documents are split into chunks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    /// One chunk per document, with title and text; the model reads only its beginning.
    Whole,
    /// The defaults of `rag.create_collection`, for Markdown or plain text.
    Default(&'static str),
}

/// A judged collection in a database.
#[derive(Debug)]
pub struct Loaded {
    /// Name of the table and of the collection.
    pub name: String,
    judged: Collection,
    session: Session,
}

impl Loaded {
    /// Copies the documents into a table `name` and makes a collection of it.
    pub async fn new(session: Session, name: &str, judged: Collection, cut: Cut) -> Result<Self> {
        session
            .batch_execute(&format!("CREATE TABLE {name} (id text PRIMARY KEY, title text, body text)"))
            .await?;
        let rows = judged.documents.iter().map(|document| {
            let body = match cut {
                Cut::Whole => format!("{} {}", document.title, document.text),
                Cut::Default(_) => document.text.clone(),
            };
            vec![document.id.clone(), document.title.clone(), body.trim().to_owned()]
        });
        copy_rows(&session, name, rows).await?;
        session.batch_execute("SET rag.overlong_input = 'ignore'").await?;
        let options = match cut {
            // No document is as long as this, so each is one chunk.
            Cut::Whole => "chunk_size => 1000000".to_owned(),
            Cut::Default(splitter) => format!("title => 'title', splitter => '{splitter}'"),
        };
        let create =
            format!("SELECT rag.create_collection('{name}', '{name}', 'body', {options}, sync => 'manual')");
        session.batch_execute(&create).await.with_context(|| create.clone())?;
        session.batch_execute(&format!("ANALYZE {name}")).await?;
        Ok(Self { name: name.to_owned(), judged, session })
    }

    /// Searches for every question and scores the results. Documents that were found by several chunks count
    /// once.
    pub async fn scores(&self, mode: &str) -> Result<Scores> {
        Ok(score(&self.judged, &self.run(mode, "").await?))
    }

    /// The results of a mode for every question, with further arguments of `rag.search`.
    pub async fn run(&self, mode: &str, arguments: &str) -> Result<Run> {
        let sql = format!(
            "SELECT source_key ->> 'id' FROM rag.search($1, $2, k => 100, mode => $3, per_source => true{arguments})
             ORDER BY rank"
        );
        let statement = self.session.prepare(&sql).await?;
        let mut run = Run::new();
        for question in &self.judged.questions {
            let rows = self.session.query(&statement, &[&self.name, &question.text, &mode]).await?;
            run.insert(question.id.clone(), rows.iter().map(|row| row.get(0)).collect());
        }
        Ok(run)
    }

    /// The session in which the collection was created.
    pub fn session(&self) -> &Session {
        &self.session
    }
}
