//! Looks up chunks and their rows. The chunks are read with the rights of their table's owner, the rows with the
//! caller's, so that the caller sees exactly what the source itself would show.

use crate::collections::catalog::collection::{Collection, Sync};
use crate::collections::catalog::keys::key_column;
use crate::search::demands::TextDemands;
use crate::search::key_batch::{KeyBatch, key_at};
use crate::search::shown::ShownColumns;
use ragstone_pg::bytes::Jsonb;
use ragstone_pg::error::Result;
use ragstone_pg::identifier::quoted;
use ragstone_pg::own_tables::config_owner;
use ragstone_pg::plans::by_index;
use ragstone_pg::portable::as_source_owner;
use ragstone_pg::spi::{Arg, select};
use ragstone_pg::switch_user::as_owner;
use ragstone_pg::value::Value;
use std::collections::{HashMap, HashSet};

/// Number of texts that are held while they are checked.
const MAX_TEXTS: usize = 500;

/// A chunk that the caller may see, with what `rag.search` shows of its row.
#[derive(Debug, Clone)]
pub struct VisibleChunk {
    /// The row's key.
    pub source_key: Jsonb,
    /// The row's title.
    pub title: Option<String>,
    /// Headings that the chunk stands under.
    pub heading: Option<String>,
    /// Text of the chunk.
    pub content: String,
    /// The row's metadata.
    pub metadata: Jsonb,
}

impl VisibleChunk {
    /// What is indexed of it: title, headings and text.
    fn fields(&self) -> [&str; 3] {
        [
            self.title.as_deref().unwrap_or_default(),
            self.heading.as_deref().unwrap_or_default(),
            &self.content,
        ]
    }
}

/// A chunk before its row is looked up.
struct StoredChunk {
    number: i64,
    heading: Option<String>,
    content: String,
}

/// Looks up each chunk once.
pub struct Reader<'a> {
    collection: &'a Collection,
    filter: Option<&'a Jsonb>,
    seen: HashMap<i64, Option<VisibleChunk>>,
    /// Chunks whose rows were looked for, and whether the caller may see them.
    looked_at: HashMap<i64, bool>,
    /// What the query demands of the texts.
    demands: Option<TextDemands>,
}

impl<'a> Reader<'a> {
    /// A reader of chunks whose rows meet a filter.
    pub fn new(collection: &'a Collection, filter: Option<&'a Jsonb>) -> Self {
        Self { collection, filter, seen: HashMap::new(), looked_at: HashMap::new(), demands: None }
    }

    /// What the rows of the chunks must meet.
    pub fn filter(&self) -> Option<&'a Jsonb> {
        self.filter
    }

    /// Leaves out chunks whose texts do not meet these demands.
    pub fn demand(&mut self, demands: Option<TextDemands>) {
        self.demands = demands;
    }

    /// Raises 42501 if the caller may not read the key, content, title and metadata columns, even if the search has no
    /// hits.
    pub fn check_privileges(c: &Collection) -> Result<()> {
        let columns = c.key.iter().chain(&c.title).chain(&c.metadata).chain([&c.content]);
        let columns: Vec<_> = columns.map(|column| quoted(column)).collect();
        select(
            &format!("SELECT {} FROM {} WHERE false", columns.join(", "), c.source_of_any_owner()?.name),
            &[],
        )?;
        Ok(())
    }

    /// Finds out whether the caller may see the rows of these chunks, and whether their texts meet the demands.
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
        let chunks = self.chunks(&new, "NULL, ''")?;
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

    /// Whether a chunk that was looked at may be a hit.
    pub fn may_see(&self, chunk: i64) -> bool {
        self.looked_at.get(&chunk) == Some(&true) || self.visible(chunk).is_some()
    }

    /// A chunk that was read; none if it or its row has been deleted, the caller may not read the row, the row does not
    /// meet the filter any more, or it has changed since.
    pub fn visible(&self, chunk: i64) -> Option<&VisibleChunk> {
        self.seen.get(&chunk)?.as_ref()
    }

    /// Looks up those chunks that have not been looked up yet.
    pub fn read(&mut self, numbers: &[i64]) -> Result<()> {
        let new: Vec<_> = numbers.iter().copied().filter(|number| !self.seen.contains_key(number)).collect();
        if new.is_empty() {
            return Ok(());
        }
        self.seen.extend(new.iter().map(|number| (*number, None)));
        let chunks = self.chunks(&new, "heading, content")?;
        for batch in KeyBatch::of(chunks) {
            let stale = self.stale(&batch)?;
            self.join(batch, &stale)?;
        }
        Ok(())
    }

    /// Places of the chunks whose rows have changed since: a change waits to be indexed, or has failed to be.
    fn stale(&self, batch: &KeyBatch<StoredChunk>) -> Result<HashSet<i64>> {
        if self.collection.sync == Sync::Manual {
            return Ok(HashSet::new());
        }
        // As the triggers note keys: by output functions, which no user has written, and the same whoever searches.
        let key: Vec<_> = batch.names().map(|name| format!("pg_catalog.format('%s', k.{name})")).collect();
        let number = self.collection.key.len() + 1;
        // A subquery with a limit is not made a join, for which all rows of a table might be read.
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
        arguments.push(Arg::new(self.collection.id));
        let owner = config_owner()?;
        let rows = as_source_owner(owner, || by_index(|| select(&statement, &arguments)))?;
        Ok((0..rows.count).filter_map(|row| rows.int8(row, 0)).collect())
    }

    /// The chunks of these numbers with `columns`, heading and content, as far as they are needed.
    fn chunks(&self, numbers: &[i64], columns: &str) -> Result<Vec<(Vec<Value>, StoredChunk)>> {
        let table = self.collection.chunks()?;
        let keys: String =
            (0..self.collection.key.len()).map(|place| format!(", {}", key_column(place))).collect();
        let statement =
            format!("SELECT chunk_id, {columns}{keys} FROM {} WHERE chunk_id = ANY ($1)", table.name);
        let rows = as_owner(table.owner, || select(&statement, &[Arg::int8s(numbers.iter().copied())]))?;
        let chunk = |row| {
            let chunk = StoredChunk {
                number: rows.int8(row, 0)?,
                heading: rows.text(row, 1),
                content: rows.text(row, 2)?,
            };
            Some((key_at(&rows, row, 3, self.collection)?, chunk))
        };
        Ok((0..rows.count).filter_map(chunk).collect())
    }

    /// Joins chunks to the rows of the source, as the caller and with the caller's search path.
    fn join(&mut self, mut batch: KeyBatch<StoredChunk>, stale: &HashSet<i64>) -> Result<()> {
        let columns = ShownColumns::of(self.collection)?;
        let rows = select(&self.statement(&batch, &columns)?, &batch.arguments())?;
        let found = (0..rows.count).filter_map(|row| Some((rows.int8(row, 0)?, rows.value(row, 1)?)));
        let (places, records): (Vec<_>, Vec<_>) = found.filter(|(place, _)| !stale.contains(place)).unzip();
        if records.is_empty() {
            return Ok(());
        }
        for (place, shown) in places.into_iter().zip(columns.read(self.collection, &records, self.filter)?) {
            let chunk = usize::try_from(place - 1).ok().and_then(|place| batch.items.get_mut(place));
            let (Some(chunk), Some(shown)) = (chunk, shown) else { continue };
            let visible = VisibleChunk {
                source_key: shown.key,
                title: shown.title,
                heading: chunk.heading.take(),
                content: std::mem::take(&mut chunk.content),
                metadata: shown.metadata,
            };
            let is_hit = |demands: &TextDemands| demands.are_met(chunk.number, visible.fields());
            // Two rows of the source have the same key, and the first has the chunk's text.
            if self.seen.get(&chunk.number).is_some_and(Option::is_some) {
                continue;
            }
            if self.demands.as_ref().is_none_or(is_hit) {
                self.seen.insert(chunk.number, Some(visible));
            }
        }
        Ok(())
    }

    /// Selects position of the chunk, and what is shown of its row. The content column is only mentioned, so that the caller
    /// needs the right to read it: the result has the chunk's text.
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
