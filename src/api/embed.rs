//! `rag.embed`: a text, or an array of texts, to pgvector's type.

use crate::embedding::Embedder;
use pgrx::{default, extension_sql, pg_extern};
use ragstone_pg::error::or_raise;
use ragstone_pg::text::{Utf8, text_or};
use ragstone_pg::vector::{Vector, VectorArray};
use ragstone_pg::version;

#[pg_extern(stable, parallel_restricted, cost = 10000)]
fn embed(
    input: Option<Utf8>,
    model: default!(Option<Utf8>, "NULL"),
    kind: default!(Option<Utf8>, "'document'"),
) -> Option<Vector> {
    version::check();
    let embedder = or_raise(Embedder::new(model.map(|model| model.0), &text_or(kind, "document")));
    input.map(|input| Vector(or_raise(embedder.embed_one(input.0))))
}

#[pg_extern(stable, parallel_restricted, cost = 100000, name = "embed")]
fn embed_array(
    input: Option<Vec<Option<Utf8>>>,
    model: default!(Option<Utf8>, "NULL"),
    kind: default!(Option<Utf8>, "'document'"),
) -> Option<VectorArray> {
    version::check();
    let embedder = or_raise(Embedder::new(model.map(|model| model.0), &text_or(kind, "document")));
    let texts = input?.into_iter().map(|text| text.map(|text| text.0)).collect();
    Some(VectorArray(or_raise(embedder.embed_many(texts))))
}

extension_sql!(
    r#"
COMMENT ON FUNCTION rag.embed(text, text, text) IS
'embedding of a text';
COMMENT ON FUNCTION rag.embed(text[], text, text) IS
'embeddings of many texts, computed in batches, in their order; NULL for NULL';
"#,
    name = "embed_comments",
    requires = [embed, embed_array]
);
