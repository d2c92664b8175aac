//! `rag.create_collection`, `rag.refresh_collection`, `rag.drop_collection`, and the functions that rename and pause.

use crate::api::chunk::chunk_options;
use crate::collections::catalog::collection::Sync;
use crate::collections::lifecycle::create::CollectionOptions;
use crate::collections::lifecycle::{create, drop, pause, refresh, rename};
use pgrx::iter::TableIterator;
use pgrx::{default, extension_sql_file, name, pg_extern};
use ragstone_pg::error::{Error, Result, or_raise};
use ragstone_pg::identifier::{Name, RegClass, RegConfig};
use ragstone_pg::sqlstate::given;
use ragstone_pg::text::{Utf8, text_or};
use ragstone_pg::version;

/// Placeholder for the chunk size while the other options are checked, if the user sets no size.
const ANY_SIZE: i32 = i32::MAX;

#[pg_extern(volatile, parallel_unsafe, cost = 1000000)]
#[allow(clippy::too_many_arguments, reason = "the arguments of the SQL function")]
fn create_collection(
    name: Option<Name>,
    source: Option<RegClass>,
    content: Option<Name>,
    title: default!(Option<Name>, "NULL"),
    metadata: default!(Option<Vec<Option<Name>>>, "'{}'"),
    model: default!(Option<Utf8>, "NULL"),
    chunk_size: default!(Option<i32>, "NULL"),
    chunk_overlap: default!(Option<i32>, 0),
    splitter: default!(Option<Utf8>, "'text'"),
    language: default!(Option<RegConfig>, "NULL"),
    key: default!(Option<Vec<Option<Name>>>, "NULL"),
    sync: default!(Option<Utf8>, "'background'"),
    word_parts: default!(Option<bool>, true),
    ignore_accents: default!(Option<bool>, false),
    language_column: default!(Option<Name>, "NULL"),
    if_not_exists: default!(Option<bool>, false),
) -> Option<i64> {
    let name = or_raise(given(name, "name"));
    let source = or_raise(given(source, "source"));
    let content = or_raise(given(content, "content"));
    let chunk_overlap = chunk_overlap.unwrap_or(0);
    let splitter = text_or(splitter, "text");
    let mut metadata = or_raise(names(metadata.unwrap_or_default(), "metadata"));
    let language_column = language_column.map(|column| column.0);
    metadata.extend(language_column.clone().filter(|column| !metadata.contains(column)));
    let options = CollectionOptions {
        name: name.0,
        source: source.0,
        content: content.0,
        title: title.map(|title| title.0),
        metadata,
        language_column,
        model: model.map(|model| model.0),
        chunks: or_raise(chunk_options(chunk_size.unwrap_or(ANY_SIZE), chunk_overlap, &splitter)),
        sized: chunk_size.is_some(),
        language: language.map(|language| language.0),
        word_parts: word_parts.unwrap_or(true),
        ignore_accents: ignore_accents.unwrap_or(false),
        key: key.map(|key| or_raise(names(key, "key"))),
        sync: or_raise(Sync::parse(&text_or(sync, "background"))),
        if_not_exists: if_not_exists.unwrap_or(false),
    };
    version::check();
    or_raise(create::create(options))
}

#[pg_extern(volatile, parallel_unsafe, cost = 1000000)]
#[allow(clippy::type_complexity, reason = "the columns of the SQL function")]
fn refresh_collection(
    name: Option<Name>,
    text: default!(Option<bool>, false),
) -> TableIterator<
    'static,
    (
        name!(added, i64),
        name!(changed, i64),
        name!(deleted, i64),
        name!(unchanged, i64),
        name!(embedded, i64),
    ),
> {
    version::check();
    let name = or_raise(given(name, "name"));
    let changes = or_raise(refresh::refresh(&name.0, text.unwrap_or(false)));
    TableIterator::once((
        changes.added,
        changes.changed,
        changes.deleted,
        changes.unchanged,
        changes.embedded,
    ))
}

#[pg_extern(volatile, parallel_unsafe)]
fn drop_collection(name: Option<Name>, if_exists: default!(Option<bool>, false)) {
    version::check();
    let name = or_raise(given(name, "name"));
    or_raise(drop::drop_collection(&name.0, if_exists.unwrap_or(false)));
}

#[pg_extern(volatile, parallel_unsafe)]
fn rename_collection(name: Option<Name>, new_name: Option<Name>) {
    version::check();
    let name = or_raise(given(name, "name"));
    let new_name = or_raise(given(new_name, "new_name"));
    or_raise(rename::rename(&name.0, &new_name.0));
}

#[pg_extern(volatile, parallel_unsafe)]
fn pause_collection(name: Option<Name>) {
    version::check();
    let name = or_raise(given(name, "name"));
    or_raise(pause::pause(&name.0));
}

#[pg_extern(volatile, parallel_unsafe)]
fn resume_collection(name: Option<Name>) {
    version::check();
    let name = or_raise(given(name, "name"));
    or_raise(pause::resume(&name.0));
}

fn names(names: Vec<Option<Name>>, argument: &str) -> Result<Vec<String>> {
    let name = |name: Option<Name>| name.map(|name| name.0);
    names
        .into_iter()
        .map(name)
        .collect::<Option<_>>()
        .ok_or_else(|| Error::null_not_allowed(format!("a column's name in {argument} must not be null")))
}

extension_sql_file!(
    "../../sql/collections.sql",
    name = "collections",
    requires = [
        create_collection,
        refresh_collection,
        drop_collection,
        rename_collection,
        pause_collection,
        resume_collection,
        "status"
    ]
);
