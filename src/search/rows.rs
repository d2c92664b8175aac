//! Looks up chunks and their rows. The chunks are read with the rights of their table's owner, the rows with the
//! caller's, so that the caller sees exactly what the source itself would show.

use crate::collections::catalog::collection::{Collection, Sync};
use crate::collections::catalog::keys::key_column;
use pgrx::pg_sys;
use ragstone_pg::bytes::Jsonb;
use ragstone_pg::error::{Error, Result};
use ragstone_pg::identifier::quoted;
use ragstone_pg::own_tables::{config_owner, with_safe_search_path};
use ragstone_pg::plans::by_index;
use ragstone_pg::relation::{equality_operator, has_row_security};
use ragstone_pg::spi::{Arg, select};
use ragstone_pg::switch_user::as_owner;
use ragstone_pg::value::{Value, has_array_type};
use std::collections::{HashMap, HashSet};

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

/// A chunk before its row is looked up.
struct StoredChunk {
    number: i64,
    heading: Option<String>,
    content: String,
    key: Vec<Value>,
}

/// Looks up each chunk once.
pub struct Reader<'a> {
    collection: &'a Collection,
    filter: Option<&'a Jsonb>,
    seen: HashMap<i64, Option<VisibleChunk>>,
    /// Whether row-level security may hide rows of the source from the caller, once that is known.
    hides_rows: Option<bool>,
    /// Chunks whose rows were looked for, and whether the caller may see them.
    looked_at: HashMap<i64, bool>,
}

impl<'a> Reader<'a> {
    /// A reader of chunks whose rows meet a filter.
    pub fn new(collection: &'a Collection, filter: Option<&'a Jsonb>) -> Result<Self> {
        Ok(Self { collection, filter, seen: HashMap::new(), hides_rows: None, looked_at: HashMap::new() })
    }

    /// Raises 42501 if the caller may not read the key, content, title and metadata columns, even if the search has no
    /// hits.
    pub fn check_privileges(&self) -> Result<()> {
        let c = self.collection;
        let columns = c.key.iter().chain(&c.title).chain(&c.metadata).chain([&c.content]);
        let columns: Vec<_> = columns.map(|column| quoted(column)).collect();
        select(
            &format!("SELECT {} FROM {} WHERE false", columns.join(", "), c.source_of_any_owner()?.name),
            &[],
        )?;
        Ok(())
    }

    /// Whether row-level security may hide rows of the source from the caller.
    pub fn has_hidden_rows(&mut self) -> Result<bool> {
        if let Some(known) = self.hides_rows {
            return Ok(known);
        }
        let hides = has_row_security(self.collection.source_of_any_owner()?.oid);
        self.hides_rows = Some(hides);
        Ok(hides)
    }

    /// Finds out whether the caller may see the rows of these chunks.
    pub fn look_at(&mut self, numbers: impl Iterator<Item = i64>) -> Result<()> {
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
                self.same_key(&batch)?
            );
            let rows = select(&statement, &batch.arguments())?;
            let visible = (0..rows.count).filter_map(|row| batch.at(rows.int8(row, 0)?));
            self.looked_at.extend(visible.map(|chunk| (chunk.number, true)));
        }
        Ok(())
    }

    /// Whether the caller may see the row of a chunk that was looked at.
    pub fn may_see(&self, chunk: i64) -> bool {
        self.looked_at.get(&chunk) == Some(&true)
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
    fn stale(&self, batch: &KeyBatch) -> Result<HashSet<i64>> {
        if self.collection.sync == Sync::Manual {
            return Ok(HashSet::new());
        }
        // As the triggers note keys: by output functions, which no user has written.
        let key: Vec<_> = batch.names().map(|name| format!("pg_catalog.format('%s', k.{name})")).collect();
        let number = batch.types.len() + 1;
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
        let rows = as_owner(config_owner()?, || by_index(|| select(&statement, &arguments)))?;
        Ok((0..rows.count).filter_map(|row| rows.int8(row, 0)).collect())
    }

    /// The chunks of these numbers with `columns`, heading and content, as far as they are needed.
    fn chunks(&self, numbers: &[i64], columns: &str) -> Result<Vec<StoredChunk>> {
        let table = self.collection.chunks()?;
        let keys: String =
            (0..self.collection.key.len()).map(|place| format!(", {}", key_column(place))).collect();
        let statement =
            format!("SELECT chunk_id, {columns}{keys} FROM {} WHERE chunk_id = ANY ($1)", table.name);
        let rows = as_owner(table.owner, || select(&statement, &[Arg::int8s(numbers.iter().copied())]))?;
        let chunk = |row| {
            let key = (0..self.collection.key.len())
                .map(|place| rows.value(row, 3 + place))
                .collect::<Option<_>>()?;
            Some(StoredChunk {
                number: rows.int8(row, 0)?,
                heading: rows.text(row, 1),
                content: rows.text(row, 2)?,
                key,
            })
        };
        Ok((0..rows.count).filter_map(chunk).collect())
    }

    /// Joins chunks to the rows of the source, as the caller and with the caller's search path.
    fn join(&mut self, mut batch: KeyBatch, stale: &HashSet<i64>) -> Result<()> {
        let statement = self.statement(&batch)?;
        let mut arguments = batch.arguments();
        arguments.extend(self.filter.map(|filter| Arg::varlena(pg_sys::JSONBOID, &filter.0)));
        let rows = select(&statement, &arguments)?;
        for row in 0..rows.count {
            let place = rows.int8(row, 0).unwrap_or(0);
            if stale.contains(&place) {
                continue;
            }
            let chunk = usize::try_from(place - 1).ok().and_then(|place| batch.chunks.get_mut(place));
            let (Some(chunk), Some(key), Some(metadata)) = (chunk, rows.jsonb(row, 1), rows.jsonb(row, 3))
            else {
                return Err(Error::internal("a row that was found has no key or metadata"));
            };
            let visible = VisibleChunk {
                source_key: key,
                title: rows.text(row, 2),
                heading: chunk.heading.take(),
                content: std::mem::take(&mut chunk.content),
                metadata,
            };
            self.seen.insert(chunk.number, Some(visible));
        }
        Ok(())
    }

    /// Selects position of the chunk, key, title and metadata. The content column is only mentioned, so that the caller
    /// needs the right to read it: the result has the chunk's text.
    fn statement(&self, batch: &KeyBatch) -> Result<String> {
        let c = self.collection;
        let metadata = c.metadata_expression();
        let filter = match self.filter {
            Some(_) => format!("AND {metadata} OPERATOR(pg_catalog.@>) ${}", c.key.len() + 1),
            None => String::new(),
        };
        Ok(format!(
            "SELECT k.place, {key}, {title}, {metadata}, CASE WHEN false THEN s.{content} END
             FROM {keys}
             JOIN {source} s ON {same} {filter}",
            key = c.key_expression(),
            title = c.title_expression(),
            content = quoted(&c.content),
            keys = batch.list(),
            source = c.source_of_any_owner()?.name,
            same = self.same_key(batch)?,
        ))
    }

    /// That a row `s` of the source has the key `k`.
    fn same_key(&self, batch: &KeyBatch) -> Result<String> {
        let operators = with_safe_search_path(|| {
            batch.types.iter().map(|oid| equality_operator(*oid)).collect::<Result<Vec<_>>>()
        })?;
        let same = (self.collection.key.iter().zip(batch.names()).zip(operators))
            .map(|((column, name), operator)| format!("s.{} {operator} k.{name}", quoted(column)));
        Ok(same.collect::<Vec<_>>().join(" AND "))
    }
}

/// Chunks whose keys are looked up by one statement.
struct KeyBatch {
    chunks: Vec<StoredChunk>,
    /// Types of the key's columns.
    types: Vec<pg_sys::Oid>,
    /// Whether there are array types of these.
    are_arrays: bool,
}

impl KeyBatch {
    /// All chunks in one batch; or each in its own, where the keys are arrays: there are no arrays of arrays.
    fn of(chunks: Vec<StoredChunk>) -> Vec<Self> {
        let Some(first) = chunks.first() else { return Vec::new() };
        let types: Vec<_> = first.key.iter().map(|value| value.oid).collect();
        let are_arrays = types.iter().all(|oid| has_array_type(*oid));
        let batch = |chunks| Self { chunks, types: types.clone(), are_arrays };
        match are_arrays {
            true => vec![batch(chunks)],
            false => chunks.into_iter().map(|chunk| batch(vec![chunk])).collect(),
        }
    }

    /// The chunk at a place, counted from 1.
    fn at(&self, place: i64) -> Option<&StoredChunk> {
        self.chunks.get(usize::try_from(place).ok()?.checked_sub(1)?)
    }

    fn names(&self) -> impl Iterator<Item = String> {
        (0..self.types.len()).map(key_column)
    }

    /// A list of the keys as `k`, each with its place.
    fn list(&self) -> String {
        let names: Vec<_> = self.names().collect();
        let columns = 1..=self.types.len();
        let keys = if self.are_arrays {
            let columns: Vec<_> = columns.map(|place| format!("pg_catalog.unnest(${place})")).collect();
            format!("ROWS FROM ({}) WITH ORDINALITY", columns.join(", "))
        } else {
            let columns: Vec<_> = columns.map(|place| format!("${place}")).collect();
            format!("(VALUES ({}, 1::pg_catalog.int8))", columns.join(", "))
        };
        format!("{keys} AS k ({}, place)", names.join(", "))
    }

    fn arguments(&self) -> Vec<Arg> {
        let column = |place: usize| -> Vec<_> {
            self.chunks.iter().map(|chunk| Some(chunk.key[place].datum())).collect()
        };
        match (self.are_arrays, self.chunks.first()) {
            (false, Some(only)) => only.key.iter().map(Arg::value).collect(),
            _ => self.types.iter().enumerate().map(|(place, oid)| Arg::array(*oid, column(place))).collect(),
        }
    }
}
