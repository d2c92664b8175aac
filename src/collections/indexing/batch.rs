//! A batch of changed rows, which is read, split and embedded. A worker runs each step in a transaction of
//! its own or outside of any; a writer to an immediate collection runs all of them in its own transaction.

use crate::collections::catalog::collection::{Collection, TableUse};
use crate::collections::catalog::keys::{Key, KeyColumns};
use crate::collections::catalog::source::shared_key;
use crate::collections::indexing::bulk::read_row;
use crate::collections::indexing::cut::{Cut, Take};
use crate::collections::indexing::held::HeldEmbeddings;
use crate::collections::indexing::passage::{Passage, SourceRow, analyse, check_embeddings};
use crate::collections::indexing::slices::{Answered, SliceOutcome, Slices};
use crate::collections::indexing::stages::{Stage, timed};
use crate::embedding::{Embedder, plain_vectors};
use ragstone_core::protocol::{Kind, Lane, Model, Response};
use ragstone_pg::cursor::Cursor;
use ragstone_pg::error::{Error, Result};
use ragstone_pg::plans::by_index;
use ragstone_pg::portable::as_source_owner;
use ragstone_pg::spi::{Arg, connect, run};
use ragstone_pg::switch_user::as_owner;
use std::collections::{HashMap, HashSet};
use std::ops::Range;

/// Size of content, in bytes, at which a batch takes no more rows. It limits memory to this size plus one
/// row.
pub const MAX_BATCH_BYTES: usize = 256 << 10;

/// Maximum number of rows in one fetch. The first fetches are smaller, since the size of rows is known only once they
/// are read.
const MAX_FETCH_ROWS: i64 = 16;

/// Maximum number of passages that are analysed before other work has its turn.
const PASSAGES_AT_ONCE: usize = 512;

/// Number of passages that one statement analyses.
const PASSAGES_PER_STATEMENT: usize = 128;

/// A row that was queued.
#[derive(Debug, Clone)]
pub struct QueuedRow {
    /// Its key.
    pub key: Key,
    /// Ids of its entries in the queue.
    pub ids: Vec<i64>,
    /// State of the row, known once it was read.
    pub status: RowStatus,
}

/// State of a row when it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RowStatus {
    /// No row has this key, or the row has no content.
    Missing,
    /// The collection has the row in its current state.
    Unchanged,
    /// The row must be split; the hash of its current state.
    Stale(Vec<u8>),
    /// The model refused a text of the row.
    Refused,
}

/// Rows of one collection.
pub struct RowBatch {
    /// The collection, as it was when the batch read it last.
    pub collection: Collection,
    /// How its keys are compared.
    pub keys: KeyColumns,
    /// The rows.
    pub items: Vec<QueuedRow>,
    /// Their passages, with embeddings once these are known.
    pub passages: Vec<(Passage, Option<Vec<f32>>)>,
    /// The texts to embed.
    pub slices: Slices,
    /// Size of the rows' contents, in bytes.
    pub bytes: usize,
    /// Rows with a text that the model refused: index in [`Self::items`], and error.
    pub refused: Vec<(usize, Error)>,
    embedder: Embedder,
    rows: Vec<SourceRow>,
    /// The rows while they are being split.
    cut: Option<Cut>,
    /// Number of passages whose words and hashes are known.
    analysed: usize,
    /// Hashes of the texts that were added to [`Self::slices`].
    wanted: HashSet<Vec<u8>>,
}

impl RowBatch {
    /// A batch of queued rows.
    pub fn new(mut collection: Collection, items: Vec<(Key, Vec<i64>)>) -> Result<Self> {
        collection.lock_tables(TableUse::Reading)?;
        let keys = KeyColumns::of(&collection)?;
        // The batch works with the owner's rights and API key, no matter which role wrote the rows.
        let embedder =
            as_owner(collection.chunks()?.owner, || Embedder::find(&collection.model, Kind::Document))?;
        let items =
            items.into_iter().map(|(key, ids)| QueuedRow { key, ids, status: RowStatus::Missing }).collect();
        Ok(Self {
            collection,
            keys,
            items,
            passages: Vec::new(),
            slices: Slices::default(),
            bytes: 0,
            refused: Vec::new(),
            embedder,
            rows: Vec::new(),
            cut: None,
            analysed: 0,
            wanted: HashSet::new(),
        })
    }

    /// True if the collection's model is a provider's.
    pub fn is_remote(&self) -> bool {
        self.embedder.is_remote()
    }

    /// Reads rows until they have `max_bytes` of content, and returns the remaining rows.
    pub fn read(&mut self, max_bytes: usize) -> Result<Vec<QueuedRow>> {
        let statement = self.collection.select_keyed(&self.keys)?;
        let arguments = self.keys.arguments(self.items.iter().map(|item| &item.key));
        let owner = self.collection.source()?.owner;
        let cursor =
            as_source_owner(owner, || by_index(|| Cursor::open_with_kept_plan(&statement, &arguments)))?;
        let mut last = None;
        let (mut done, mut full, mut most) = (false, false, 1);
        while !done && !full {
            // Of what the batch has no room for, a row is enough to show that the last one is alone with its key.
            let wanted = if self.bytes >= max_bytes { 1 } else { most };
            let rows = as_source_owner(owner, || cursor.fetch(wanted))?;
            done = rows.count < wanted as usize;
            most = (most * 2).min(MAX_FETCH_ROWS);
            for row in 0..rows.count {
                let place = rows.int8(row, 8).unwrap_or(1).max(1) as usize - 1;
                if last == Some(place) {
                    return Err(shared_key());
                }
                // The check for a duplicate key above needs the row that follows, so one more row is fetched
                // before the batch is full.
                full = self.bytes >= max_bytes;
                if full {
                    break;
                }
                last = Some(place);
                let stale = read_row(&rows, row, &self.collection)?;
                self.items[place].status = match stale {
                    None => RowStatus::Unchanged,
                    Some(mut stale) => {
                        self.bytes += stale.content.len();
                        stale.place = place;
                        let hash = stale.hash.clone();
                        self.rows.push(stale);
                        RowStatus::Stale(hash)
                    }
                };
            }
        }
        as_owner(owner, || cursor.close())?;
        Ok(if full { self.items.split_off(last.map_or(0, |last| last + 1)) } else { Vec::new() })
    }

    /// Asks the engine to split the rows. Must run outside of transactions, like every request to the engine.
    pub fn begin_cut(&mut self) -> Result<()> {
        if !self.rows.is_empty() {
            let rows = std::mem::take(&mut self.rows);
            self.cut = Some(Cut::begin(rows, &self.embedder, self.collection.dimensions as u32)?);
        }
        Ok(())
    }

    /// Takes the chunks that have arrived. Returns true once all rows are split.
    pub fn advance_cut(&mut self, take: Take) -> Result<bool> {
        let Some(cut) = &mut self.cut else { return Ok(true) };
        let check = |model: &Model| check_fingerprint(&self.collection, &model.fingerprint);
        let Some(passages) = cut.advance(&self.collection, check, take)? else { return Ok(false) };
        self.cut = None;
        self.bytes = passages.iter().map(|passage| passage.content.len()).sum();
        self.passages = passages.into_iter().map(|passage| (passage, None)).collect();
        Ok(true)
    }

    /// True if the rows are split and some passages still have to be analysed.
    pub fn is_to_be_analysed(&self) -> bool {
        self.cut.is_none() && !self.is_analysed()
    }

    /// True if words and hashes of all passages are known.
    pub fn is_analysed(&self) -> bool {
        self.analysed == self.passages.len()
    }

    /// Finds words and hashes of the next passages, at most [`PASSAGES_AT_ONCE`]. Embeddings of the same text
    /// are reused if the collection has them, or if an earlier batch that failed had received them.
    pub fn analyse_next(&mut self, held: &HeldEmbeddings) -> Result<()> {
        let begin = self.analysed;
        let end = self.passages.len().min(begin + PASSAGES_AT_ONCE);
        connect(|| self.collection.lock_tables(TableUse::Reading))?;
        self.find_words(begin..end)?;
        let known = timed(Stage::Known, || connect(|| self.known(begin..end)))?;
        for (place, (passage, embedding)) in (begin..end).zip(&mut self.passages[begin..end]) {
            let found = known.get(&passage.hash);
            *embedding = found.or_else(|| held.get(&self.collection.fingerprint, &passage.hash)).cloned();
            if embedding.is_none() && self.wanted.insert(passage.hash.clone()) {
                self.slices.add(place, passage.text.len());
            }
        }
        self.analysed = end;
        Ok(())
    }

    /// Finds words and hashes of the analysed passages again, after the collection's text options have
    /// changed.
    pub fn analyse_again(&mut self) -> Result<()> {
        self.find_words(0..self.analysed)
    }

    fn find_words(&mut self, range: Range<usize>) -> Result<()> {
        let owner = self.collection.chunks()?.owner;
        for slice in self.passages[range].chunks_mut(PASSAGES_PER_STATEMENT) {
            let mut passages: Vec<&mut Passage> = slice.iter_mut().map(|(passage, _)| passage).collect();
            timed(Stage::Words, || connect(|| as_owner(owner, || analyse(&mut passages, &self.collection))))?;
        }
        Ok(())
    }

    fn known(&self, range: Range<usize>) -> Result<HashMap<Vec<u8>, Vec<f32>>> {
        let chunks = self.collection.chunks()?;
        let statement = format!(
            "SELECT hash, embedding::real[] FROM unnest($1) hash, LATERAL (
               SELECT embedding FROM {} WHERE content_hash = hash AND fingerprint = $2 LIMIT 1) known",
            chunks.name
        );
        let hashes = Arg::byteas(self.passages[range].iter().map(|(passage, _)| passage.hash.as_slice()));
        let fingerprint = Arg::text(&self.collection.fingerprint);
        let rows = as_owner(chunks.owner, || by_index(|| run(&statement, &[hashes, fingerprint])))?;
        Ok((0..rows.count).filter_map(|row| Some((rows.bytea(row, 0)?, rows.float4s(row, 1)?))).collect())
    }

    /// Sends one slice to the engine: the next texts to embed, with a total cost up to `max_cost`. Each
    /// distinct text is sent once.
    pub fn send(&mut self, lane: Lane, max_cost: usize) -> Result<()> {
        let passages = &self.passages;
        self.slices.send(&self.embedder, lane, max_cost, |place| passages[place].0.text.clone())
    }

    /// Takes the embeddings of the first slice for which `take` returns a response. A slice that is refused
    /// because of its content is divided until the refused text is alone; then the rows with that text are
    /// refused.
    pub fn take_embeddings(&mut self, take: Take) -> Result<Option<Answered>> {
        loop {
            let passages = &self.passages;
            match self.slices.take(&self.embedder, take, |place| passages[place].0.text.clone())? {
                None => return Ok(None),
                Some(SliceOutcome::Answered(slice, answer)) => {
                    self.accept(&slice.places, answer)?;
                    return Ok(Some(slice));
                }
                Some(SliceOutcome::Refused(place, error)) => self.refuse(place, &error),
            }
        }
    }

    /// Marks all rows that contain the passage's text as refused.
    fn refuse(&mut self, place: usize, error: &Error) {
        let hash = &self.passages[place].0.hash;
        for (passage, _) in self.passages.iter().filter(|(passage, _)| passage.hash == *hash) {
            let item = &mut self.items[passage.row.place];
            if item.status != RowStatus::Refused {
                item.status = RowStatus::Refused;
                self.refused.push((passage.row.place, error.clone()));
            }
        }
    }

    /// True if the batch asked the model for embeddings, because some were not known.
    pub fn has_asked(&self) -> bool {
        !self.wanted.is_empty()
    }

    /// Number of distinct texts that were or will be embedded; `usize::MAX` while the passages are not
    /// analysed.
    pub fn texts_to_embed(&self) -> usize {
        if self.is_analysed() { self.wanted.len() } else { usize::MAX }
    }

    /// True if no text waits to be embedded.
    pub fn is_embedded(&self) -> bool {
        self.cut.is_none() && self.is_analysed() && self.slices.is_empty()
    }

    /// Number of passages that have an embedding.
    pub fn embedded(&self) -> usize {
        self.passages.iter().filter(|(_, embedding)| embedding.is_some()).count()
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

    /// Consumes a batch that failed, and returns the embeddings that have arrived, each with the hash of its
    /// text.
    pub fn into_embedded(mut self) -> impl Iterator<Item = (Vec<u8>, Vec<f32>)> {
        for (places, answer) in std::mem::take(&mut self.slices).into_arrived() {
            // A response that does not match the batch is of no use.
            let _ = self.accept(&places, answer);
        }
        self.passages.into_iter().filter_map(|(passage, embedding)| Some((passage.hash, embedding?)))
    }

    /// Copies embeddings to the other passages with the same text.
    pub fn spread(&mut self) {
        if self.passages.iter().all(|(_, embedding)| embedding.is_some()) {
            return;
        }
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

/// Raises an error if the engine embedded with another model than the collection's: vectors of two models
/// must not be mixed. The collection has to be refreshed after another model was installed under the same
/// name.
fn check_fingerprint(collection: &Collection, found: &str) -> Result<()> {
    if found == collection.fingerprint {
        return Ok(());
    }
    Err(Error::wrong_state(format!(
        "model \"{}\" is not the model with which collection \"{}\" was created",
        collection.model, collection.name
    ))
    .detail(format!("Its fingerprint is {found}, not {}.", collection.fingerprint))
    .hint("Install the old model again, or compute all embeddings again with rag.refresh_collection."))
}
