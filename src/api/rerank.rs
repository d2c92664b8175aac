//! `rag.rerank`: sorts documents by how well they answer a question.

use crate::provider;
use pgrx::iter::TableIterator;
use pgrx::{extension_sql, name, pg_extern};
use ragstone_pg::error::or_raise;
use ragstone_pg::text::{Utf8, required};
use ragstone_pg::version;

#[pg_extern(volatile, parallel_restricted, cost = 1000000)]
fn rerank(
    query: Option<Utf8>,
    documents: Option<Vec<Option<Utf8>>>,
    model: Option<Utf8>,
) -> TableIterator<'static, (name!(rank, i32), name!(ordinal, i32), name!(score, f64))> {
    version::check();
    let query = or_raise(required(query, "query"));
    let model = or_raise(required(model, "model"));
    let documents = (1..).zip(documents.unwrap_or_default());
    let (ordinals, documents): (Vec<i32>, Vec<String>) =
        documents.filter_map(|(ordinal, document)| Some((ordinal, document?.0))).unzip();
    let scores = or_raise(provider::rerank(&model, query, documents));
    let mut scored: Vec<_> = ordinals.into_iter().zip(scores).collect();
    scored.sort_by(|a, b| b.1.total_cmp(&a.1));
    TableIterator::new((1..).zip(scored).map(|(rank, (ordinal, score))| (rank, ordinal, score)))
}

extension_sql!(
    r#"
COMMENT ON FUNCTION rag.rerank(text, text[], text) IS
'documents ordered by how well they answer a question, by a provider''s reranking model';
"#,
    name = "rerank_comments",
    requires = [rerank]
);
