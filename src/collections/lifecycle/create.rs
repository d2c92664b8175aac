//! `rag.create_collection`.

use crate::collections::capture::triggers;
use crate::collections::catalog::collection::lock_name;
use crate::collections::catalog::collection::{Collection, Relation, Sync};
use crate::collections::catalog::keys;
use crate::collections::catalog::source::Source;
use crate::collections::catalog::tables;
use crate::collections::indexing::bulk::Fill;
use crate::collections::indexing::chunking::capacity;
use crate::collections::indexing::progress::Reporting;
use crate::collections::indexing::terms::{TermCounts, fold};
use crate::collections::queue;
use crate::embedding::{Embedder, model_or_default};
use pgrx::{PgLogLevel, pg_sys};
use ragstone_core::protocol::{ChunkOptions, Kind, Model};
use ragstone_pg::error::{Error, Result};
use ragstone_pg::identifier::quoted;
use ragstone_pg::own_tables::with_safe_search_path;
use ragstone_pg::spi::{Arg, connect, run};

/// Most dimensions that an HNSW index of halfvec takes.
const MOST_DIMENSIONS: u32 = 4000;

/// What a user asks for.
#[derive(Debug)]
pub struct Settings {
    /// Name of the collection.
    pub name: String,
    /// Table whose rows are to be searched.
    pub source: pg_sys::Oid,
    /// Column to search.
    pub content: String,
    /// Column to put before each chunk.
    pub title: Option<String>,
    /// Columns to filter by.
    pub metadata: Vec<String>,
    /// Model, or the default.
    pub model: Option<String>,
    /// How to cut; no size is as much as the model reads.
    pub chunks: ChunkOptions,
    /// Whether the user gave a size.
    pub sized: bool,
    /// Text search configuration, or english.
    pub language: Option<pg_sys::Oid>,
    /// Columns that tell rows apart, or those of the primary key.
    pub key: Option<Vec<String>>,
    /// How it follows its source.
    pub sync: Sync,
}

/// Makes a collection, and gives its number of chunks: none yet where a worker will fill it.
pub fn create(settings: Settings) -> Result<i64> {
    with_safe_search_path(|| {
        let model = describe(&model_or_default(settings.model.clone())?)?;
        let (mut collection, operators) = connect(|| prepare(&settings, &model))?;
        if collection.sync != Sync::Manual {
            follow(&collection)?;
            return Ok(0);
        }
        let mut progress = Reporting::start(&collection.name);
        let mut terms = TermCounts::default();
        let rows = collection.select_rows(&operators, true)?;
        let filled = Fill::new(&mut collection, &model, &operators, &mut terms)?.run(&rows, &mut progress)?;
        terms.write(&mut collection)?;
        fold(&mut collection)?;
        tables::index_keys(&collection)?;
        tables::index(&collection)?;
        collection.source_rows = filled.added;
        collection.chunk_count = filled.stored;
        connect(|| collection.update())?;
        Ok(filled.stored)
    })
}

/// Makes a collection like another one beside it, which will take its place.
pub fn create_beside(old: &Collection, settings: &Settings, number: i64) -> Result<()> {
    let model = describe(&settings.model.clone().unwrap_or_else(|| old.model.clone()))?;
    connect(|| {
        let source = Source::open(old.source()?.oid, "alter its collection")?;
        check_size(settings, &model)?;
        let mut collection = describe_collection(settings, &model, &source)?;
        collection.successor_of = Some(old.id);
        collection.language.clone_from(&old.language);
        tables::make(&mut collection, &source, &format!("{}_{number}", old.name))?;
        collection.insert()?;
        Ok::<_, Error>(collection)
    })
    .and_then(|collection| follow(&collection))
}

/// Sets a worker on a new collection.
fn follow(collection: &Collection) -> Result<()> {
    tables::index_keys(collection)?;
    connect(|| {
        triggers::install(collection)?;
        queue::append_all(collection.id)
    })
}

/// What the model is that a new collection is to have.
fn describe(name: &str) -> Result<Model> {
    let model = Embedder::find(name, Kind::Document)?.describe(None)?;
    if model.dimensions > MOST_DIMENSIONS {
        return Err(Error::not_supported(format!(
            "model \"{name}\" has {} dimensions, an index takes at most {MOST_DIMENSIONS}",
            model.dimensions
        ))
        .hint("Choose a smaller model of rag.models(), or a provider's option embedding_dimensions."));
    }
    Ok(model)
}

/// Checks everything, makes the tables and the collection's row.
fn prepare(settings: &Settings, model: &Model) -> Result<(Collection, Vec<String>)> {
    tables::check_name(&settings.name)?;
    lock_name(&settings.name)?;
    if Collection::find_latest(&settings.name)?.is_some() {
        return Err(Error::already_exists(format!("collection \"{}\" already exists", settings.name))
            .hint("Bring it up to date with rag.refresh_collection, or drop it with rag.drop_collection."));
    }
    let source = Source::open(settings.source, "make a collection of it")?;
    source.check_content(&settings.content)?;
    source.check_metadata(&settings.metadata)?;
    settings.title.iter().try_for_each(|title| source.column(title).map(|_| ()))?;
    check_size(settings, model)?;
    if source.is_foreign() && settings.sync != Sync::Manual {
        return Err(Error::not_supported(format!(
            "changes of foreign table \"{}\" cannot be followed",
            source.name
        ))
        .hint("Add sync => 'manual', and call rag.refresh_collection when it has changed."));
    }
    let mut collection = describe_collection(settings, model, &source)?;
    tables::make(&mut collection, &source, &settings.name)?;
    collection.insert()?;
    let operators = keys::operators(&collection)?;
    Ok((collection, operators))
}

fn describe_collection(settings: &Settings, model: &Model, source: &Source) -> Result<Collection> {
    let mut collection = Collection {
        id: 0,
        name: settings.name.clone(),
        source: Some(Relation {
            oid: source.oid,
            owner: source.owner,
            name: format!("{}.{}", quoted(&source.schema), quoted(&source.name)),
        }),
        chunks: None,
        terms: None,
        key: source.key(settings.key.clone())?,
        content: settings.content.clone(),
        title: settings.title.clone(),
        metadata: settings.metadata.clone(),
        model: model.name.clone(),
        fingerprint: model.fingerprint.clone(),
        dimensions: model.dimensions as i32,
        chunk_size: settings.sized.then_some(settings.chunks.size as i32),
        chunk_overlap: settings.chunks.overlap as i32,
        splitter: settings.chunks.splitter,
        language: language(settings.language)?,
        reference_words: 0.0,
        source_rows: 0,
        chunk_count: 0,
        terms_folded: 0,
        terms_appended: 0,
        vector_schema: ragstone_pg::vector::extension_schema()?,
        sync: settings.sync,
        filled: settings.sync == Sync::Manual,
        source_kind: None,
        column_numbers: Vec::new(),
        error: None,
        successor_of: None,
        predecessor_of: None,
    };
    collection.column_numbers = source.numbers(&collection)?;
    Ok(collection)
}

/// The name of a text search configuration, with its schema unless that is pg_catalog.
fn language(oid: Option<pg_sys::Oid>) -> Result<String> {
    let Some(oid) = oid else { return Ok("english".into()) };
    let rows = run("SELECT $1::regconfig::text", &[Arg::new(oid)])?;
    rows.text(0, 0).ok_or_else(|| Error::internal("a text search configuration has no name"))
}

/// Checks what depends on the model, and says so if it will not read all.
fn check_size(settings: &Settings, model: &Model) -> Result<()> {
    let (size, overlap, capacity) = (settings.chunks.size, settings.chunks.overlap, capacity(model));
    if !settings.sized && overlap >= capacity {
        return Err(Error::bad_argument(format!(
            "chunk overlap must be from 0 to {} tokens, not {overlap}",
            capacity - 1
        ))
        .hint("An overlap is less than the chunk size."));
    }
    if settings.sized && size > capacity {
        let name = &model.name;
        Error::information(format!(
            "chunks of up to {size} tokens are longer than the {capacity} that model \"{name}\" reads"
        ))
        .detail("Only their beginning is embedded; all of their words are indexed.")
        .notice(PgLogLevel::NOTICE);
    }
    Ok(())
}
