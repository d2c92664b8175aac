//! `rag.models`: the installed models.

use pgrx::iter::TableIterator;
use pgrx::{extension_sql, name, pg_extern};
use ragstone_client::engine::client;
use ragstone_core::protocol::{Request, Response};
use ragstone_pg::error::{Error, or_raise};
use ragstone_pg::text::Utf8;
use ragstone_pg::version;

#[pg_extern(stable, parallel_restricted)]
#[allow(clippy::type_complexity, reason = "the columns of the SQL function")]
fn models() -> TableIterator<
    'static,
    (
        name!(name, Utf8),
        name!(dimensions, i32),
        name!(max_tokens, i32),
        name!(pooling, Utf8),
        name!(normalized, bool),
        name!(query_prefix, Utf8),
        name!(document_prefix, Utf8),
        name!(licence, Utf8),
        name!(fingerprint, Utf8),
        name!(loaded, bool),
        name!(runtime, Option<Utf8>),
        name!(error, Option<Utf8>),
    ),
> {
    version::check();
    let models = match or_raise(client::call(Request::Models)) {
        Response::Models(models) => models,
        other => or_raise(Err(Error::internal(format!("unexpected answer to a models request: {other:?}")))),
    };
    TableIterator::new(models.into_iter().map(|model| {
        (
            Utf8(model.name),
            model.dimensions as i32,
            model.max_tokens as i32,
            Utf8(model.pooling),
            model.normalized,
            Utf8(model.query_prefix),
            Utf8(model.document_prefix),
            Utf8(model.licence),
            Utf8(model.fingerprint),
            model.loaded,
            model.runtime.map(Utf8),
            model.error.map(Utf8),
        )
    }))
}

extension_sql!(
    r#"
COMMENT ON FUNCTION rag.models() IS
'installed models; error says why a model cannot be used';
"#,
    name = "models_comments",
    requires = [models]
);
