//! Fills a collection in bulk. While the engine embeds some passages, other rows are read, split and stored.

use crate::collections::catalog::collection::Collection;
use crate::collections::catalog::statements::MAX_CONTENT_BYTES;
use crate::collections::indexing::chunking::Chunker;
use crate::collections::indexing::cut::cut_now;
use crate::collections::indexing::index_changes::IndexChanges;
use crate::collections::indexing::passage;
use crate::collections::indexing::passage::{Passage, SourceRow};
use crate::collections::indexing::progress::ProgressReport;
use crate::collections::indexing::slices::{SliceOutcome, Slices};
use crate::collections::indexing::store::store;
use crate::collections::queue::keyless;
use crate::embedding::{Embedder, plain_vectors};
use ragstone_client::engine::client::Pending;
use ragstone_core::protocol::{Kind, Lane, Model};
use ragstone_pg::cursor::Cursor;
use ragstone_pg::error::{Error, Result};
use ragstone_pg::portable::as_source_owner;
use ragstone_pg::rows::Rows;
use ragstone_pg::spi::{Arg, connect, run};
use ragstone_pg::switch_user::as_owner;
use ragstone_pg::value::Value;
use std::collections::{HashMap, VecDeque};

/// Maximum number of passages in one request to the engine.
const MAX_REQUEST_PASSAGES: usize = 128;

/// Maximum number of requests in flight. With two, the engine has work while rows are stored; the third lets it sort
/// texts by length.
const MAX_REQUESTS_IN_FLIGHT: usize = 3;

/// Size of content, in bytes, at which the rows read so far are split.
const TARGET_READ_BYTES: usize = 1 << 20;

/// Maximum number of rows that are read before they are split.
const MAX_READ_ROWS: usize = 1024;

/// Maximum number of rows in one fetch. It is small because the size of rows is known only once they are in
/// memory.
const MAX_FETCH_ROWS: i64 = 4;

/// Number of columns before the key's columns in the result of the statement that reads rows.
const FIXED_COLUMNS: usize = 9;

/// Numbers of rows and chunks that a fill has processed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct FillCounts {
    /// Rows that were not in the collection.
    pub added: i64,
    /// Rows whose title, metadata or content has changed.
    pub changed: i64,
    /// Rows that have not changed.
    pub unchanged: i64,
    /// Chunks that were stored.
    pub stored: i64,
    /// Chunks that were replaced.
    pub replaced: i64,
    /// Chunks that the engine embedded.
    pub embedded: i64,
}

impl FillCounts {
    /// Counts a row of the statement that reads rows.
    fn count(&mut self, rows: &Rows, row: usize) {
        match (rows.boolean(row, 4) == Some(true), rows.boolean(row, 5) == Some(true)) {
            (false, _) => self.added += 1,
            (true, false) => self.changed += 1,
            (true, true) => self.unchanged += 1,
        }
    }
}

/// A fill of one collection.
pub struct Fill<'a> {
    collection: &'a mut Collection,
    chunker: Chunker,
    embedder: Embedder,
    fingerprint: String,
    delete_row: String,
    waiting: Vec<Passage>,
    in_flight: VecDeque<SentPassages>,
    /// Embeddings of chunks that were just deleted, by the hash of their text.
    known: HashMap<Vec<u8>, Vec<f32>>,
    changes: &'a mut IndexChanges,
    counts: FillCounts,
}

/// Passages whose embeddings were requested.
struct SentPassages {
    passages: Vec<Passage>,
    slices: Slices,
}

impl<'a> Fill<'a> {
    /// Prepares the fill of a collection whose tables exist.
    pub fn new(
        collection: &'a mut Collection,
        model: &Model,
        operators: &[String],
        changes: &'a mut IndexChanges,
    ) -> Result<Self> {
        let embedder = Embedder::find(&collection.model, Kind::Document)?;
        Ok(Self {
            chunker: Chunker::new(collection, model, embedder.caller()),
            embedder,
            fingerprint: model.fingerprint.clone(),
            delete_row: collection.delete_row(operators)?,
            waiting: Vec::new(),
            in_flight: VecDeque::new(),
            known: HashMap::new(),
            changes,
            counts: FillCounts::default(),
            collection,
        })
    }

    /// Reads the rows that `select` returns, and stores their chunks.
    pub fn run(mut self, select: &str, progress: &mut ProgressReport) -> Result<FillCounts> {
        progress.expect(self.count_source()?);
        let source = self.collection.source()?.owner;
        let cursor = connect(|| as_source_owner(source, || Cursor::open(select, &[])))?;
        let mut most = 1;
        loop {
            let (rows, seen) = self.read(&cursor, &mut most)?;
            if seen == 0 {
                break;
            }
            self.split_and_send(rows)?;
            progress.add(seen);
        }
        connect(|| as_source_owner(source, || cursor.close()))?;
        self.send()?;
        while !self.in_flight.is_empty() {
            self.store_oldest()?;
        }
        Ok(self.counts)
    }

    fn count_source(&self) -> Result<usize> {
        let source = self.collection.source()?;
        let statement = format!("SELECT count(*) FROM {}", source.name);
        connect(|| as_owner(source.owner, || Ok(run(&statement, &[])?.int8(0, 0).unwrap_or(0) as usize)))
    }

    /// Returns the rows to split, and the number of rows read. `most` is the size of the next fetch, in rows.
    fn read(&mut self, cursor: &Cursor, most: &mut i64) -> Result<(Vec<SourceRow>, usize)> {
        let source = self.collection.source()?.owner;
        let mut stale = Vec::new();
        let (mut seen, mut bytes, mut is_end) = (0, 0, false);
        while !is_end && seen < MAX_READ_ROWS && bytes < TARGET_READ_BYTES {
            let fetched: usize = connect(|| -> Result<usize> {
                let rows = as_source_owner(source, || cursor.fetch(*most))?;
                self.take(&rows, &mut stale)?;
                Ok(rows.count)
            })?;
            is_end = fetched < *most as usize;
            seen += fetched;
            bytes = stale.iter().map(|row| row.content.len()).sum();
            *most = if bytes < TARGET_READ_BYTES { (*most * 2).min(MAX_FETCH_ROWS) } else { 1 };
        }
        Ok((stale, seen))
    }

    /// Collects the rows to split in `stale`, and deletes their chunks.
    fn take(&mut self, rows: &Rows, stale: &mut Vec<SourceRow>) -> Result<()> {
        for row in 0..rows.count {
            self.counts.count(rows, row);
            if let Some(stale_row) = read_row(rows, row, self.collection)? {
                if rows.boolean(row, 4) == Some(true) {
                    self.delete(&stale_row.key)?;
                }
                stale.push(stale_row);
            }
        }
        Ok(())
    }

    /// Deletes the chunks of a row that will be split again, but keeps their embeddings for reuse.
    fn delete(&mut self, key: &[Value]) -> Result<()> {
        let arguments: Vec<_> = key.iter().map(Arg::value).collect();
        let owner = self.collection.chunks()?.owner;
        let rows = as_owner(owner, || run(&self.delete_row, &arguments))?;
        self.changes.count_deleted(&rows);
        for row in 0..rows.count {
            if rows.text(row, 2).as_deref() == Some(self.fingerprint.as_str())
                && let (Some(hash), Some(embedding)) = (rows.bytea(row, 1), rows.float4s(row, 3))
            {
                self.known.insert(hash, embedding);
            }
        }
        self.counts.replaced += rows.count as i64;
        Ok(())
    }

    /// Splits rows, stores passages whose embeddings are known, and sends the others to the engine.
    fn split_and_send(&mut self, rows: Vec<SourceRow>) -> Result<()> {
        let mut passages = cut_now(&self.chunker, rows)?;
        let owner = self.collection.chunks()?.owner;
        for passages in passages.chunks_mut(MAX_REQUEST_PASSAGES) {
            let mut passages: Vec<&mut Passage> = passages.iter_mut().collect();
            connect(|| as_owner(owner, || passage::analyse(&mut passages, self.collection)))?;
        }
        let known = std::mem::take(&mut self.known);
        for passage in passages {
            match known.get(&passage.hash) {
                Some(embedding) => self.store(&[passage], embedding)?,
                None => self.waiting.push(passage),
            }
            if self.waiting.len() >= MAX_REQUEST_PASSAGES {
                self.send()?;
            }
        }
        Ok(())
    }

    fn send(&mut self) -> Result<()> {
        if self.waiting.is_empty() {
            return Ok(());
        }
        if self.in_flight.len() >= MAX_REQUESTS_IN_FLIGHT {
            self.store_oldest()?;
        }
        let passages = std::mem::take(&mut self.waiting);
        let mut slices = Slices::default();
        passages.iter().enumerate().for_each(|(place, passage)| slices.add(place, passage.text.len()));
        while slices.has_waiting() {
            slices.send(&self.embedder, Lane::Bulk, usize::MAX, |place| passages[place].text.clone())?;
        }
        self.in_flight.push_back(SentPassages { passages, slices });
        Ok(())
    }

    fn store_oldest(&mut self) -> Result<()> {
        let Some(SentPassages { passages, mut slices }) = self.in_flight.pop_front() else { return Ok(()) };
        let dimensions = self.collection.dimensions as usize;
        let mut embeddings = vec![0.0; passages.len() * dimensions];
        while !slices.is_empty() {
            match slices.take(&self.embedder, Pending::wait_next, |place| passages[place].text.clone())? {
                None => {}
                Some(SliceOutcome::Refused(place, error)) => {
                    return Err(error.with_fact(format!("The row's key is {}.", key_text(&passages[place])?)));
                }
                Some(SliceOutcome::Answered(slice, answer)) => {
                    let vectors = plain_vectors(answer)?;
                    self.check_fingerprint(&vectors.fingerprint)?;
                    passage::check_embeddings(vectors.values.len(), slice.places.len(), dimensions)?;
                    for (place, embedding) in slice.places.iter().zip(vectors.values.chunks_exact(dimensions))
                    {
                        embeddings[place * dimensions..][..dimensions].copy_from_slice(embedding);
                    }
                }
            }
        }
        self.counts.embedded += passages.len() as i64;
        self.store(&passages, &embeddings)
    }

    fn check_fingerprint(&self, found: &str) -> Result<()> {
        if found == self.fingerprint {
            return Ok(());
        }
        let model = &self.collection.model;
        Err(Error::wrong_state(format!("model \"{model}\" was replaced while it was in use"))
            .hint("Start again."))
    }

    /// Stores passages with their embeddings; shape `[passages, dimensions]`.
    fn store(&mut self, passages: &[Passage], embeddings: &[f32]) -> Result<()> {
        let dimensions = self.collection.dimensions as usize;
        passage::check_embeddings(embeddings.len(), passages.len(), dimensions)?;
        let embedded: Vec<(&Passage, &[f32])> =
            passages.iter().zip(embeddings.chunks_exact(dimensions)).collect();
        store(self.collection, &self.fingerprint, &embedded, self.changes)?;
        self.counts.stored += passages.len() as i64;
        if self.changes.is_large() {
            self.changes.write(self.collection)?;
        }
        Ok(())
    }
}

/// Counts the rows that `select` returns, if none of them has to be split; otherwise returns the error of the
/// model, which is needed for that.
pub fn count_unchanged(collection: &Collection, select: &str, without_model: &Error) -> Result<FillCounts> {
    let source = collection.source()?.owner;
    let cursor = connect(|| as_source_owner(source, || Cursor::open(select, &[])))?;
    let mut counts = FillCounts::default();
    loop {
        let fetched: usize = connect(|| -> Result<usize> {
            let rows = as_source_owner(source, || cursor.fetch(MAX_FETCH_ROWS))?;
            for row in 0..rows.count {
                if read_row(&rows, row, collection)?.is_some() {
                    return Err(without_model.clone());
                }
                counts.count(&rows, row);
            }
            Ok(rows.count)
        })?;
        if fetched == 0 {
            connect(|| as_source_owner(source, || cursor.close()))?;
            return Ok(counts);
        }
    }
}

/// The key of a passage's row, in the form that users read.
fn key_text(passage: &Passage) -> Result<String> {
    let key = &passage.row.key;
    let places: Vec<String> = (1..=key.len()).map(|place| format!("${place}")).collect();
    let statement = format!("SELECT pg_catalog.concat_ws(', ', {})", places.join(", "));
    let arguments: Vec<_> = key.iter().map(Arg::value).collect();
    connect(|| Ok(run(&statement, &arguments)?.text(0, 0).unwrap_or_default()))
}

/// A row to split; None if it has not changed.
pub fn read_row(rows: &Rows, row: usize, collection: &Collection) -> Result<Option<SourceRow>> {
    if let Some(key) = rows.text(row, 7) {
        return Err(Error::over_limit(format!(
            "content of {} bytes is over the limit of {MAX_CONTENT_BYTES} bytes",
            rows.int4(row, 6).unwrap_or(0)
        ))
        .detail(format!("The row's key is {key}."))
        .hint("Split the document into several rows."));
    }
    let Some(content) = rows.text(row, 1) else { return Ok(None) };
    let key = (0..collection.key.len()).map(|place| {
        rows.value(row, FIXED_COLUMNS + place).ok_or_else(|| keyless::error(&collection.key[place]))
    });
    Ok(Some(SourceRow {
        title: rows.text(row, 0).unwrap_or_default(),
        content,
        metadata: rows.jsonb(row, 2).ok_or_else(|| Error::internal("a row has no metadata"))?.0,
        hash: rows.bytea(row, 3).ok_or_else(|| Error::internal("a row has no hash"))?,
        key: key.collect::<Result<_>>()?,
        place: 0,
    }))
}
