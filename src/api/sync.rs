//! The SQL functions that keep collections current and migrate them.

use crate::api::chunk::chunk_options;
use crate::collections::capture;
use crate::collections::capture::ddl;
use crate::collections::lifecycle::alter_text;
use crate::collections::lifecycle::migration;
use crate::collections::lifecycle::text_options::TextOptions;
use crate::collections::lifecycle::wait;
use crate::collections::queue::failure;
use pgrx::datum::Interval;
use pgrx::{default, extension_sql_file, pg_extern, pg_sys};
use ragstone_pg::error::{Error, Result, or_raise};
use ragstone_pg::function::{FunctionCall, sql_function};
use ragstone_pg::identifier::{Name, RegConfig};
use ragstone_pg::relation::size_if_free;
use ragstone_pg::sqlstate::given;
use ragstone_pg::text::Utf8;
use ragstone_pg::value::is_built_in;
use ragstone_pg::version;
use std::time::Duration;

#[pg_extern(sql = "
CREATE FUNCTION rag.\"_capture\"() RETURNS trigger LANGUAGE c AS 'MODULE_PATHNAME', '@FUNCTION_NAME@';
")]
fn _capture(call: FunctionCall<'_>) {
    match call.trigger() {
        Some(trigger) => capture::capture(trigger),
        None => or_raise(Err(Error::trigger_protocol_violated("rag._capture was not called as a trigger"))),
    }
}

#[pg_extern(sql = "
CREATE FUNCTION rag.\"_follow_ddl\"() RETURNS event_trigger LANGUAGE c AS 'MODULE_PATHNAME', '@FUNCTION_NAME@';
")]
fn _follow_ddl(call: FunctionCall<'_>) {
    ddl::follow_ddl(call.row_effect());
}

#[pg_extern(sql = "
CREATE FUNCTION rag.\"_follow_drops\"() RETURNS event_trigger LANGUAGE c AS 'MODULE_PATHNAME', '@FUNCTION_NAME@';
")]
fn _follow_drops(_call: FunctionCall<'_>) {
    ddl::follow_drops();
}

#[pg_extern(sql = "
CREATE FUNCTION rag.\"_follow_rewrites\"() RETURNS event_trigger LANGUAGE c AS 'MODULE_PATHNAME', '@FUNCTION_NAME@';
")]
fn _follow_rewrites(_call: FunctionCall<'_>) {
    ddl::follow_rewrites();
}

#[pg_extern(sql = "
CREATE FUNCTION rag.\"_follow_names\"() RETURNS event_trigger LANGUAGE c AS 'MODULE_PATHNAME', '@FUNCTION_NAME@';
")]
fn _follow_names(_call: FunctionCall<'_>) {
    ddl::follow_names();
}

#[pg_extern(sql = "
CREATE FUNCTION rag.\"_is_built_in\"(\"any\") RETURNS boolean LANGUAGE c IMMUTABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', '@FUNCTION_NAME@';
")]
fn _is_built_in(call: FunctionCall<'_>) -> bool {
    is_built_in(call.argument_type(0))
}

sql_function!(pg_finfo_ragstone_text, ragstone_text, text);

/// `rag._text`, which sql/sync.sql creates: a value in the form that users read.
fn text(call: FunctionCall<'_>) -> pg_sys::Datum {
    call.text_for_readers(0)
}

/// The size of a table in bytes; NULL if it is locked. A view that waited for the lock could not show that
/// the lock holds up a collection.
#[pg_extern(volatile, strict, parallel_safe)]
fn _table_bytes(table: pg_sys::Oid) -> Option<i64> {
    size_if_free(table)
}

#[pg_extern(volatile, parallel_unsafe)]
fn wait_until_current(collection: Option<Name>, timeout: default!(Option<Interval>, "NULL")) -> bool {
    let collection = or_raise(given(collection, "collection"));
    let timeout = timeout.map(|timeout| or_raise(duration(&timeout)));
    version::check();
    or_raise(wait::wait(&collection.0, timeout))
}

#[pg_extern(volatile, parallel_unsafe)]
fn wait_for_migration(collection: Option<Name>, timeout: default!(Option<Interval>, "NULL")) -> bool {
    let collection = or_raise(given(collection, "collection"));
    let timeout = timeout.map(|timeout| or_raise(duration(&timeout)));
    version::check();
    or_raise(wait::wait_for_migration(&collection.0, timeout))
}

#[pg_extern(volatile, parallel_unsafe)]
fn retry_failed(collection: Option<Name>) -> i64 {
    version::check();
    let collection = or_raise(given(collection, "collection"));
    or_raise(failure::retry(&collection.0))
}

#[pg_extern(volatile, parallel_unsafe)]
fn alter_collection(
    name: Option<Name>,
    model: default!(Option<Utf8>, "NULL"),
    chunk_size: default!(Option<i32>, "NULL"),
    chunk_overlap: default!(Option<i32>, "NULL"),
    language: default!(Option<RegConfig>, "NULL"),
    word_parts: default!(Option<bool>, "NULL"),
    ignore_accents: default!(Option<bool>, "NULL"),
) {
    version::check();
    let name = or_raise(given(name, "name"));
    let text = TextOptions { language: language.map(|language| language.0), word_parts, ignore_accents };
    if model.is_none() && chunk_size.is_none() && chunk_overlap.is_none() {
        return or_raise(match text.changes_anything() {
            true => alter_text::alter(&name.0, &text),
            false => Err(Error::bad_argument("no change is given")
                .hint("Give at least one of model, chunk_size, chunk_overlap, language, word_parts and ignore_accents.")),
        });
    }
    or_raise(migration::alter(&name.0, |old| {
        let size = chunk_size.or(old.chunk_size);
        let overlap = chunk_overlap.unwrap_or(old.chunk_overlap);
        Ok(migration::MigrationOptions {
            model: model.map(|model| model.0),
            chunks: chunk_options(size.unwrap_or(i32::MAX), overlap, old.splitter.name())?,
            sized: size.is_some(),
            text,
        })
    }));
}

#[pg_extern(volatile, parallel_unsafe)]
fn finish_migration(name: Option<Name>) {
    version::check();
    let name = or_raise(given(name, "name"));
    or_raise(migration::finish(&name.0));
}

#[pg_extern(volatile, parallel_unsafe)]
fn rollback_migration(name: Option<Name>) {
    version::check();
    let name = or_raise(given(name, "name"));
    or_raise(migration::rollback(&name.0));
}

/// A timeout as a duration.
pub fn duration(interval: &Interval) -> Result<Duration> {
    let micros = interval.as_micros();
    u64::try_from(micros)
        .map(Duration::from_micros)
        .map_err(|_| Error::bad_argument("timeout must not be negative or longer than 500,000 years"))
}

extension_sql_file!(
    "../../sql/sync.sql",
    name = "sync",
    requires = [
        "collections",
        _capture,
        _table_bytes,
        _follow_ddl,
        _is_built_in,
        _follow_drops,
        _follow_rewrites,
        _follow_names,
        wait_for_migration,
        wait_until_current,
        retry_failed,
        alter_collection,
        finish_migration,
        rollback_migration
    ]
);
