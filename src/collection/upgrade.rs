//! What step scripts do to the tables of collections. They are their owners', whose triggers and casts must not run as
//! whoever upgrades the extension, so it is not done in SQL. `rag.collection` may be that of any version in between.

use crate::collection::locked;
use crate::collection::terms::levels;
use crate::pg::attempt::in_subtransaction;
use crate::pg::error::{Error, Outcome};
use crate::pg::spi::{Arg, connect, run, run_once};
use crate::pg::switch_user::as_owner;
use pgrx::{PgLogLevel, PgSqlErrorCode, pg_sys};
use ragstone_core::levels::LEVELS;

struct Tables {
    collection: String,
    chunks: (pg_sys::Oid, String),
    terms: (pg_sys::Oid, String),
}

/// Gives collections of 0.1.0 what 0.2.0 expects of them: the number of rows among the words, and an index by which texts
/// are found again. A collection whose tables do not let that happen stops nothing.
pub fn upgrade_to_0_2() -> Outcome<()> {
    locked(|| {
        for tables in connect(tables)? {
            if let Err(error) = in_subtransaction(|| connect(|| add_rows_and_index(&tables))) {
                Error::new(
                    PgSqlErrorCode::ERRCODE_WARNING,
                    format!("collection \"{}\" was not upgraded: {}", tables.collection, error.message),
                )
                .detail(error.detail)
                .hint("Drop the collection with rag.drop_collection and create it again.")
                .notice(PgLogLevel::WARNING);
            }
        }
        Ok(())
    })
}

fn tables() -> Outcome<Vec<Tables>> {
    let rows = run(include_str!("../../sql/queries/collection_tables.sql"), &[])?;
    let tables = |row| {
        Some(Tables {
            collection: rows.text(row, 0)?,
            chunks: (rows.oid(row, 1)?, rows.text(row, 2)?),
            terms: (rows.oid(row, 3)?, rows.text(row, 4)?),
        })
    };
    Ok((0..rows.count).filter_map(tables).collect())
}

fn add_rows_and_index(tables: &Tables) -> Outcome<()> {
    let ((owner, chunks), (terms_owner, terms)) = (&tables.chunks, &tables.terms);
    let count = format!("SELECT count(*) FROM {chunks} WHERE seq = 1");
    let rows = as_owner(*owner, || run(&count, &[]))?.int8(0, 0).unwrap_or(0);
    let insert = format!(
        "INSERT INTO {terms} (lexeme, chunks, words{}) VALUES ('', 0, 0, $1{})",
        levels("level_"),
        ", 0".repeat(LEVELS - 2)
    );
    as_owner(*terms_owner, || run(&insert, &[Arg::new(rows)]))?;
    as_owner(*owner, || run_once(&format!("CREATE INDEX ON {chunks} (content_hash)")))?;
    Ok(())
}
