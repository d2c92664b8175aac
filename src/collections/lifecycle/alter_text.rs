//! Changes the text search options of a collection.

use crate::collections::catalog::collection::{Collection, TableUse, lock_name};
use crate::collections::catalog::source::SourceTable;
use crate::collections::lifecycle::create::language;
use crate::collections::lifecycle::migration::check_is_in_no_migration;
use crate::collections::lifecycle::text_options::TextOptions;
use crate::collections::lifecycle::text_rebuild::rebuild_text;
use ragstone_pg::error::{Error, Result};
use ragstone_pg::own_tables::with_safe_search_path;
use ragstone_pg::portable::with_portable_settings;
use ragstone_pg::spi::connect;

/// Changes the text search options and rebuilds the text index. The caller must have the rights of the
/// source's owner.
pub fn alter(name: &str, options: &TextOptions) -> Result<()> {
    with_safe_search_path(|| {
        let mut collection = connect(|| {
            lock_name(name);
            let mut collection = Collection::get_latest(name)?;
            SourceTable::open(collection.source_of_any_owner()?.oid, "alter its collection")?;
            collection.lock_tables(TableUse::Reading)?;
            Ok::<_, Error>(collection)
        })?;
        check_is_in_no_migration(&collection)?;
        if options.language.is_some() {
            collection.language = connect(|| language(options.language))?;
        }
        collection.word_parts = options.word_parts.unwrap_or(collection.word_parts);
        collection.ignore_accents = options.ignore_accents.unwrap_or(collection.ignore_accents);
        with_portable_settings(|| rebuild_text(&collection))
    })
}
