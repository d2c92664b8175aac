//! Looks up chunks and their rows. The chunks are read with the rights of their table's owner, the rows with
//! the caller's rights, so that the caller sees exactly the rows that the source itself would show.

use crate::collections::catalog::collection::{Collection, Sync};
use crate::collections::catalog::keys::key_column;
use crate::search::demands::TextDemands;
use crate::search::key_batch::{KeyBatch, key_at};
use crate::search::metadata_filter::MetadataFilter;
use crate::search::shown::{ShownColumns, ShownRow};
use ragstone_pg::error::Result;
use ragstone_pg::identifier::quoted;
use ragstone_pg::own_tables::config_owner;
use ragstone_pg::plans::by_index;
use ragstone_pg::portable::as_source_owner;
use ragstone_pg::rows::Rows;
use ragstone_pg::spi::{Arg, select};
use ragstone_pg::switch_user::as_owner;
use ragstone_pg::value::Value;
use std::collections::{HashMap, HashSet};
use std::rc::Rc;

/// Maximum number of texts in memory while they are checked.
const MAX_TEXTS: usize = 500;

/// A chunk that the caller may see.
#[derive(Debug, Clone)]
pub struct VisibleChunk {
    /// The chunk as it is stored.
    pub stored: StoredChunk,
    /// Its row.
    pub row: ShownRow,
}

impl VisibleChunk {
    /// The indexed texts: title, headings and content.
    fn fields(&self) -> [&str; 3] {
        [
            self.row.title.as_deref().unwrap_or_default(),
            self.stored.heading.as_deref().unwrap_or_default(),
            &self.stored.content,
        ]
    }
}

/// The columns of a chunk that a search returns.
#[derive(Debug, Clone)]
pub struct StoredChunk {
    /// The chunk's number.
    pub number: i64,
    /// Its position in its row, from 1.
    pub seq: i32,
    /// Its first character in the row's content, from 1.
    pub start_at: i32,
    /// Its last character in the row's content.
    pub end_at: i32,
    /// Headings above the chunk.
    pub heading: Option<String>,
    /// Text of the chunk.
    pub content: String,
}

impl StoredChunk {
    const COLUMNS: &str = "chunk_id, seq, start_at, end_at, heading, content";

    /// As [`COLUMNS`](Self::COLUMNS), without the texts.
    const COLUMNS_WITHOUT_TEXTS: &str = "chunk_id, seq, start_at, end_at, NULL::text, ''::text";

    /// Number of columns in [`COLUMNS`](Self::COLUMNS).
    const COLUMN_COUNT: usize = 6;

    fn read(rows: &Rows, row: usize) -> Option<Self> {
        Some(Self {
            number: rows.int8(row, 0)?,
            seq: rows.int4(row, 1)?,
            start_at: rows.int4(row, 2)?,
            end_at: rows.int4(row, 3)?,
            heading: rows.text(row, 4),
            content: rows.text(row, 5)?,
        })
    }
}

/// Looks up chunks, each of them once.
pub struct Reader<'a> {
    collection: &'a Collection,
    filter: Option<&'a Rc<MetadataFilter>>,
    seen: HashMap<i64, Option<VisibleChunk>>,
    /// Chunks whose rows were looked up: true if the caller may see the row.
    looked_at: HashMap<i64, bool>,
    /// The demands of the query on the hits' texts.
    demands: Option<TextDemands>,
}

impl<'a> Reader<'a> {
    /// A reader for chunks whose rows meet a filter.
    pub fn new(collection: &'a Collection, filter: Option<&'a Rc<MetadataFilter>>) -> Self {
        Self { collection, filter, seen: HashMap::new(), looked_at: HashMap::new(), demands: None }
    }

    /// The filter that the chunks' rows must meet.
    pub fn filter(&self) -> Option<&'a Rc<MetadataFilter>> {
        self.filter
    }

    /// Makes the reader skip chunks whose texts do not meet these demands.
    pub fn demand(&mut self, demands: Option<TextDemands>) {
        self.demands = demands;
    }

    /// Raises 42501 if the caller lacks the privilege to read the key, content, title and metadata columns,
    /// even if the search has no hits.
    pub fn check_privileges(c: &Collection) -> Result<()> {
        let columns = c.key.iter().chain(&c.title).chain(&c.metadata).chain([&c.content]);
        let columns: Vec<_> = columns.map(|column| quoted(column)).collect();
        select(
            &format!("SELECT {} FROM {} WHERE false", columns.join(", "), c.source_of_any_owner()?.name),
            &[],
        )?;
        Ok(())
    }

    /// Looks up whether the caller may see the rows of these chunks, and whether the texts meet the demands.
    pub fn look_at(&mut self, numbers: impl Iterator<Item = i64>) -> Result<()> {
        if self.demands.is_some() {
            let numbers: Vec<i64> = numbers.collect();
            return numbers.chunks(MAX_TEXTS).try_for_each(|numbers| self.read(numbers));
        }
        let mut new: Vec<_> = numbers.filter(|number| !self.looked_at.contains_key(number)).collect();
        new.sort_unstable();
        new.dedup();
        if new.is_empty() {
            return Ok(());
        }
        self.looked_at.extend(new.iter().map(|number| (*number, false)));
        let chunks = self.chunks(&new, StoredChunk::COLUMNS_WITHOUT_TEXTS)?;
        for batch in KeyBatch::of(chunks) {
            let statement = format!(
                "SELECT k.place FROM {} JOIN {} s ON {}",
                batch.list(),
                self.collection.source_of_any_owner()?.name,
                batch.is_key_of_source(self.collection)?
            );
            let rows = select(&statement, &batch.arguments())?;
            let visible = (0..rows.count).filter_map(|row| batch.at(rows.int8(row, 0)?));
            self.looked_at.extend(visible.map(|chunk| (chunk.number, true)));
        }
        Ok(())
    }

    /// True if a chunk that was looked up may be a hit.
    pub fn may_see(&self, chunk: i64) -> bool {
        self.looked_at.get(&chunk) == Some(&true) || self.visible(chunk).is_some()
    }

    /// A chunk that was read. None if the chunk or its row was deleted, if the row has changed since or no
    /// longer meets the filter, or if the caller may not read the row.
    pub fn visible(&self, chunk: i64) -> Option<&VisibleChunk> {
        self.seen.get(&chunk)?.as_ref()
    }

    /// Reads the chunks that have not been read yet.
    pub fn read(&mut self, numbers: &[i64]) -> Result<()> {
        let new: Vec<_> = numbers.iter().copied().filter(|number| !self.seen.contains_key(number)).collect();
        if new.is_empty() {
            return Ok(());
        }
        self.seen.extend(new.iter().map(|number| (*number, None)));
        let chunks = self.chunks(&new, StoredChunk::COLUMNS)?;
        for batch in KeyBatch::of(chunks) {
            let stale = stale_places(self.collection, &batch)?;
            self.join(batch, &stale)?;
        }
        Ok(())
    }

    /// The chunks with these numbers, each with its row's key. `columns` are those of [`StoredChunk`], with or
    /// without texts.
    fn chunks(&self, numbers: &[i64], columns: &str) -> Result<Vec<(Vec<Value>, StoredChunk)>> {
        let table = self.collection.chunks()?;
        let keys: String =
            (0..self.collection.key.len()).map(|place| format!(", {}", key_column(place))).collect();
        let statement = format!("SELECT {columns}{keys} FROM {} WHERE chunk_id = ANY ($1)", table.name);
        let rows = as_owner(table.owner, || select(&statement, &[Arg::int8s(numbers.iter().copied())]))?;
        let key = |row| key_at(&rows, row, StoredChunk::COLUMN_COUNT, self.collection);
        let chunk = |row| Some((key(row)?, StoredChunk::read(&rows, row)?));
        Ok((0..rows.count).filter_map(chunk).collect())
    }

    /// Joins chunks to the rows of the source, as the caller and with the caller's search path.
    fn join(&mut self, batch: KeyBatch<StoredChunk>, stale: &HashSet<i64>) -> Result<()> {
        let columns = ShownColumns::of(self.collection)?;
        let rows = select(&self.statement(&batch, &columns)?, &batch.arguments())?;
        let found = (0..rows.count).filter_map(|row| Some((rows.int8(row, 0)?, rows.value(row, 1)?)));
        let (places, records): (Vec<_>, Vec<_>) = found.filter(|(place, _)| !stale.contains(place)).unzip();
        if records.is_empty() {
            return Ok(());
        }
        let filter = self.filter.map(Rc::as_ref);
        for (place, shown) in places.into_iter().zip(columns.read(self.collection, &records, filter)?) {
            let (Some(chunk), Some(row)) = (batch.at(place), shown) else { continue };
            let visible = VisibleChunk { stored: chunk.clone(), row };
            let is_hit = |demands: &TextDemands| demands.are_met(chunk.number, visible.fields());
            // If two rows of the source have the same key, the first one gets the chunk's text.
            if self.seen.get(&chunk.number).is_some_and(Option::is_some) {
                continue;
            }
            if self.demands.as_ref().is_none_or(is_hit) {
                self.seen.insert(chunk.number, Some(visible));
            }
        }
        Ok(())
    }

    /// Selects the chunk's position and the shown columns of its row. The content column is only named, so
    /// that the caller needs the privilege to read it; the result contains the chunk's text instead.
    fn statement(&self, batch: &KeyBatch<StoredChunk>, columns: &ShownColumns) -> Result<String> {
        Ok(format!(
            "SELECT k.place, {columns}, CASE WHEN false THEN s.{content} END FROM {keys} JOIN {source} s ON {same}",
            columns = columns.record(),
            content = quoted(&self.collection.content),
            keys = batch.list(),
            source = self.collection.source_of_any_owner()?.name,
            same = batch.is_key_of_source(self.collection)?,
        ))
    }
}

/// Positions of the keys whose rows have changed since they were indexed: the change is queued, or its
/// indexing has failed.
pub fn stale_places<T>(collection: &Collection, batch: &KeyBatch<T>) -> Result<HashSet<i64>> {
    if collection.sync == Sync::Manual {
        return Ok(HashSet::new());
    }
    // The keys are written as by the triggers: with the types' output functions, which no user has
    // written, and whose result does not depend on the caller.
    let key: Vec<_> = batch.names().map(|name| format!("pg_catalog.format('%s', k.{name})")).collect();
    let number = collection.key.len() + 1;
    // The LIMIT keeps the planner from turning the subquery into a join, which might read all rows of a
    // table.
    let noted = |table: &str| {
        format!(
            "LEFT JOIN LATERAL (
               SELECT true AS is_noted FROM rag.{table} n
               WHERE n.key OPERATOR(pg_catalog.=) r.key AND n.collection OPERATOR(pg_catalog.=) ${number}
               LIMIT 1) {table} ON true"
        )
    };
    let statement = format!(
        "SELECT r.place FROM (SELECT k.place, ARRAY[{}] AS key FROM {} OFFSET 0) r {} {}
         WHERE _queue.is_noted OR _failure.is_noted",
        key.join(", "),
        batch.list(),
        noted("_queue"),
        noted("_failure")
    );
    let mut arguments = batch.arguments();
    arguments.push(Arg::new(collection.id));
    let owner = config_owner()?;
    let rows = as_source_owner(owner, || by_index(|| select(&statement, &arguments)))?;
    Ok((0..rows.count).filter_map(|row| rows.int8(row, 0)).collect())
}
