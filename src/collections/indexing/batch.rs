//! A batch of changed rows: read, split, embedded. A worker runs each step in a transaction of its own or outside of
//! any; a writer to an immediate collection runs all of them in the transaction that writes.

use crate::collections::catalog::collection::Collection;
use crate::collections::catalog::keys::{Key, KeyColumns};
use crate::collections::indexing::bulk::read_row;
use crate::collections::indexing::chunking::Chunker;
use crate::collections::indexing::held::HeldEmbeddings;
use crate::collections::indexing::passage::{Passage, SourceRow, analyse, check_embeddings};
use crate::embedding::{Embedder, plain_vectors};
use ragstone_client::engine::client::Pending;
use ragstone_core::protocol::{Kind, Lane, Response};
use ragstone_pg::cursor::Cursor;
use ragstone_pg::error::{Error, Result};
use ragstone_pg::plans::by_index;
use ragstone_pg::spi::{Arg, connect, run};
use ragstone_pg::switch_user::as_owner;
use std::collections::{HashMap, VecDeque};

/// Size of content at which a batch takes no more rows. It bounds memory to this and one row.
const MAX_BATCH_BYTES: usize = 256 << 10;

/// Maximum number of rows in one fetch. The first fetches are smaller, since the size of rows is known only once they
/// are read.
const MAX_FETCH_ROWS: i64 = 16;

/// Number of passages whose words are found in one statement.
const PASSAGES_PER_STATEMENT: usize = 128;

/// A row that was queued.
#[derive(Debug, Clone)]
pub struct QueuedRow {
    /// Its key.
    pub key: Key,
    /// Its entries in the queue.
    pub ids: Vec<i64>,
    /// What reading it has found.
    pub status: RowStatus,
}

/// State of a row when it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RowStatus {
    /// There is no row with this key, or it has no content.
    Missing,
    /// The collection has the row in this state.
    Unchanged,
    /// The row is to be split; its hash.
    Stale(Vec<u8>),
}

/// Rows of one collection.
pub struct RowBatch {
    /// The collection, as it was last read.
    pub collection: Collection,
    /// How its keys are compared.
    pub keys: KeyColumns,
    /// The rows.
    pub items: Vec<QueuedRow>,
    /// Their passages, with embeddings once these are known.
    pub passages: Vec<(Passage, Option<Vec<f32>>)>,
    embedder: Embedder,
    rows: Vec<SourceRow>,
    in_flight: VecDeque<(Vec<usize>, Pending)>,
}

impl RowBatch {
    /// A batch of queued rows.
    pub fn new(collection: Collection, items: Vec<(Key, Vec<i64>)>) -> Result<Self> {
        let keys = KeyColumns::of(&collection)?;
        // It works with the owner's rights and API key, whichever role wrote the rows.
        let embedder =
            as_owner(collection.chunks()?.owner, || Embedder::find(&collection.model, Kind::Document))?;
        let items =
            items.into_iter().map(|(key, ids)| QueuedRow { key, ids, status: RowStatus::Missing }).collect();
        Ok(Self {
            collection,
            keys,
            items,
            passages: Vec::new(),
            embedder,
            rows: Vec::new(),
            in_flight: VecDeque::new(),
        })
    }

    /// Reads the rows, and returns those for which the batch has no room.
    pub fn read(&mut self) -> Result<Vec<QueuedRow>> {
        let statement = self.collection.select_keyed(&self.keys)?;
        let arguments = self.keys.arguments(self.items.iter().map(|item| &item.key));
        let owner = self.collection.source()?.owner;
        let cursor = as_owner(owner, || Cursor::open(&statement, &arguments))?;
        let (mut bytes, mut last) = (0, 0);
        let (mut done, mut most) = (false, 1);
        while bytes < MAX_BATCH_BYTES && !done {
            let rows = as_owner(owner, || cursor.fetch(most))?;
            done = rows.count < most as usize;
            most = (most * 2).min(MAX_FETCH_ROWS);
            for row in 0..rows.count {
                let place = rows.int8(row, 8).unwrap_or(1).max(1) as usize - 1;
                last = place;
                let stale = read_row(&rows, row, &self.collection)?;
                self.items[place].status = match stale {
                    None => RowStatus::Unchanged,
                    Some(mut stale) => {
                        bytes += stale.content.len();
                        stale.place = place;
                        let hash = stale.hash.clone();
                        self.rows.push(stale);
                        RowStatus::Stale(hash)
                    }
                };
            }
        }
        as_owner(owner, || cursor.close())?;
        Ok(if done { Vec::new() } else { self.items.split_off(last + 1) })
    }

    /// Splits the rows. It needs the engine, and must run outside of transactions.
    pub fn cut(&mut self) -> Result<()> {
        if self.rows.is_empty() {
            return Ok(());
        }
        let model = self.embedder.describe(Some(self.collection.dimensions as u32))?;
        check_fingerprint(&self.collection, &model.fingerprint)?;
        let passages = Chunker::new(&self.collection, &model).cut(std::mem::take(&mut self.rows))?;
        self.passages = passages.into_iter().map(|passage| (passage, None)).collect();
        Ok(())
    }

    /// Finds words and hashes of the passages, and reuses embeddings that the collection has of the same text.
    pub fn analyse(&mut self) -> Result<()> {
        if self.passages.is_empty() {
            return Ok(());
        }
        let owner = self.collection.chunks()?.owner;
        let (mut passages, embeddings): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.passages).into_iter().unzip();
        for slice in passages.chunks_mut(PASSAGES_PER_STATEMENT) {
            connect(|| as_owner(owner, || analyse(slice, &self.collection.language)))?;
        }
        self.passages = passages.into_iter().zip(embeddings).collect();
        let known = connect(|| self.known())?;
        for (passage, embedding) in &mut self.passages {
            *embedding = known.get(&passage.hash).cloned();
        }
        Ok(())
    }

    /// Reuses embeddings that batches that failed had received.
    pub fn reuse(&mut self, held: &HeldEmbeddings) {
        if held.is_empty() {
            return;
        }
        for (passage, embedding) in &mut self.passages {
            if embedding.is_none() {
                *embedding = held.get(&self.collection.fingerprint, &passage.hash).cloned();
            }
        }
    }

    fn known(&self) -> Result<HashMap<Vec<u8>, Vec<f32>>> {
        let chunks = self.collection.chunks()?;
        let statement = format!(
            "SELECT hash, embedding::real[] FROM unnest($1) hash, LATERAL (
               SELECT embedding FROM {} WHERE content_hash = hash AND fingerprint = $2 LIMIT 1) known",
            chunks.name
        );
        let hashes = Arg::byteas(self.passages.iter().map(|(passage, _)| passage.hash.as_slice()));
        let fingerprint = Arg::text(&self.collection.fingerprint);
        let rows = as_owner(chunks.owner, || by_index(|| run(&statement, &[hashes, fingerprint])))?;
        Ok((0..rows.count).filter_map(|row| Some((rows.bytea(row, 0)?, rows.float4s(row, 1)?))).collect())
    }

    /// Sends the passages without an embedding to the engine, each distinct text once.
    pub fn send(&mut self) -> Result<()> {
        let mut first: HashMap<&[u8], usize> = HashMap::new();
        for (place, (passage, embedding)) in self.passages.iter().enumerate() {
            if embedding.is_none() {
                first.entry(&passage.hash).or_insert(place);
            }
        }
        let mut places: Vec<usize> = first.into_values().collect();
        places.sort_unstable();
        for slice in places.chunks(self.embedder.max_request_texts()) {
            let texts = slice.iter().map(|place| self.passages[*place].0.text.clone()).collect();
            self.in_flight.push_back((slice.to_vec(), self.embedder.send(Lane::Bulk, texts)?));
        }
        Ok(())
    }

    /// Waits for the embeddings.
    pub fn receive(&mut self) -> Result<()> {
        while let Some((places, pending)) = self.in_flight.pop_front() {
            self.accept(&places, pending.wait()?)?;
        }
        self.spread();
        Ok(())
    }

    /// Takes the embeddings that have arrived. Returns whether all have.
    pub fn poll(&mut self) -> Result<bool> {
        let mut next = 0;
        while let Some((_, pending)) = self.in_flight.get_mut(next) {
            match pending.poll()? {
                None => next += 1,
                Some(answer) => {
                    if let Some((places, _)) = self.in_flight.remove(next) {
                        self.accept(&places, answer)?;
                    }
                }
            }
        }
        if !self.in_flight.is_empty() {
            return Ok(false);
        }
        self.spread();
        Ok(true)
    }

    fn accept(&mut self, places: &[usize], answer: Response) -> Result<()> {
        let dimensions = self.collection.dimensions as usize;
        let vectors = plain_vectors(answer)?;
        check_fingerprint(&self.collection, &vectors.fingerprint)?;
        check_embeddings(vectors.values.len(), places.len(), dimensions)?;
        for (place, embedding) in places.iter().zip(vectors.values.chunks_exact(dimensions)) {
            self.passages[*place].1 = Some(embedding.to_vec());
        }
        Ok(())
    }

    /// Ends a batch that failed, and returns the embeddings that have arrived, each with the hash of its passage.
    pub fn into_embedded(mut self) -> impl Iterator<Item = (Vec<u8>, Vec<f32>)> {
        for (places, mut pending) in std::mem::take(&mut self.in_flight) {
            if let Ok(Some(answer)) = pending.try_receive() {
                // One that does not fit is of no use.
                let _ = self.accept(&places, answer);
            }
        }
        self.passages.into_iter().filter_map(|(passage, embedding)| Some((passage.hash, embedding?)))
    }

    /// Copies embeddings to other passages with the same text.
    fn spread(&mut self) {
        let known: HashMap<Vec<u8>, Vec<f32>> = self
            .passages
            .iter()
            .filter_map(|(passage, embedding)| Some((passage.hash.clone(), embedding.clone()?)))
            .collect();
        for (passage, embedding) in &mut self.passages {
            if embedding.is_none() {
                *embedding = known.get(&passage.hash).cloned();
            }
        }
    }
}

/// Vectors of two models must not be mixed. After another model was installed under the same name, the collection has
/// to be refreshed.
fn check_fingerprint(collection: &Collection, found: &str) -> Result<()> {
    if found == collection.fingerprint {
        return Ok(());
    }
    Err(Error::wrong_state(format!(
        "model \"{}\" is not the one that collection \"{}\" was made with",
        collection.model, collection.name
    ))
    .detail(format!("its fingerprint is {found}, expected {}", collection.fingerprint))
    .hint("Install the old model again, or embed everything anew with rag.refresh_collection."))
}
