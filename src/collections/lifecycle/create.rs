//! `rag.create_collection`.

use crate::collections::capture::triggers;
use crate::collections::catalog::collection::lock_name;
use crate::collections::catalog::collection::{Collection, Sync};
use crate::collections::catalog::keys::KeyColumns;
use crate::collections::catalog::relation::Relation;
use crate::collections::catalog::source::SourceTable;
use crate::collections::catalog::tables;
use crate::collections::indexing::bulk::Fill;
use crate::collections::indexing::chunking::{capacity, invalid_overlap};
use crate::collections::indexing::index_changes::IndexChanges;
use crate::collections::indexing::progress::ProgressReport;
use crate::collections::indexing::segments::{MergeExtent, merge_segments};
use crate::collections::queue;
use crate::embedding::{Embedder, model_or_default};
use pgrx::{PgLogLevel, pg_sys};
use ragstone_core::protocol::{ChunkOptions, Kind, Model};
use ragstone_pg::error::{Error, Result};
use ragstone_pg::identifier::quoted;
use ragstone_pg::own_tables::with_safe_search_path;
use ragstone_pg::spi::{Arg, connect, run};

/// Maximum number of dimensions that an HNSW index of halfvec supports.
const MAX_DIMENSIONS: u32 = 4000;

/// Options of a new collection.
#[derive(Debug)]
pub struct CollectionOptions {
    /// Name of the collection.
    pub name: String,
    /// Table whose rows will be searched.
    pub source: pg_sys::Oid,
    /// Column to search.
    pub content: String,
    /// Column to put before each chunk.
    pub title: Option<String>,
    /// Columns to filter by.
    pub metadata: Vec<String>,
    /// Name of the model; None stands for `rag.default_model`.
    pub model: Option<String>,
    /// How content is split.
    pub chunks: ChunkOptions,
    /// True if the user set a chunk size; otherwise a chunk may be as long as the model reads.
    pub sized: bool,
    /// Text search configuration; None stands for `english`.
    pub language: Option<pg_sys::Oid>,
    /// Metadata column that holds each row's own text search configuration.
    pub language_column: Option<String>,
    /// True if compound tokens are also found by their parts.
    pub word_parts: bool,
    /// True if letters with and without accents are treated as equal.
    pub ignore_accents: bool,
    /// Columns that identify a row; None stands for those of the primary key.
    pub key: Option<Vec<String>>,
    /// How it follows its source.
    pub sync: Sync,
    /// True if an existing collection of this name is kept, with a NOTICE.
    pub if_not_exists: bool,
}

/// Creates a collection and returns its number of chunks, which is 0 if a worker will fill it; None if it exists and
/// is kept.
pub fn create(options: CollectionOptions) -> Result<Option<i64>> {
    with_safe_search_path(|| {
        if connect(|| keeps_existing(&options))? {
            return Ok(None);
        }
        let model = describe(&model_or_default(options.model.clone())?)?;
        let (mut collection, operators) = connect(|| prepare(&options, &model))?;
        if collection.sync != Sync::Manual {
            follow(&collection)?;
            return Ok(Some(0));
        }
        let mut progress = ProgressReport::start(&collection.name);
        let mut changes = IndexChanges::default();
        let rows = collection.select_rows(&operators, true)?;
        let filled =
            Fill::new(&mut collection, &model, &operators, &mut changes)?.run(&rows, &mut progress)?;
        changes.write(&collection)?;
        tables::create_key_indexes(&collection)?;
        merge_segments(&collection, MergeExtent::All)?;
        tables::create_search_indexes(&collection)?;
        collection.source_rows = filled.added;
        collection.chunk_count = filled.stored;
        connect(|| collection.update())?;
        Ok(Some(filled.stored))
    })
}

/// Creates the successor of a collection beside it. The successor takes the collection's name later.
pub fn create_beside(old: &Collection, options: &CollectionOptions, number: i64) -> Result<()> {
    // If the tables are not the collection's own, the recorded source may be another table as well.
    connect(|| old.chunks().and(old.terms()).map(|_| ()))?;
    let model = describe(&options.model.clone().unwrap_or_else(|| old.model.clone()))?;
    connect(|| {
        let source = SourceTable::open(old.source()?.oid, "alter its collection")?;
        check_size(options, &model)?;
        let mut collection = describe_collection(options, &model, &source)?;
        collection.successor_of = Some(old.id);
        if options.language.is_none() {
            collection.language.clone_from(&old.language);
        }
        tables::create(&mut collection, &source, &tables::stem_beside(&old.name, number))?;
        collection.insert()?;
        tables::mark(&collection)?;
        Ok::<_, Error>(collection)
    })
    .and_then(|collection| follow(&collection))
}

/// Makes a new collection follow its source, so that a worker fills it.
fn follow(collection: &Collection) -> Result<()> {
    tables::create_key_indexes(collection)?;
    connect(|| {
        triggers::install(collection)?;
        queue::append_all(collection.id)
    })
}

/// Describes the model of a new collection.
fn describe(name: &str) -> Result<Model> {
    let model = Embedder::find(name, Kind::Document)?.describe(None)?;
    if model.dimensions > MAX_DIMENSIONS {
        return Err(Error::not_supported(format!(
            "model \"{name}\" has {} dimensions, an index takes at most {MAX_DIMENSIONS}",
            model.dimensions
        ))
        .hint("Choose a smaller model of rag.models(), or a provider's option embedding_dimensions."));
    }
    Ok(model)
}

/// Locks the new collection's name. Returns true if a collection of this name exists and is to be kept.
fn keeps_existing(options: &CollectionOptions) -> Result<bool> {
    tables::check_name(&options.name, "collection name")?;
    lock_name(&options.name);
    if Collection::find_latest(&options.name)?.is_none() {
        return Ok(false);
    }
    let exists = format!("collection \"{}\" already exists", options.name);
    if options.if_not_exists {
        Error::already_exists(format!("{exists}, skipping")).notice(PgLogLevel::NOTICE);
        return Ok(true);
    }
    Err(Error::already_exists(exists)
        .hint("Bring it up to date with rag.refresh_collection, or drop it with rag.drop_collection."))
}

/// Checks the options, and creates the tables and the collection's row.
fn prepare(options: &CollectionOptions, model: &Model) -> Result<(Collection, Vec<String>)> {
    let source = SourceTable::open(options.source, "make a collection of it")?;
    source.check_content(&options.content)?;
    source.check_metadata(&options.metadata)?;
    options.title.iter().try_for_each(|title| source.column(title).map(|_| ()))?;
    check_size(options, model)?;
    if source.is_foreign() && options.sync != Sync::Manual {
        return Err(Error::not_supported(format!(
            "changes of foreign table \"{}\" cannot be followed",
            source.name
        ))
        .hint("Add sync => 'manual', and call rag.refresh_collection when it has changed."));
    }
    let mut collection = describe_collection(options, model, &source)?;
    tables::create(&mut collection, &source, &options.name)?;
    collection.insert()?;
    tables::mark(&collection)?;
    let operators = KeyColumns::of(&collection)?.operators;
    Ok((collection, operators))
}

fn describe_collection(
    options: &CollectionOptions,
    model: &Model,
    source: &SourceTable,
) -> Result<Collection> {
    let mut collection = Collection {
        id: 0,
        name: options.name.clone(),
        source: Some(Relation {
            oid: source.oid,
            owner: source.owner,
            name: format!("{}.{}", quoted(&source.schema), quoted(&source.name)),
        }),
        chunks: None,
        terms: None,
        key: source.key(options.key.clone())?,
        content: options.content.clone(),
        title: options.title.clone(),
        metadata: options.metadata.clone(),
        model: model.name.clone(),
        fingerprint: model.fingerprint.clone(),
        dimensions: model.dimensions as i32,
        chunk_size: options.sized.then_some(options.chunks.size as i32),
        chunk_overlap: options.chunks.overlap as i32,
        splitter: options.chunks.splitter,
        language: language(options.language)?,
        language_place: language_place(options),
        word_parts: options.word_parts,
        ignore_accents: options.ignore_accents,
        text_builds: 0,
        source_rows: 0,
        chunk_count: 0,
        vector_schema: ragstone_pg::vector::extension_schema()?,
        sync: options.sync,
        filled: options.sync == Sync::Manual,
        source_kind: None,
        column_numbers: Vec::new(),
        accepted_owner: Some(source.owner),
        is_paused: false,
        error: None,
        waits_for: None,
        successor_of: None,
        predecessor_of: None,
        altered: None,
    };
    collection.column_numbers = source.numbers(&collection)?;
    Ok(collection)
}

fn language_place(options: &CollectionOptions) -> Option<i32> {
    let column = options.language_column.as_ref()?;
    let place = options.metadata.iter().position(|metadata| metadata == column)?;
    i32::try_from(place + 1).ok()
}

/// Name of a text search configuration, with its schema unless that is pg_catalog.
pub fn language(oid: Option<pg_sys::Oid>) -> Result<String> {
    let Some(oid) = oid else { return Ok("english".into()) };
    let rows = run("SELECT oid::regconfig::text FROM pg_ts_config WHERE oid = $1", &[Arg::new(oid)])?;
    rows.text(0, 0).ok_or_else(|| {
        Error::undefined(format!("language: there is no text search configuration with OID {}", oid.to_u32()))
    })
}

/// Checks the chunk size against the model, and warns if the model will not read whole chunks.
fn check_size(options: &CollectionOptions, model: &Model) -> Result<()> {
    let (size, overlap, capacity) = (options.chunks.size, options.chunks.overlap, capacity(model));
    if !options.sized && overlap >= capacity {
        return Err(invalid_overlap(overlap, capacity));
    }
    if options.sized && size > capacity {
        let name = &model.name;
        Error::information(format!(
            "chunks of up to {size} tokens are longer than the {capacity} that model \"{name}\" reads"
        ))
        .detail("Only their beginning is embedded; all of their words are indexed.")
        .notice(PgLogLevel::NOTICE);
    }
    Ok(())
}
