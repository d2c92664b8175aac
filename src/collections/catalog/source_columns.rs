//! The columns of a source that a collection relies on, as they are now. A command may have changed them without any event trigger, and
//! the errors of statements on them would not say which collection they belong to.

use crate::collections::catalog::collection::Collection;
use crate::collections::catalog::keys::key_column;
use pgrx::pg_sys;
use ragstone_pg::error::{Error, Result};
use ragstone_pg::own_tables::with_safe_search_path;
use ragstone_pg::relation::{find_column_type, is_text_type};
use ragstone_pg::spi::{Arg, select};

impl Collection {
    /// Checks that the source has each of the collection's columns, that the content is text, and that the key has the types of the
    /// chunks' keys.
    ///
    /// # Errors
    /// 42703 for a column that is gone, 42804 for one of another type.
    pub fn check_columns(&self) -> Result<()> {
        let source = self.source_of_any_owner()?.oid;
        let type_of = |name: &str| find_column_type(source, name)?.ok_or_else(|| self.lost_column(name));
        let content = type_of(&self.content)?;
        if !is_text_type(content) {
            return Err(self.no_text(&name_of(content)?));
        }
        self.title.iter().chain(&self.metadata).try_for_each(|name| type_of(name).map(|_| ()))?;
        for (place, name) in self.key.iter().enumerate() {
            let (found, chunks) = (type_of(name)?, self.chunks.as_ref());
            let stored = chunks.map(|chunks| find_column_type(chunks.oid, &key_column(place))).transpose()?;
            if stored.flatten().is_some_and(|stored| stored != found) {
                return Err(self.other_key(name, &name_of(found)?));
            }
        }
        Ok(())
    }

    /// The error where a column of the source is gone, or the whole source since it was read. `rag._collection_error` says the same.
    pub fn lost_column(&self, name: &str) -> Error {
        match self.is_source_dropped() {
            Ok(true) => return self.gone("source"),
            Ok(false) => {}
            Err(error) => return error,
        }
        Error::undefined_column(format!(
            "column \"{name}\" of the source of collection \"{}\" no longer exists",
            self.name
        ))
        .hint("Add it again, or drop the collection with rag.drop_collection.")
    }

    /// The error where the content is no text any more. `rag._collection_error` says the same.
    pub fn no_text(&self, kind: &str) -> Error {
        Error::datatype_mismatch(format!(
            "content column \"{}\" of the source of collection \"{}\" has type {kind}, not text",
            self.content, self.name
        ))
        .hint("Give it a text type again, or drop the collection with rag.drop_collection.")
    }

    /// The error where the chunks' keys have another type than those of the source.
    pub fn other_key(&self, name: &str, kind: &str) -> Error {
        Error::datatype_mismatch(format!(
            "key column \"{name}\" of the source of collection \"{}\" now has type {kind}, but the keys of its chunks do not",
            self.name
        ))
        .hint(format!("Call rag.refresh_collection('{}').", self.name))
    }
}

fn name_of(kind: pg_sys::Oid) -> Result<String> {
    let name = || select("SELECT format_type($1, NULL)", &[Arg::new(kind)]);
    Ok(with_safe_search_path(name)?.text(0, 0).unwrap_or_default())
}
