//! A collection, as its row in `rag.collection` describes it.

use crate::collections::catalog::relation::Relation;
use pgrx::pg_sys;
use ragstone_core::protocol::Splitter;
use ragstone_pg::error::{Error, Result};
use ragstone_pg::own_lock::OwnLock;
use ragstone_pg::own_tables::config_owner;
use ragstone_pg::rows::Rows;
use ragstone_pg::spi::{Arg, run, select};
use ragstone_pg::switch_user::{as_extension_owner, as_owner};

const QUERY: &str = include_str!("../../../sql/queries/collection.sql");

/// A collection.
#[derive(Debug, Clone)]
pub struct Collection {
    /// Number (`rag.collection.id`); 0 until the row is inserted.
    pub id: i64,
    /// Name that users give.
    pub name: String,
    /// The table that is searched; None if it was dropped. It may have another owner by now: see
    /// [`source`](Self::source).
    pub source: Option<Relation>,
    /// The chunk table; None if it was dropped. It may have been altered: see [`chunks`](Self::chunks).
    pub chunks: Option<Relation>,
    /// The terms table; None if it was dropped.
    pub terms: Option<Relation>,
    /// Columns that identify a row of the source.
    pub key: Vec<String>,
    /// Column with the text that is searched.
    pub content: String,
    /// Column with the text that is put before each chunk.
    pub title: Option<String>,
    /// Metadata columns, by which search can filter.
    pub metadata: Vec<String>,
    /// Name of the model.
    pub model: String,
    /// Fingerprint of the model that made the embeddings.
    pub fingerprint: String,
    /// Length of an embedding.
    pub dimensions: i32,
    /// Maximum number of tokens in a chunk; None stands for the maximum that the model reads.
    pub chunk_size: Option<i32>,
    /// Number of tokens at the start of a chunk that repeat the end of the chunk before.
    pub chunk_overlap: i32,
    /// Where content is split.
    pub splitter: Splitter,
    /// Text search configuration.
    pub language: String,
    /// Position, from 1, of the metadata column that holds each row's own text search configuration.
    pub language_place: Option<i32>,
    /// True if compound tokens are also found by their parts.
    pub word_parts: bool,
    /// True if letters with and without accents are treated as equal.
    pub ignore_accents: bool,
    /// Number of times that the text index was rebuilt.
    pub text_builds: i32,
    /// Rows with content at the last refresh.
    pub source_rows: i64,
    /// Chunks at the last refresh.
    pub chunk_count: i64,
    /// Schema of pgvector, quoted.
    pub vector_schema: String,
    /// How it follows its source.
    pub sync: Sync,
    /// True once the first fill has ended and the indexes exist.
    pub filled: bool,
    /// The source's `pg_class.relkind`.
    pub source_kind: Option<String>,
    /// Attribute numbers of the key, content, title (0: none) and metadata columns; empty until a restore has ended.
    pub column_numbers: Vec<i16>,
    /// The role that owned the source when the collection was created, or when a new owner was last accepted:
    /// see [`owner_change`](crate::collections::catalog::owner_change). None until a restore has ended.
    pub accepted_owner: Option<pg_sys::Oid>,
    /// True while `rag.pause_collection` keeps its changes queued.
    pub is_paused: bool,
    /// Why the collection cannot follow its source; None if it can.
    pub error: Option<String>,
    /// Why what is queued, if anything, is tried again only later.
    pub waits_for: Option<String>,
    /// The collection that this one will replace.
    pub successor_of: Option<i64>,
    /// The collection that has replaced this one.
    pub predecessor_of: Option<i64>,
    /// SQLSTATE and message, if the owner has altered the chunk table or the terms table so that no statement
    /// can rely on it.
    pub altered: Option<(String, String)>,
}

/// How a collection follows its source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sync {
    /// A worker brings it up to date soon after a commit.
    Background,
    /// The writer's own transaction brings it up to date.
    Immediate,
    /// Only `rag.refresh_collection` brings it up to date.
    Manual,
}

/// How the caller is about to use a collection's tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TableUse {
    /// The tables are read.
    Reading,
    /// The chunk table and the terms table are written.
    Writing,
    /// Indexes are built on the chunk table and the terms table. This takes long, so the source is not
    /// locked.
    Indexing,
}

impl Sync {
    /// Parses the argument of an SQL function.
    pub fn parse(name: &str) -> Result<Self> {
        match name {
            "background" => Ok(Self::Background),
            "immediate" => Ok(Self::Immediate),
            "manual" => Ok(Self::Manual),
            _ => Err(Error::bad_argument(format!("unknown sync \"{name}\""))
                .hint("Use 'background', 'immediate' or 'manual'.")),
        }
    }

    /// The name that is stored in the catalogue.
    pub fn name(self) -> &'static str {
        match self {
            Self::Background => "background",
            Self::Immediate => "immediate",
            Self::Manual => "manual",
        }
    }
}

impl Collection {
    /// The collection of this name, which must exist. With a `table_use`, its tables are locked as by
    /// [`lock_tables`](Self::lock_tables). Must be called with a search path of pg_catalog only.
    pub fn get(name: &str, table_use: Option<TableUse>) -> Result<Self> {
        // The row is read with the calling statement's snapshot, since a search must not see later changes.
        let rows = own_rows(|| select(QUERY, &[Arg::text(name), Arg::optional::<i64>(None)]))?;
        if rows.count == 0 { Err(undefined(name)) } else { Self::read(&rows, table_use) }
    }

    /// The collection of this name in its latest committed state, for callers that have waited for a lock.
    pub fn find_latest(name: &str) -> Result<Option<Self>> {
        let rows = own_rows(|| run(QUERY, &[Arg::text(name), Arg::optional::<i64>(None)]))?;
        if rows.count == 0 { Ok(None) } else { Self::read(&rows, None).map(Some) }
    }

    /// The collection with this number, in its latest committed state.
    pub fn find_by_id(id: i64) -> Result<Option<Self>> {
        Self::find_to_use(id, None)
    }

    /// As [`find_by_id`](Self::find_by_id); with a `table_use`, its tables are locked as by
    /// [`lock_tables`](Self::lock_tables).
    pub fn find_to_use(id: i64, table_use: Option<TableUse>) -> Result<Option<Self>> {
        let rows = own_rows(|| run(QUERY, &[Arg::optional_text(None), Arg::new(id)]))?;
        if rows.count == 0 { Ok(None) } else { Self::read(&rows, table_use).map(Some) }
    }

    /// The numbers among these that belong to a collection that is not paused.
    pub fn unpaused(ids: &[i64]) -> Result<Vec<i64>> {
        let ids = Arg::int8s(ids.iter().copied());
        let sql = "SELECT id FROM rag.collection WHERE id = ANY ($1) AND paused_at IS NULL";
        let rows = own_rows(|| run(sql, &[ids]))?;
        Ok((0..rows.count).filter_map(|row| rows.int8(row, 0)).collect())
    }

    /// The collections whose numbers are the first column of these rows, in their latest committed state.
    pub fn find_all(numbers: &Rows) -> Result<Vec<Self>> {
        let ids = (0..numbers.count).filter_map(|row| numbers.int8(row, 0));
        ids.filter_map(|id| Self::find_by_id(id).transpose()).collect()
    }

    /// As [`find_latest`](Self::find_latest), with an error if there is no such collection.
    pub fn get_latest(name: &str) -> Result<Self> {
        Self::find_latest(name)?.ok_or_else(|| undefined(name))
    }

    /// The metadata column with a row's own text search configuration.
    pub fn language_column(&self) -> Option<&str> {
        let place = usize::try_from(self.language_place?).ok()?.checked_sub(1)?;
        self.metadata.get(place).map(String::as_str)
    }

    /// True if a restore has not completed the collection yet: until then, only the restore may touch its
    /// tables.
    pub fn is_restoring(&self) -> bool {
        self.sync != Sync::Manual && self.column_numbers.is_empty()
    }

    fn read(rows: &Rows, table_use: Option<TableUse>) -> Result<Self> {
        let missing = |column: &str| Error::internal(format!("rag.collection.{column} is null"));
        let text = |column, name| rows.text(0, column).ok_or_else(|| missing(name));
        let texts = |column, name| rows.texts(0, column).ok_or_else(|| missing(name));
        let relation = |column| {
            let oid = rows.oid(0, column)?;
            Some(Relation { oid, owner: pg_sys::InvalidOid, name: String::new() })
        };
        let mut collection = Self {
            id: rows.int8(0, 0).ok_or_else(|| missing("id"))?,
            name: text(1, "name")?,
            source: relation(2),
            chunks: relation(3),
            terms: relation(4),
            key: texts(5, "key_columns")?,
            content: text(6, "content_column")?,
            title: rows.text(0, 7),
            metadata: texts(8, "metadata_columns")?,
            model: text(9, "model")?,
            fingerprint: text(10, "fingerprint")?,
            dimensions: rows.int4(0, 11).ok_or_else(|| missing("dimensions"))?,
            chunk_size: rows.int4(0, 12),
            chunk_overlap: rows.int4(0, 13).unwrap_or(0),
            splitter: text(14, "splitter")?.parse().map_err(Error::internal)?,
            language: text(15, "language")?,
            language_place: rows.int4(0, 28),
            word_parts: rows.boolean(0, 26).unwrap_or(true),
            ignore_accents: rows.boolean(0, 27).unwrap_or(false),
            text_builds: rows.int4(0, 29).unwrap_or(0),
            source_rows: rows.int8(0, 16).unwrap_or(0),
            chunk_count: rows.int8(0, 17).unwrap_or(0),
            vector_schema: text(18, "extension vector")?,
            sync: Sync::parse(&text(19, "sync")?)?,
            filled: rows.boolean(0, 20).unwrap_or(false),
            source_kind: None,
            column_numbers: rows.int2s(0, 21).unwrap_or_default(),
            accepted_owner: rows.oid(0, 22),
            is_paused: rows.boolean(0, 31).unwrap_or(false),
            error: rows.text(0, 23),
            waits_for: rows.text(0, 30),
            successor_of: rows.int8(0, 24),
            predecessor_of: rows.int8(0, 25),
            altered: None,
        };
        match table_use {
            Some(table_use) => collection.lock_tables(table_use)?,
            None => collection.read_tables()?,
        }
        Ok(collection)
    }

    /// Inserts the collection's row, and sets its number.
    pub fn insert(&mut self) -> Result<()> {
        let arguments = [
            Arg::text(&self.name),
            Arg::new(self.source()?.oid),
            Arg::new(self.chunks()?.oid),
            Arg::new(self.terms()?.oid),
            Arg::texts(&self.key),
            Arg::text(&self.content),
            Arg::optional_text(self.title.as_deref()),
            Arg::texts(&self.metadata),
            Arg::text(&self.model),
            Arg::text(&self.fingerprint),
            Arg::new(self.dimensions),
            Arg::optional(self.chunk_size),
            Arg::new(self.chunk_overlap),
            Arg::text(self.splitter.name()),
            Arg::text(&self.language),
            Arg::text(self.sync.name()),
            Arg::new(self.filled),
            Arg::optional(self.successor_of),
            Arg::int2s(&self.column_numbers),
            Arg::new(self.source()?.owner),
            Arg::new(self.word_parts),
            Arg::new(self.ignore_accents),
            Arg::optional(self.language_place),
        ];
        let rows = as_owner(config_owner()?, || {
            run(
                "WITH made AS (
                 INSERT INTO rag.collection (name, source, chunk_table, terms_table, key_columns, content_column,
                   title_column, metadata_columns, model, fingerprint, dimensions, chunk_size, chunk_overlap, splitter,
                   language, sync, filled, successor_of, word_parts, ignore_accents, language_place)
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $21, $22, $23)
                 RETURNING id)
                 INSERT INTO rag._source (collection, owner, column_numbers) SELECT id, $20, $19 FROM made RETURNING collection",
                &arguments,
            )
        })?;
        self.id = rows.int8(0, 0).ok_or_else(|| Error::internal("rag.collection gave no id"))?;
        Ok(())
    }

    /// Stores the values that a refresh has changed.
    pub fn update(&self) -> Result<()> {
        let arguments = [
            Arg::new(self.id),
            Arg::text(&self.fingerprint),
            Arg::new(self.dimensions),
            Arg::new(self.source_rows),
            Arg::new(self.chunk_count),
            Arg::new(self.filled),
        ];
        as_owner(config_owner()?, || {
            run(
                "UPDATE rag.collection
                 SET fingerprint = $2, dimensions = $3, source_rows = $4, chunks = $5, filled = $6, refreshed_at = now()
                 WHERE id = $1",
                &arguments,
            )
        })?;
        Ok(())
    }

    /// True if words that were found for `before` are still valid for the text index. They are not after a
    /// rebuild, because dictionaries may have changed.
    pub fn finds_words_as(&self, before: &Self) -> bool {
        self.text_builds == before.text_builds
    }

    /// Stores the options of the text search after the text index was rebuilt.
    pub fn update_text_options(&self) -> Result<()> {
        let arguments = [
            Arg::new(self.id),
            Arg::text(&self.language),
            Arg::new(self.word_parts),
            Arg::new(self.ignore_accents),
        ];
        let sql =
            "UPDATE rag.collection SET language = $2, word_parts = $3, ignore_accents = $4, text_builds = text_builds + 1
             WHERE id = $1";
        as_owner(config_owner()?, || run(sql, &arguments).map(|_| ()))
    }

    /// Reads again what a session may have changed while this one waited for its locks: the options of the text
    /// search, and whether the collection is paused.
    pub(super) fn read_options(&mut self) -> Result<()> {
        let sql = "SELECT language, word_parts, ignore_accents, text_builds, paused_at IS NOT NULL FROM rag.collection WHERE id = $1";
        let rows = own_rows(|| run(sql, &[Arg::new(self.id)]))?;
        if let Some(language) = rows.text(0, 0) {
            self.language = language;
            self.word_parts = rows.boolean(0, 1).unwrap_or(true);
            self.ignore_accents = rows.boolean(0, 2).unwrap_or(false);
            self.text_builds = rows.int4(0, 3).unwrap_or(0);
            self.is_paused = rows.boolean(0, 4).unwrap_or(false);
        }
        Ok(())
    }

    /// Deletes the collection's row.
    pub fn delete(&self) -> Result<()> {
        as_owner(config_owner()?, || run("DELETE FROM rag.collection WHERE id = $1", &[Arg::new(self.id)]))?;
        Ok(())
    }
}

/// Reads rows of the extension's own tables, on which no other role has privileges.
pub(super) fn own_rows(read: impl FnOnce() -> Result<Rows>) -> Result<Rows> {
    as_extension_owner(config_owner()?, read)
}

fn undefined(name: &str) -> Error {
    Error::undefined(format!("collection \"{name}\" does not exist"))
        .hint("Look for its name in rag.collections, or make one with rag.create_collection.")
}

/// Locks the name of a collection until the transaction ends, so that only one session at a time creates,
/// refreshes or drops it.
pub fn lock_name(name: &str) {
    OwnLock::new("collection", name).wait_for_transaction();
}
