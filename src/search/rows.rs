//! Looks up chunks and their rows. The chunks are read with the rights of their table's owner, the rows with the
//! caller's, so that the caller sees exactly what the source itself would show.

use crate::collections::catalog::collection::Collection;
use crate::collections::catalog::keys::key_column;
use pgrx::pg_sys;
use ragstone_pg::bytes::Jsonb;
use ragstone_pg::error::{Error, Result};
use ragstone_pg::identifier::quoted;
use ragstone_pg::own_tables::with_safe_search_path;
use ragstone_pg::relation::equality_operator;
use ragstone_pg::rows::Rows;
use ragstone_pg::spi::{Arg, select};
use ragstone_pg::switch_user::as_owner;
use ragstone_pg::value::{Value, has_array_type};
use std::collections::HashMap;

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
}

impl<'a> Reader<'a> {
    /// A reader of chunks whose rows meet a filter.
    pub fn new(collection: &'a Collection, filter: Option<&'a Jsonb>) -> Result<Self> {
        Ok(Self { collection, filter, seen: HashMap::new() })
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

    /// A chunk that was read; none if it or its row has been deleted, the caller may not read the row, or the row does not
    /// meet the filter any more.
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
        let chunks = self.chunks(&new)?;
        let arrays =
            chunks.first().is_some_and(|chunk| chunk.key.iter().all(|value| has_array_type(value.oid)));
        if arrays {
            return self.join(chunks);
        }
        // There are no arrays of arrays, so such keys are looked up one at a time.
        chunks.into_iter().try_for_each(|chunk| self.join(vec![chunk]))
    }

    fn chunks(&self, numbers: &[i64]) -> Result<Vec<StoredChunk>> {
        let table = self.collection.chunks()?;
        let keys: String =
            (0..self.collection.key.len()).map(|place| format!(", {}", key_column(place))).collect();
        let statement =
            format!("SELECT chunk_id, heading, content{keys} FROM {} WHERE chunk_id = ANY ($1)", table.name);
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
    fn join(&mut self, chunks: Vec<StoredChunk>) -> Result<()> {
        let Some(first) = chunks.first() else { return Ok(()) };
        let types: Vec<_> = first.key.iter().map(|value| value.oid).collect();
        let operators = with_safe_search_path(|| {
            types.iter().map(|oid| equality_operator(*oid)).collect::<Result<Vec<_>>>()
        })?;
        let arrays = types.iter().all(|oid| has_array_type(*oid));
        let statement = self.statement(&operators, arrays)?;
        let mut arguments = if arrays {
            let column =
                |place: usize| chunks.iter().map(move |chunk| Some(chunk.key[place].datum())).collect();
            types.iter().enumerate().map(|(place, oid)| Arg::array(*oid, column(place))).collect::<Vec<_>>()
        } else {
            first.key.iter().map(Arg::value).collect()
        };
        arguments.extend(self.filter.map(|filter| Arg::varlena(pg_sys::JSONBOID, &filter.0)));
        let rows = select(&statement, &arguments)?;
        self.add_visible(&rows, chunks)
    }

    fn add_visible(&mut self, rows: &Rows, mut chunks: Vec<StoredChunk>) -> Result<()> {
        for row in 0..rows.count {
            let place = rows.int8(row, 0).unwrap_or(0) as usize;
            let chunk = place.checked_sub(1).and_then(|place| chunks.get_mut(place));
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
    fn statement(&self, operators: &[String], arrays: bool) -> Result<String> {
        let c = self.collection;
        let count = c.key.len();
        let names: Vec<_> = (0..count).map(key_column).collect();
        let keys = if arrays {
            let columns: Vec<_> = (1..=count).map(|place| format!("pg_catalog.unnest(${place})")).collect();
            format!("ROWS FROM ({}) WITH ORDINALITY", columns.join(", "))
        } else {
            let columns: Vec<_> = (1..=count).map(|place| format!("${place}")).collect();
            format!("(VALUES ({}, 1::pg_catalog.int8))", columns.join(", "))
        };
        let same: Vec<_> = (c.key.iter().zip(&names).zip(operators))
            .map(|((column, name), operator)| format!("s.{} {operator} k.{name}", quoted(column)))
            .collect();
        let metadata = c.metadata_expression();
        let filter = match self.filter {
            Some(_) => format!("AND {metadata} OPERATOR(pg_catalog.@>) ${}", count + 1),
            None => String::new(),
        };
        Ok(format!(
            "SELECT k.place, {key}, {title}, {metadata}, CASE WHEN false THEN s.{content} END
             FROM {keys} AS k ({names}, place)
             JOIN {source} s ON {same} {filter}",
            key = c.key_expression(),
            title = c.title_expression(),
            content = quoted(&c.content),
            names = names.join(", "),
            source = c.source_of_any_owner()?.name,
            same = same.join(" AND "),
        ))
    }
}
