//! Runs as trees of text (`rag.trace`) and as OpenTelemetry spans.

use crate::agent_log;
use pgrx::iter::SetOfIterator;
use pgrx::{default, extension_sql_file, pg_extern};
use ragstone_core::log::{semconv, span};
use ragstone_pg::bytes::Jsonb;
use ragstone_pg::error::{Error, or_raise};
use ragstone_pg::sqlstate::given;
use ragstone_pg::text::Utf8;
use ragstone_pg::version;

#[pg_extern(stable, parallel_restricted)]
fn trace(
    run: Option<i64>,
    width: default!(Option<i32>, 120),
    ascii: default!(Option<bool>, false),
) -> SetOfIterator<'static, Utf8> {
    version::check();
    let width = width.unwrap_or(120);
    let ascii = ascii.unwrap_or(false);
    let run = or_raise(given(run, "run"));
    SetOfIterator::new(or_raise(agent_log::trace(run, width, ascii)).into_iter().map(Utf8))
}

#[pg_extern(immutable, parallel_safe, cost = 10)]
fn _span_name(kind: Option<Utf8>, name: Option<Utf8>, model: Option<Utf8>) -> Utf8 {
    let text = |value: &'_ Option<Utf8>| value.as_ref().map(|text| text.0.clone());
    Utf8(span::name(text(&kind).as_deref(), text(&name).as_deref(), text(&model).as_deref()))
}

#[pg_extern(immutable, strict, parallel_safe, cost = 100)]
fn _span_attributes(row: Jsonb) -> Jsonb {
    let attributes = row.to_json().and_then(|json| {
        let row: span::LoggedRecord =
            serde_json::from_str(&json).map_err(|error| Error::bad_argument(error.to_string()))?;
        Jsonb::from_json(&span::attributes(&row).to_string())
    });
    or_raise(attributes)
}

#[pg_extern(immutable, parallel_safe)]
fn _version() -> &'static str {
    env!("CARGO_PKG_VERSION")
}

#[pg_extern(immutable, parallel_safe)]
fn _semconv_url() -> &'static str {
    semconv::SCHEMA_URL
}

extension_sql_file!(
    "../../sql/spans.sql",
    name = "spans",
    requires = ["reports", trace, _span_name, _span_attributes, _version, _semconv_url]
);
